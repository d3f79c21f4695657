"""Batches of any number of examples, padded to one of few sizes.

A program is compiled for each size. Steps that go in one dispatch lie in arrays
of the largest one's, of which each takes what it needs.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

# Of the mean number of a batch's examples, the sizes on a processor, which
# takes long to compile and has one step in a dispatch, and on an accelerator.
_ON_CPU, _ON_ACCELERATOR = (1.25,), (0.85, 1.0, 1.15, 1.35)
# By how much the last one grows where that is too little.
_GROWTH = 1.25
# Of a size, for each device.
_UNIT = 8


@dataclasses.dataclass(frozen=True)
class Rooms:
  """The sizes that batches are padded to.

  Attributes:
    sizes: examples, ascending; larger ones follow from the last.
    devices: that share a batch equally.
  """

  sizes: tuple[int, ...]
  devices: int

  @classmethod
  def of_mean(cls, examples: float, devices: int, on_cpu: bool) -> 'Rooms':
    """For batches of so many examples in the mean."""
    factors = _ON_CPU if on_cpu else _ON_ACCELERATOR
    sizes = {_shared(factor * examples, devices) for factor in factors}
    return cls(tuple(sorted(sizes)), devices)

  def _all(self) -> Iterator[int]:
    yield from self.sizes
    size = self.sizes[-1]
    while True:
      size = _shared(size * _GROWTH, self.devices)
      yield size

  def size_of(self, examples: int) -> int:
    """What a batch of so many is padded to."""
    return next(size for size in self._all() if size >= examples)

  def up_to(self, room: int) -> list[int]:
    """The sizes that batches have in arrays of the size `room`."""
    found = []
    for size in self._all():
      found.append(size)
      if size >= room:
        return found
    raise AssertionError('they have no end')

  def stacked(self, steps: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Batches of several sizes in arrays of the largest.

    Args:
      steps: (example,) rows each.

    Returns:
      'first' (step, example) those rows, laid out so that each device's share
      of a batch comes first in its share of the arrays; of the same layout
      'mask', which are examples; and 'size' (step,) int32, which of `up_to`
      each one's is, where there are several steps and sizes.
    """
    sizes = [self.size_of(len(rows)) for rows in steps]
    room = max(sizes)
    masks = [np.ones(len(rows), bool) for rows in steps]
    out = {
      # The first example is repeated: any would do.
      'first': self._laid_out(steps, [rows[0] for rows in steps], sizes),
      'mask': self._laid_out(masks, [False] * len(steps), sizes),
    }
    known = self.up_to(room)
    if len(known) > 1 and len(steps) > 1:
      out['size'] = np.array([known.index(s) for s in sizes], np.int32)
    return out

  def _laid_out(self, filled, rests, sizes: list[int]) -> np.ndarray:
    """(step, room), a device after the other, of each step's (example,) and
    what fills it up to its size.
    """
    shape = len(sizes), self.devices, max(sizes) // self.devices
    out = np.zeros(shape, filled[0].dtype)
    for place, rows, rest, size in zip(out, filled, rests, sizes, strict=True):
      whole = np.full(size, rest, rows.dtype)
      whole[: len(rows)] = rows
      share = size // self.devices
      place[:, :share] = whole.reshape(self.devices, share)
    return out.reshape(len(sizes), max(sizes))


def _shared(examples: float, devices: int) -> int:
  """At least so many, and so many that the devices share them equally."""
  unit = _UNIT * devices
  return int(-(-examples // unit) * unit)
