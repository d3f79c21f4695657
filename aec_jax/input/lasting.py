"""How many examples of a batch last how long, for what is not padded.

Clips that are left whole are padded to the longest: of FSDKaggle2018 31
segments, where the mean is 7. A network that goes along the segments needs to
take only those rows on that are not over; a compiled program has to know at
most how many these are. So few such lists of numbers are to serve all steps.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from aec_jax.input.plan import Groups

# Deviations of the number of rows that there is room for: the first that is
# enough for a step. Of a step's 20 members one in 20,000 needs the second.
_ROOM = tuple(4 * 2**i for i in range(24))


@dataclasses.dataclass(frozen=True)
class Lasting:
  """The numbers of rows that batches are cut to.

  Attributes:
    starts: (place,) segments, ascending from 0.
    shares: (place,) of the examples drawn, those that are longer than each.
  """

  starts: np.ndarray
  shares: np.ndarray

  @classmethod
  def of_draws(
    cls,
    starts: Sequence[int],
    lengths: np.ndarray,
    groups: Sequence[Groups],
    mixed: bool,
  ) -> 'Lasting':
    """From what plans draw.

    Args:
      starts: (place,), see above.
      lengths: (example,) segments of all that could be drawn.
      groups: of each member's plan.
      mixed: whether every other example is one of two, as long as the longer.
    """
    longer = lengths > np.asarray(starts)[:, None]  # (place, example)
    shares = np.max([_share(longer, some) for some in groups], 0)
    if mixed:
      shares = (shares + 1 - (1 - shares) ** 2) / 2
    return cls(np.asarray(starts), shares)

  def rows(self, lengths: np.ndarray) -> tuple[int, ...]:
    """How many rows to take on at each start: as few as will do.

    Args:
      lengths: (…, example) segments of the examples of some batches.
    """
    batch = lengths.shape[-1]
    longer = lengths[..., None] > self.starts  # (…, example, place)
    need = longer.sum(-2).reshape(-1, len(self.starts)).max(0)
    mean = batch * self.shares
    deviation = np.sqrt(mean * (1 - self.shares))
    for room in _ROOM:
      # Of what is rare there may be a few all the same.
      rows = np.minimum(np.ceil(mean + room * (deviation + 1)), batch)
      if (rows >= need).all():
        break
    return tuple(rows.astype(int).tolist())


def _share(longer: np.ndarray, groups: Groups) -> np.ndarray:
  """(place,) of the draws, which take turns among the groups."""
  drawn = longer[:, groups.members].astype(float)
  sums = np.add.reduceat(drawn, groups.offsets[:-1], axis=1)
  return (sums / np.diff(groups.offsets)).mean(1)
