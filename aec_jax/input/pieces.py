"""Clips of variable length: runs of segments, pieces, folds, splits.

Everything that lies end to end by clip is addressed by offsets (clip + 1,):
clip c has the entries offsets[c] to offsets[c + 1]. All is a pure function of
its arguments (thesis §5.2).
"""

import dataclasses

import numpy as np

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
    """Some pieces, ascending."""
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


def padded(counts: np.ndarray, size: int) -> Pieces:
  """One piece a clip, whose segments lie padded to `size`, clip after clip."""
  clips = np.arange(len(counts), dtype=np.int32)
  segments = np.arange(len(counts) * size, dtype=np.int32).reshape(-1, size)
  own = np.arange(size) < counts[:, None]
  return Pieces(segments, counts.astype(np.int16), clips, own)


def expand(offsets: np.ndarray, clips: np.ndarray) -> np.ndarray:
  """The entries of some clips, clip after clip."""
  counts = offsets[np.asarray(clips, int) + 1] - offsets[clips]
  ends = np.cumsum(counts)
  within = np.arange(ends[-1] if len(ends) else 0)
  return within + np.repeat(offsets[clips] - (ends - counts), counts)


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
