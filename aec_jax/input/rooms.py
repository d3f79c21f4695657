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

  def stacked(self, steps: list[dict]) -> dict[str, np.ndarray]:
    """Batches of several sizes in arrays of the largest.

    Args:
      steps: {name: (example, …)} each, padded by `padded`.

    Returns:
      {name: (step, example, …)}, laid out so that each device's share of a
      batch comes first in its share of the arrays; and 'size' (step,) int32,
      which of `up_to` each one's is, where there are several steps and sizes.
    """
    sizes = [len(next(iter(step.values()))) for step in steps]
    room = max(sizes)
    out = {
      name: np.stack([self._spread(step[name], room) for step in steps])
      for name in steps[0]
    }
    known = self.up_to(room)
    if len(known) > 1 and len(steps) > 1:
      out['size'] = np.array([known.index(s) for s in sizes], np.int32)
    return out

  def _spread(self, rows, room) -> np.ndarray:
    """(size, …) -> (room, …), a device after the other."""
    if len(rows) == room:
      return rows
    shares = rows.reshape(self.devices, -1, *rows.shape[1:])
    spread = np.zeros((self.devices, room // self.devices, *rows.shape[1:]),
                      rows.dtype)  # fmt: skip
    spread[:, : shares.shape[1]] = shares
    return spread.reshape(room, *rows.shape[1:])


def padded(batch: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """A batch {name: (example, …)} filled up to a size, and its 'mask'."""
  count = len(next(iter(batch.values())))
  # The first example is repeated: any would do.
  filled = {
    k: np.concatenate([v, np.repeat(v[:1], size - count, 0)])
    for k, v in batch.items()
  }
  return filled | {'mask': np.arange(size) < count}


def _shared(examples: float, devices: int) -> int:
  """At least so many, and so many that the devices share them equally."""
  unit = _UNIT * devices
  return int(-(-examples // unit) * unit)
