"""Sounds in chunks: whether all is there of that which holds the samples.

FFmpeg takes the end of such a file for that of its samples.
"""

from typing import Literal, NamedTuple

from aec_jax.audio import riff
from aec_jax.audio.file import File

_Order = Literal['little', 'big']


class _Form(NamedTuple):
  """How chunks stand in a file.

  Attributes:
    first: where the first of them begins.
    head: bytes of what stands before a chunk's body; the first four of them
      are its name, the rest or the last eight its size.
    order: of the size's bytes.
    counted: bytes of the head that the size includes.
    align: of the places where chunks begin.
    name: of the chunk that holds the samples.
    kind: what that chunk's body begins with.
  """

  first: int
  head: int
  order: _Order
  counted: int
  align: int
  name: bytes = b'data'
  kind: bytes = b''


_AIFF = _Form(12, 8, 'big', 0, 2, b'SSND')
# By how a file begins, and by the four bytes from the eighth on.
_FORMS = {
  (b'caff', b''): _Form(8, 12, 'big', 0, 1),
  (b'riff', b''): _Form(40, 24, 'little', 24, 8),  # Sony's Wave64
  (b'FORM', b'AIFF'): _AIFF,
  (b'FORM', b'AIFC'): _AIFF,
  (b'RIFF', b'AVI '): _Form(12, 8, 'little', 0, 2, b'LIST', b'movi'),
}
_WAV = (b'RIFF', b'WAVE'), (b'RF64', b'WAVE'), (b'BW64', b'WAVE')
_MOST = 1000  # chunks that are passed over
_UNKNOWN = 1 << 62  # as a size, or more than it


def part_there(file: File) -> float:
  """The share of the samples' bytes of which the header tells that is there.

  Args:
    file: of any kind, which is left where it stands.

  Returns:
    1 where all is there or nothing is known.
  """
  head = file.read_at(12, 0)
  start, kind = head[:4], head[8:]
  form = _FORMS.get((start, b'')) or _FORMS.get((start, kind))
  if form:
    place, size = _in_chunks(file, form)
  elif (start, kind) in _WAV:
    place, size = _in_riff(file)
  else:
    return 1.0
  there = file.size - place
  return there / size if 0 < there < size < _UNKNOWN else 1.0


def has_second_movie(file: File) -> bool:
  """Whether one MP4 follows another in a file; FFmpeg hears the first alone."""
  place, movies = 0, 0
  for _ in range(_MOST):
    head = file.read_at(16, place)
    size = int.from_bytes(head[:4], 'big')
    if size == 1:
      size = int.from_bytes(head[8:], 'big')
    if size < 8:  # 0 is the rest of the file
      break
    movies += head[4:8] == b'moov'
    place += size
  return movies > 1


def _in_riff(file) -> tuple[int, int]:
  """Where a wav's samples begin, and how many bytes they are; 0 if unknown."""
  before = file.tell()
  file.seek(0)
  found = riff.until_samples(file)
  place = file.tell()
  file.seek(before)
  return place, (found and found.told) or 0


def _in_chunks(file, form) -> tuple[int, int]:
  """The same of another file."""
  place = form.first
  for _ in range(_MOST):
    head = file.read_at(form.head, place)
    told = head[max(4, form.head - 8) :]
    # Of more than 2 GB in four bytes, which are signed or unknown, we say less.
    size = int.from_bytes(told, form.order, signed=True) - form.counted
    if len(head) < form.head or size < 0:
      break
    place += form.head
    body = file.read_at(len(form.kind), place)
    if head.startswith(form.name) and body == form.kind:
      return place, size
    place += -(-size // form.align) * form.align
  return place, 0
