"""The framing of TFRecord files, without TensorFlow.

A record is its length (8 bytes), the length's checksum (4), the payload, the
payload's checksum (4). TensorFlow reads such files faster, but does not say
which record is bad, loses what follows it, and misses some truncations.
"""

import gzip
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence

import google_crc32c

from aec_jax.audio import kinds
from aec_jax.datasets import clip_record
from aec_jax.errors import PassingError, UserError, may_pass
from aec_jax.run import files

FRAME = 16  # bytes of a record around its payload

# a.tfrecord, a.tfrec.gz, a.tfrecord-00000-of-00010, a-00000-of-00010
_NAME = re.compile(
  r'\.(tfrecords?|tfrec|tfr|records?)(-\d+-of-\d+)?(\.gz)?|-\d{5}-of-\d{5}'
)
_ANY = ('.bin', '.bin.gz')  # endings of files of any kind
_GZIP = b'\x1f\x8b'


def is_named_so(name: str) -> bool:
  """Whether a file has one of the names that TFRecord files go by."""
  found = None
  for found in _NAME.finditer(name.lower()):  # noqa: B007
    pass
  return found is not None and found.end() == len(name)


def is_called_one(path: str) -> bool:
  """As `is_named_so`, or a .bin that begins as a TFRecord does."""
  return is_named_so(path) or (path.lower().endswith(_ANY) and is_one(path))


def is_one(path: str) -> bool:
  """Whether a file begins as a TFRecord does, compressed or not."""
  if files.why_no_file(path):  # a pipe would be waited for
    return False
  try:
    with open(path, 'rb') as file:
      if file.read(2) == _GZIP:
        file.seek(0)
        head = gzip.GzipFile(fileobj=file).read(12)
      else:
        file.seek(0)
        head = file.read(12)
  except (OSError, EOFError, zlib.error):
    return False
  checksum = int.from_bytes(head[8:], 'little')
  return len(head) == 12 and _masked_crc32c(head[:8]) == checksum


def walk(path: str) -> Iterator[tuple[bytes | None, str | None]]:
  """Yields (payload, None) of each record, or (None, what is wrong).

  Past a wrong length nothing can be found. A file may be compressed by gzip.

  Raises:
    PassingError: the system can't read it now.
  """
  if trouble := files.why_no_file(path):
    yield None, f'cannot be read: {trouble}'
    return
  try:
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    if may_pass(error):
      raise PassingError.of(path, error.strerror) from error
    yield None, f'cannot be read: {error.strerror}'
    return
  if data[:2] == _GZIP:
    try:
      data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
      yield None, f'the gzip file is damaged: {error}'
      return
  if not data:
    yield None, 'the file is empty'
  elif what := kinds.impostor(data[:256]):
    yield None, f'the file is {what}'
    return
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
  """How many records a file has by its lengths, up to the first bad one.

  Raises:
    UserError: it is compressed, so that only reading it would tell.
  """
  count = position = 0
  files.check_file(path)
  with open(path, 'rb', buffering=0) as file:
    if os.pread(file.fileno(), 2, 0) == _GZIP:
      raise UserError(
        f'{path}: compressed by gzip, which TFDS does not read: gunzip it'
      )
    size = os.fstat(file.fileno()).st_size
    while position + FRAME <= size:
      header = os.pread(file.fileno(), 8, position)
      position += FRAME + int.from_bytes(header, 'little')
      count += position <= size
  return count


def _masked_crc32c(data: bytes) -> int:
  crc = google_crc32c.value(data)
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def embeddings_of(
  payload: bytes, float_range: Sequence[float] = ()
) -> tuple[str, list[bytes]]:
  """The video id, '' where there is none, and the embeddings of one clip.

  Args:
    payload: of a record.
    float_range: as `clip_record.read` takes it.

  Raises:
    ValueError: the payload is none that `clip_record` reads.
  """
  clip = clip_record.read(payload, float_range)
  (name, *_) = [*clip.names, b'']
  return name.decode('utf-8', 'replace'), clip.frames
