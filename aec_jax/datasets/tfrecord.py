"""The framing of TFRecord files, in plain Python.

A record is its length (8 bytes), the length's checksum (4), the payload, the
payload's checksum (4). TensorFlow reads such files faster, but does not say
which record is bad, loses what follows it, and misses some truncations.
"""

import functools
import os
import struct
from collections.abc import Iterator

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
  crc = 0xFFFFFFFF
  table = _crc32c_table()
  for byte in data:
    crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
  crc ^= 0xFFFFFFFF
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc32c_table():
  table = []
  for crc in range(256):
    for _ in range(8):
      crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    table.append(crc)
  return table
