"""What a wav file's header says, and whether that can be so."""

import os
from typing import NamedTuple

# As a data size: not known. FFmpeg and SoX write such numbers into a pipe.
_UNKNOWN = 0x7FFFF000
# Bytes behind the samples that are no chunk, and that nobody misses.
_CRUMBS = 64
_TAGS = (b'ID3', b'TAG', b'APETAGEX', b'LYRICS')


class Wav(NamedTuple):
  """A wav file's samples.

  Attributes:
    plain: whether they are PCM or floats, of which libsndfile hears all that
      the header tells of.
    size: their bytes by the header; None where it is wrong or doesn't know,
      and the samples go on to the file's end.
    missing: seconds of them that the file lacks.
    frames: of them that are there, where they are plain; a sample a channel.
    seconds: of them by the header.
    note: what is odd, '' if nothing.
  """

  plain: bool
  size: int | None
  missing: float
  frames: int
  seconds: float
  note: str


def look(path: str) -> Wav | None:
  """The layout of a file, None where it is no RIFF wav of a usual header.

  Raises:
    OSError: it cannot be read.
  """
  with open(path, 'rb') as file:
    end = os.fstat(file.fileno()).st_size
    head = file.read(12)
    if head[:4] != b'RIFF' or head[8:] != b'WAVE':
      return None
    form = b''
    while True:
      name, length = file.read(4), file.read(4)
      if len(length) < 4:
        return None
      size = int.from_bytes(length, 'little')
      if name == b'data':
        return _layout(file, form, size, end) if len(form) >= 16 else None
      if name == b'fmt ':
        form = file.read(min(size, 64))
        file.seek(size - len(form), 1)
      else:
        file.seek(size, 1)
      file.seek(size & 1, 1)


def _layout(file, form, size, end) -> Wav:
  numbers = [int.from_bytes(form[i : i + 2], 'little') for i in (0, 2, 12, 14)]
  tag, channels, align, bits = numbers
  if tag == 0xFFFE and len(form) >= 26:
    tag = int.from_bytes(form[24:26], 'little')
  a_second = int.from_bytes(form[8:12], 'little') or 1
  plain = (
    tag in (1, 3)
    and bits in (8, 16, 24, 32, 64)
    and channels > 0
    and align == channels * bits // 8
  )
  start = file.tell()
  there = end - start
  if size > there:
    if size >= _UNKNOWN:
      note = 'its header does not say how long it is: heard to its end'
      return Wav(plain, None, 0.0, 0, 0.0, note)
    seconds = size / a_second
    missing = (size - there) / a_second
    return Wav(plain, size, missing, there // (align or 1), seconds, '')
  file.seek(start + size + (size & 1))
  behind = _behind(file, end)
  if behind is None:
    said = 'nothing' if not size else f'{size / a_second:.2f} s'
    note = f'its header says {said}, but there is more: heard to its end'
    return Wav(plain, None, 0.0, 0, 0.0, note)
  return Wav(plain, size, 0.0, size // (align or 1), size / a_second, behind)


def _behind(file, end) -> str | None:
  """What to say of the bytes after the samples; None if they are samples."""
  while (left := end - file.tell()) > _CRUMBS:
    start = file.tell()
    head = file.read(8)
    size = int.from_bytes(head[4:], 'little')
    if head[:4] == b'RIFF':
      return f'another wav of {left:,} bytes follows in it and is not heard'
    if head.startswith(_TAGS):
      return ''
    if not all(32 <= byte < 127 for byte in head[:4]) or size > left - 8:
      file.seek(start)
      return '' if _all_zero(file) else None
    file.seek(size + (size & 1), 1)
  return ''


def _all_zero(file) -> bool:
  while part := file.read(1 << 20):
    if part.strip(b'\0'):
      return False
  return True
