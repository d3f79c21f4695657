"""Dividing clips of several labels, and recordings cut in pieces, evenly.

Iterative stratification: Sechidis, Tsoumakas and Vlahavas, On the
Stratification of Multi-Label Data (2011).
"""

import hashlib

import numpy as np

from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError


def units(offsets: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
  """(clip,) int, the recording of each clip, numbered as they come.

  Args:
    offsets: (clip + 1,) of the clips' labels.
    groups: (clip,) str or bytes, empty for a clip that is a recording by
      itself; None where all are.
  """
  clips = len(offsets) - 1
  if groups is None:
    return np.arange(clips)
  number: dict[str | bytes | int, int] = {}
  out = np.empty(clips, int)
  for clip, group in enumerate(np.asarray(groups).tolist()):
    out[clip] = number.setdefault(group or clip, len(number))
  return out


def rarest(
  labels: np.ndarray, offsets: np.ndarray, unit: np.ndarray
) -> np.ndarray:
  """(unit,) the label of each unit that the fewest clips have, -1 for none."""
  rows = np.repeat(unit, np.diff(offsets))
  classes, which, counts = np.unique(
    labels, return_inverse=True, return_counts=True
  )
  # The commonest first, so that the rarest is written last.
  order = np.lexsort((classes[which], counts[which]))[::-1]
  out = np.full(unit.max(initial=-1) + 1, -1)
  out[rows[order]] = labels[order]
  return out


def held_out(ids: np.ndarray, labels: Labels, share: float) -> np.ndarray:
  """Which clips are held out: of each rarest label about an equal share.

  A function of the names and the labels alone, so that experiments of any seed
  hold out the same clips. Clips of one name are of one recording, of which
  either all or none are held out.

  Args:
    ids: (clip,) bytes or str.
    labels: of the clips.
    share: of the recordings, 0 to 1.

  Returns:
    (clip,) bool.
  """
  unit = units(labels.offsets, ids)
  _, first = np.unique(unit, return_index=True)
  some = ids[first].tolist()
  names = [x if isinstance(x, bytes) else x.encode() for x in some]
  hashes = [hashlib.blake2b(x, digest_size=8).digest() for x in names]
  place = np.frombuffer(b''.join(hashes), '>u8')
  label = rarest(labels.ids, labels.offsets, unit)
  order = np.lexsort((place, label))
  ends = np.floor(np.arange(len(first) + 1) * share)
  out = np.empty(len(first), bool)
  out[order] = np.diff(ends) > 0
  return out[unit]


def check_enough(recordings: int, folds: int) -> None:
  """Raises `UserError` where a fold would be empty."""
  if recordings < folds:
    raise UserError(
      f'{recordings} recordings cannot be in {folds} folds: set --config.folds'
      f' to at most {recordings}'
    )


def deal(
  labels: np.ndarray,
  offsets: np.ndarray,
  unit: np.ndarray,
  count: int,
  rng: np.random.Generator,
) -> np.ndarray:
  """A fold for each clip, such that folds share every class about equally.

  The rarest class left is dealt first, its largest units before others, each
  to the fold that lacks most clips of the class; of several such to the one
  that lacks most clips.

  Args:
    labels: (label,) of all clips one after another.
    offsets: (clip + 1,) where each clip's begin.
    unit: (clip,) what goes into one fold as a whole, numbered 0 and up.
    count: how many folds.
    rng: decides between equals.

  Returns:
    (clip,) int16.

  Raises:
    UserError: there are fewer units than folds.
  """
  number = int(unit.max(initial=-1)) + 1
  check_enough(number, count)
  classes, which = np.unique(labels, return_inverse=True)
  rows = np.repeat(unit, np.diff(offsets))
  # (unit, class): how many clips of a unit have a label.
  has = np.zeros((number, len(classes)), np.int32)
  np.add.at(has, (rows, which), 1)
  sizes = np.bincount(unit, minlength=number)
  order = rng.permutation(number)
  order = order[np.argsort(-sizes[order], kind='stable')]
  lacking = np.tile(has.sum(0) / count, (count, 1))  # (fold, class)
  room = np.full(count, len(unit) / count)
  out = np.full(number, -1, np.int16)

  def put(some, k):
    for u in some:
      wanted = room if k is None else lacking[:, k]
      best = np.flatnonzero(wanted == wanted.max())
      fold = best[np.argmax(room[best])]
      out[u] = fold
      lacking[fold] -= has[u]
      room[fold] -= sizes[u]

  left = (has > 0).sum(0)
  while left.any():
    k = int(np.argmin(np.where(left, left, number + 1)))
    some = order[(out[order] < 0) & (has[order, k] > 0)]
    put(some, k)
    left -= (has[some] > 0).sum(0)
  put(order[out[order] < 0], None)
  return out[unit]
