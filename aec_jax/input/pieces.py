"""Clips of variable length: runs of segments, pieces, folds, splits.

Everything that lies end to end by clip is addressed by offsets (clip + 1,):
clip c has the entries offsets[c] to offsets[c + 1]. All is a pure function of
its arguments (thesis §5.2).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from aec_jax.errors import UserError
from aec_jax.input import strata

# What becomes of the segments after a clip's last whole piece.
LAST_PIECES = ('repeat', 'align', 'mask')


@dataclasses.dataclass(frozen=True)
class Pieces:
  """What a classifier takes one at a time.

  Attributes:
    segments: (piece, length) int32, which segment stands where; after the
      valid ones the clip's first.
    n_segments: (piece,) int16, how many of them are valid.
    clips: (piece,) int32, ascending.
    own: (piece, length) bool, where a segment of the clip stands for the first
      time: not in what a last piece repeats, or shares with the one before.
  """

  segments: np.ndarray
  n_segments: np.ndarray
  clips: np.ndarray
  own: np.ndarray

  def __len__(self) -> int:
    return len(self.clips)

  def of_clips(self, clips: np.ndarray) -> np.ndarray:
    """The pieces of some clips, ascending."""
    return np.flatnonzero(np.isin(self.clips, clips))

  def select(self, rows: np.ndarray) -> 'Pieces':
    """Some pieces, in an order in which their clips ascend."""
    return Pieces(
      self.segments[rows], self.n_segments[rows], self.clips[rows],
      self.own[rows],
    )  # fmt: skip

  def weights(self) -> np.ndarray:
    """(piece,) float32, the share that each piece has in its clip.

    This states what a clip's values are, everywhere: the sum of its pieces'
    values by these weights, which are as their numbers of valid segments.
    """
    starts = self._starts()
    runs = np.diff(np.append(starts, len(self)))
    total = np.add.reduceat(self.n_segments.astype(np.float32), starts)
    return self.n_segments / np.repeat(total, runs)

  def clip_values(self, values: np.ndarray) -> np.ndarray:
    """Values of pieces (piece, …) to those of their clips (clip, …)."""
    weights = self.weights().reshape(-1, *[1] * (values.ndim - 1))
    return np.add.reduceat(values * weights, self._starts())

  def _starts(self):
    return np.flatnonzero(np.diff(self.clips, prepend=-1))


def cut(offsets: np.ndarray, length: int, last: str = 'repeat') -> Pieces:
  """Cuts clips into consecutive pieces (§5.2.3).

  Args:
    offsets: (clip + 1,) of the segments; no clip is without.
    length: segments of a piece, L; 0 leaves clips whole, of different lengths.
    last: what a last piece is that would not be full. 'repeat': it goes on
      with the clip's beginning, as often as it takes, and so does a clip that
      is too short for one (the thesis). 'align': it is the clip's last L
      segments, and what a shorter clip lacks is masked. 'mask': what it lacks
      is masked.
  """
  counts = np.diff(offsets)
  size = length or int(counts.max())
  per_clip = -(-counts // size)  # pieces of each clip
  clips = np.repeat(np.arange(len(counts)), per_clip)
  number = np.arange(len(clips)) - np.repeat(
    np.cumsum(per_clip) - per_clip, per_clip
  )  # of a piece in its clip
  of_clip = counts[clips]  # segments
  first = number * size
  if last == 'align':
    first = np.minimum(first, np.maximum(of_clip - size, 0))
  within = first[:, None] + np.arange(size)  # (piece, segment)
  own = (within >= number[:, None] * size) & (within < of_clip[:, None])
  valid = np.full(len(clips), size)
  if not length or last != 'repeat':
    valid = np.minimum(of_clip - first, size)
  wrapped = within % of_clip[:, None]
  wrapped[np.arange(size) >= valid[:, None]] = 0
  return Pieces(
    (offsets[clips][:, None] + wrapped).astype(np.int32),
    valid.astype(np.int16),
    clips.astype(np.int32),
    own,
  )


def cut_all(
  cuts: Sequence[np.ndarray], length: int, last: str = 'repeat'
) -> Pieces:
  """Cuts clips that lie in a table several times, as of several shifts.

  A clip's values are those of its pieces of all cuts; segments are `own` in the
  first cut alone, by which clips are told over time.

  Args:
    cuts: (clip + 1,) offsets in the table, of each cut; after the first, a
      clip may be without segments.
    length, last: as of `cut`.
  """
  if len(cuts) == 1:
    return cut(cuts[0], length, last)
  if not length:  # as long as the first cut's, masked
    length, last = int(np.diff(cuts[0]).max()), 'mask'
  found = []
  for i, offsets in enumerate(cuts):
    there = np.flatnonzero(np.diff(offsets))
    if len(there):
      some = cut(np.append(offsets[there], offsets[-1]), length, last)
      clips = there[some.clips].astype(np.int32)
      own = some.own & (i == 0)
      found.append(Pieces(some.segments, some.n_segments, clips, own))
  names = [field.name for field in dataclasses.fields(Pieces)]
  whole = Pieces(
    *(np.concatenate([getattr(p, name) for p in found]) for name in names)
  )
  return whole.select(np.argsort(whole.clips, kind='stable'))


def by_clip(cuts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Segments of all cuts, clip after clip.

  Args:
    cuts: as `cut_all` takes them, from the table's beginning on.

  Returns:
    (segment,) which of the table's; (clip + 1,) offsets.
  """
  counts = np.stack([np.diff(offsets) for offsets in cuts])
  clips = np.tile(np.arange(counts.shape[1]), len(cuts))
  order = np.argsort(np.repeat(clips, counts.ravel()), kind='stable')
  return order, np.concatenate([[0], np.cumsum(counts.sum(0))])


