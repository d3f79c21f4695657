"""How much of a sound is tagged together, by the memory that it takes."""

from collections.abc import Iterable

# Examples and pieces of a batch; fewer are padded to a power of two, so that
# few programs are compiled and a short sound doesn't pay for a long one.
_EXAMPLES, _PIECES = 32, 64
_FRAMES = 96  # of examples of which so many come together
# What a batch of pieces takes at most, about, and how many copies of its widest
# layer there are at a time.
MOST_BYTES, _COPIES = 1 << 30, 8


def examples_together(frames: int) -> int:
  """Of how many examples a batch is, by the frames of one."""
  return max(1, _EXAMPLES * _FRAMES // max(_FRAMES, frames))


def pieces_together(length: int, shapes: Iterable[tuple[int, ...]]) -> int:
  """Of how many pieces a batch is, a power of two; as `piece_bytes`."""
  most = MOST_BYTES // piece_bytes(length, shapes)
  return min(_PIECES, 1 << max(0, most.bit_length() - 1))


def piece_bytes(length: int, shapes: Iterable[tuple[int, ...]]) -> int:
  """About the memory that a piece takes on its way through a classifier.

  Args:
    length: segments of the piece.
    shapes: of the classifier's weights, whose last axis is a layer's width.
  """
  widest = max((shape[-1] for shape in shapes if shape), default=1)
  return 4 * _COPIES * length * widest
