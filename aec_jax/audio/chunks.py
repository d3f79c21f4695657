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
    head: bytes of what stands before a chunk's body; the last eight of them
      are its size, the first four its name.
    order: of the size's bytes.
    counted: bytes of the head that the size includes.
    align: of the places where chunks begin.
  """

  first: int
  head: int
  order: _Order
  counted: int
  align: int


_FORMS = {
  b'caff': _Form(8, 12, 'big', 0, 1),
  b'riff': _Form(40, 24, 'little', 24, 8),  # Sony's Wave64
}
# Whose samples lie in many chunks, or in one of several names: of these the
# whole file is looked at.
_LISTS: dict[tuple[bytes, bytes], _Order] = {
  (b'RIFF', b'AVI '): 'little',
  (b'FORM', b'AIFF'): 'big',
  (b'FORM', b'AIFC'): 'big',
}
_RIFF = (b'RIFF', b'RF64')
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
  start = head[:4]
  if order := _LISTS.get((start, head[8:])):
    place, size = 8, riff.told(int.from_bytes(head[4:8], order)) or 0
  elif start in _RIFF:
    place, size = _in_riff(file)
  elif start in _FORMS:
    place, size = _in_chunks(file, _FORMS[start])
  else:
    return 1.0
  there = file.size - place
  return there / size if 0 < there < size < _UNKNOWN else 1.0


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
    size = int.from_bytes(head[-8:], form.order, signed=True) - form.counted
    if len(head) < form.head or size < 0:
      break
    place += form.head
    if head.startswith(b'data'):
      return place, size
    place += -(-size // form.align) * form.align
  return place, 0