def padded(counts: np.ndarray, size: int) -> Pieces:
  """Clips whose segments lie padded to a multiple of `size`, clip after clip.

  In pieces of `size`, of which a clip's last may be short: `cut`'s 'mask'.
  """
  per_clip = -(-counts // size)
  clips = np.repeat(np.arange(len(counts), dtype=np.int32), per_clip)
  valid = np.full(len(clips), size)
  valid[np.cumsum(per_clip) - 1] -= per_clip * size - counts
  segments = np.arange(len(clips) * size, dtype=np.int32).reshape(-1, size)
  own = np.arange(size) < valid[:, None]
  return Pieces(segments, valid.astype(np.int16), clips, own)


def expand(offsets: np.ndarray, clips: np.ndarray) -> np.ndarray:
  """The entries of some clips, clip after clip."""
  counts = offsets[np.asarray(clips, int) + 1] - offsets[clips]
  ends = np.cumsum(counts)
  within = np.arange(ends[-1] if len(ends) else 0)
  return within + np.repeat(offsets[clips] - (ends - counts), counts)


def folds(
  labels: np.ndarray,
  count: int,
  seed: int,
  offsets: np.ndarray | None = None,
  groups: np.ndarray | None = None,
) -> np.ndarray:
  """A fold 0 … count - 1 for every clip: stratified, seeded, of equal sizes.

  Args:
    labels: (label,) the classes of all clips one after another.
    count: how many folds.
    seed: of the draw.
    offsets: (clip + 1,) where each clip's labels begin; None where each clip
      has one.
    groups: (clip,) the recording that a clip is a piece of, '' where it is one
      by itself; clips of a group get one fold. None where all are.

  Returns:
    (clip,) int16.

  Raises:
    UserError: there are fewer recordings than folds.
  """
  labels, offsets = np.asarray(labels), _offsets(labels, offsets)
  grouped = groups is not None and (np.asarray(groups) != '').any()
  rng = np.random.default_rng([seed, count])
  if grouped or (np.diff(offsets) != 1).any():
    return strata.deal(
      labels, offsets, strata.units(offsets, groups), count, rng
    )
  strata.check_enough(len(labels), count)
  order = rng.permutation(len(labels))
  order = order[np.argsort(labels[order], kind='stable')]
  out = np.empty(len(labels), np.int16)
  # One deal over all classes, so that what is left over spreads as well.
  out[order] = np.arange(len(labels)) % count
  return out


def spread(
  labels: np.ndarray,
  seed: int,
  offsets: np.ndarray | None = None,
  groups: np.ndarray | None = None,
) -> np.ndarray:
  """A seeded order of clips in which each class comes evenly spread.

  So any run of it holds about equal shares of all classes. Clips of a group
  stand side by side; of several labels the rarest is the one that counts.

  Args:
    labels, seed, offsets, groups: as for `folds`.
  """
  labels, offsets = np.asarray(labels), _offsets(labels, offsets)
  clips = len(offsets) - 1
  unit = strata.units(offsets, groups)
  if (np.diff(offsets) != 1).any() or len(unit) != unit.max(initial=-1) + 1:
    labels = strata.rarest(labels, offsets, unit)
  rng = np.random.default_rng([seed, clips])
  order = rng.permutation(len(labels))
  place = np.empty(len(labels))
  for label in np.unique(labels):
    members = order[labels[order] == label]
    place[members] = (np.arange(len(members)) + rng.random()) / len(members)
  # Of two units at one place the clips are not mixed.
  rank = np.empty(len(place), int)
  rank[np.argsort(place, kind='stable')] = np.arange(len(place))
  return np.argsort(rank[unit], kind='stable')


def _offsets(labels, offsets) -> np.ndarray:
  """Where each clip's labels begin; a label a clip without any."""
  return np.arange(len(labels) + 1) if offsets is None else offsets


# §5.2.2: of 9,473 clips the first or the last 8,000 train.
TRAIN_SHARE = 8000 / 9473
PARTS = ('first', 'last')


def split(
  order: np.ndarray, part: str, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """Training and validation clips: the first or the last 8000/9473 train.

  Args:
    order: clips, at least two; those of a group side by side, as `spread` has
      them.
    part: one of `PARTS`.
    groups: as for `folds`, of all clips; the cut is then made between two
      groups.

  Raises:
    UserError: all clips are of one group.
  """
  count = min(max(1, round(len(order) * TRAIN_SHARE)), len(order) - 1)
  if part == 'last':
    count = len(order) - count
  if groups is not None:
    of = np.asarray(groups)[order]
    cuts = 1 + np.flatnonzero((of[1:] != of[:-1]) | (of[1:] == ''))
    if not len(cuts):
      raise UserError(
        f'all {len(order)} training clips are pieces of one recording'
        f' ({of[0]}): none is left to validate on'
      )
    count = int(cuts[np.argmin(np.abs(cuts - count))])
  if part == 'first':
    return order[:count], order[count:]
  return order[count:], order[:count]


def shifts(
  labels: np.ndarray,
  target: int,
  seed: int,
  offsets: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Which clips to shift by how much, until every class has `target` (§5.2.3).

  A class's clips take turns; a copy of a clip with several labels counts for
  each, so that the rarest class comes first. A clip's copies have different
  shifts, a function of (seed, clip, copy) alone, until all 24 are used.

  Args:
    labels: (label,) of the training clips, one after another.
    target: clips of a class, counting the copies.
    seed: of the shifts and of the turns.
    offsets: as for `folds`.

  Returns:
    clips (copy,) int32, numbers of training clips, and semitones (copy,) int8,
    of -12 … 12 without 0.
  """
  labels, offsets = np.asarray(labels), _offsets(labels, offsets)
  rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
  classes, counts = np.unique(labels, return_counts=True)
  made = {}  # clips to copy, by class
  used = np.zeros(len(offsets) - 1, int)
  for k in np.argsort(counts, kind='stable'):
    members = rows[labels == classes[k]]
    turn = np.random.default_rng([seed, classes[k], 1]).permutation(members)
    have = counts[k] + used[members].sum()  # copies for rarer classes, too
    number = np.arange(max(0, target - have))
    made[k] = turn[number % len(turn)]
    np.add.at(used, made[k], 1)
  clips = np.concatenate(
    [made[k] for k in range(len(classes))] or [np.zeros(0, int)]
  )
  choices = np.delete(np.arange(-12, 13), 12)
  semitones = [
    np.random.default_rng([seed, clip, 2]).permutation(choices)[copy % 24]
    for clip, copy in zip(clips, _occurrence(clips), strict=True)
  ]
  return clips.astype(np.int32), np.array(semitones, np.int8)


def _occurrence(values) -> np.ndarray:
  """For each value how often it came before."""
  order = np.argsort(values, kind='stable')
  ordered = values[order]
  first = np.searchsorted(ordered, ordered)
  out = np.empty(len(values), int)
  out[order] = np.arange(len(values)) - first
  return out
