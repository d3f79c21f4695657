"""Clips of variable length: runs of segments, pieces, folds, splits.

Everything that lies end to end by clip is addressed by offsets (clip + 1,):
clip c has the entries offsets[c] to offsets[c + 1]. All is a pure function of
its arguments (thesis §5.2).
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Pieces:
  """What a classifier takes one at a time.

  Attributes:
    segments: (piece, length) int32, which segment stands where; after the
      valid ones the clip's first.
    n_segments: (piece,) int16, how many of them are valid.
    clips: (piece,) int32, ascending.
  """

  segments: np.ndarray
  n_segments: np.ndarray
  clips: np.ndarray

  def __len__(self) -> int:
    return len(self.clips)

  def of_clips(self, clips: np.ndarray) -> np.ndarray:
    """The pieces of some clips, ascending."""
    return np.flatnonzero(np.isin(self.clips, clips))


def cut(offsets: np.ndarray, length: int) -> Pieces:
  """Cuts clips into consecutive pieces (§5.2.3).

  A last piece that is not full, and a clip that is too short for one, goes on
  with the clip's beginning, as often as it takes.

  Args:
    offsets: (clip + 1,) of the segments; no clip is without.
    length: segments of a piece, L; 0 leaves clips whole, of different lengths.
  """
  counts = np.diff(offsets)
  size = length or int(counts.max())
  per_clip = -(-counts // size)  # pieces of each clip
  clips = np.repeat(np.arange(len(counts)), per_clip)
  number = np.arange(len(clips)) - np.repeat(
    np.cumsum(per_clip) - per_clip, per_clip
  )  # of a piece in its clip
  within = number[:, None] * size + np.arange(size)  # (piece, segment)
  valid = np.full(len(clips), size) if length else counts[clips]
  wrapped = within % counts[clips][:, None]
  wrapped[np.arange(size) >= valid[:, None]] = 0
  return Pieces(
    (offsets[clips][:, None] + wrapped).astype(np.int32),
    valid.astype(np.int16),
    clips.astype(np.int32),
  )


def expand(offsets: np.ndarray, clips: np.ndarray) -> np.ndarray:
  """The entries of some clips, clip after clip."""
  return np.concatenate(
    [np.arange(offsets[c], offsets[c + 1]) for c in clips]
    or [np.zeros(0, np.int64)]
  )


def folds(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
  """A fold 0 … count - 1 for every clip: stratified, seeded, of equal sizes.

  Returns:
    (clip,) int16.
  """
  rng = np.random.default_rng([seed, count])
  order = rng.permutation(len(labels))
  order = order[np.argsort(labels[order], kind='stable')]
  out = np.empty(len(labels), np.int16)
  # One deal over all classes, so that what is left over spreads as well.
  out[order] = np.arange(len(labels)) % count
  return out


def spread(labels: np.ndarray, seed: int) -> np.ndarray:
  """A seeded order of clips in which each class comes evenly spread.

  So any run of it holds about equal shares of all classes.
  """
  rng = np.random.default_rng([seed, len(labels)])
  order = rng.permutation(len(labels))
  place = np.empty(len(labels))
  for label in np.unique(labels):
    members = order[labels[order] == label]
    place[members] = (np.arange(len(members)) + rng.random()) / len(members)
  return np.argsort(place, kind='stable')


# §5.2.2: of 9,473 clips the first or the last 8,000 train.
TRAIN_SHARE = 8000 / 9473
PARTS = ('first', 'last')


def split(order: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
  """Training and validation clips: the first or the last 8000/9473 train.

  Args:
    order: clips, at least two.
    part: one of `PARTS`.
  """
  count = min(max(1, round(len(order) * TRAIN_SHARE)), len(order) - 1)
  if part == 'first':
    return order[:count], order[count:]
  return order[-count:], order[:-count]


def shifts(
  labels: np.ndarray, target: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Which clips to shift by how much, until every class has `target` (§5.2.3).

  A class's clips take turns. A clip's copies have different shifts, a function
  of (seed, clip, copy) alone, until all 24 are used.

  Args:
    labels: (clip,) of the training clips.
    target: clips of a class, counting the copies.
    seed: of the shifts and of the turns.

  Returns:
    clips (copy,) int32, indices into `labels`, and semitones (copy,) int8, of
    -12 … 12 without 0.
  """
  clips, copies = [], []
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    turn = np.random.default_rng([seed, label, 1]).permutation(members)
    number = np.arange(max(0, target - len(members)))
    clips.append(turn[number % len(turn)])
    copies.append(number // len(turn))
  clips, copies = np.concatenate(clips), np.concatenate(copies)
  choices = np.delete(np.arange(-12, 13), 12)
  semitones = [
    np.random.default_rng([seed, clip, 2]).permutation(choices)[copy % 24]
    for clip, copy in zip(clips, copies, strict=True)
  ]
  return clips.astype(np.int32), np.array(semitones, np.int8)
