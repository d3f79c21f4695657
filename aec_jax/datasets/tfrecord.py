"""The framing of TFRecord files, without TensorFlow.

A record is its length (8 bytes), the length's checksum (4), the payload, the
payload's checksum (4). TensorFlow reads such files faster, but does not say
which record is bad, loses what follows it, and misses some truncations.
"""

import os
import struct
from collections.abc import Iterator

import google_crc32c

FRAME = 16  # bytes of a record around its payload


def walk(path: str) -> Iterator[tuple[bytes | None, str | None]]:
  """Yields (payload, None) of each record, or (None, what is wrong).

  Past a wrong length nothing can be found.
  """
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    yield None, f'cannot be read: {error.strerror}'
    return
  if not data:
    yield None, 'the file is empty'
  position = 0
  while position < len(data):
    header = data[position : position + 12]
    if len(header) < 12:
      yield None, 'truncated in its length'
      return
    length, checksum = struct.unpack('<QI', header)
    if _masked_crc32c(header[:8]) != checksum:
      yield None, 'wrong checksum of the length; the rest of the file is lost'
      return
    position += 12 + length + 4
    if position > len(data):
      yield None, f'truncated: {position - len(data)} bytes are missing'
      return
    payload = data[position - 4 - length : position - 4]
    (checksum,) = struct.unpack('<I', data[position - 4 : position])
    if _masked_crc32c(payload) != checksum:
      yield None, 'wrong checksum of the payload'
    else:
      yield payload, None


def count_records(path: str) -> int:
  """How many records a file has by its lengths, up to the first bad one."""
  count = position = 0
  with open(path, 'rb', buffering=0) as file:
    size = os.fstat(file.fileno()).st_size
    while position + FRAME <= size:
      header = os.pread(file.fileno(), 8, position)
      position += FRAME + int.from_bytes(header, 'little')
      count += position <= size
  return count


def _masked_crc32c(data: bytes) -> int:
  crc = google_crc32c.value(data)
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def embeddings_of(payload: bytes) -> tuple[str, list[bytes]]:
  """The video id and the embeddings of one clip of the AudioSet release.

  Reads tf.train.SequenceExample by protobuf's wire format, for programs that
  do without TensorFlow.

  Raises:
    ValueError: the payload is no such message.
  """
  context, lists = b'', b''
  for number, value in _fields(payload):
    context += value if number == 1 else b''
    lists += value if number == 2 else b''
  names = _map(context).get('video_id', b'')
  frames = _map(lists).get('audio_embedding', b'')
  (name, *_) = [*_bytes_lists(names), b'']
  return name.decode('utf-8', 'replace'), [
    value
    for number, feature in _fields(frames)
    if number == 1
    for value in _bytes_lists(feature)
  ]


def _map(message: bytes) -> dict[str, bytes]:
  """A message of one field 1, map<string, message>."""
  found = {}
  for _, entry in _fields(message):
    pair = dict(_fields(entry))
    found[pair.get(1, b'').decode('utf-8', 'replace')] = pair.get(2, b'')
  return found


def _bytes_lists(feature: bytes) -> list[bytes]:
  """The values of a tf.train.Feature that is a BytesList (its field 1)."""
  return [
    value
    for number, some in _fields(feature)
    if number == 1
    for _, value in _fields(some)
  ]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
  """The fields that are strings, bytes or messages, as (number, bytes)."""
  position = 0
  while position < len(message):
    tag, position = _varint(message, position)
    size = {1: 8, 5: 4}.get(tag & 7, 0)
    if tag & 7 in (0, 2):
      size, position = _varint(message, position)
    elif not size:
      raise ValueError(f'wire type {tag & 7} in a SequenceExample')
    if tag & 7 == 0:
      continue
    if position + size > len(message):
      raise ValueError('a field of a SequenceExample is cut off')
    if tag & 7 == 2:
      yield tag >> 3, message[position : position + size]
    position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
  """A number of 7 bits a byte, and the position after it."""
  value = 0
  for shift in range(0, 64, 7):
    if position >= len(message):
      break
    byte = message[position]
    value |= (byte & 127) << shift
    position += 1
    if byte < 128:
      return value, position
  raise ValueError('a number of a SequenceExample is cut off')
