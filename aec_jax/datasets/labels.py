"""Labels as lists: which classes each of many clips has."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from aec_jax.errors import UserError

_MOST = 1 << 15  # that int16 numbers


def offsets_of(counts: np.ndarray | Sequence[int]) -> np.ndarray:
  """Where each run begins, and the end: (run,) -> (run + 1,) int64."""
  return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def check_count(classes: int, where: str) -> None:
  """Raises `UserError` for more classes than can be numbered."""
  if classes > _MOST:
    raise UserError(
      f'{where}: {classes:,} classes; {_MOST:,} are the most: are these labels,'
      ' or something that each clip has for itself?'
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
  """The classes of clips, any number each.

  Attributes:
    ids: (label,) int16, the classes of all clips one after another; ascending
      within a clip, none twice.
    offsets: (clip + 1,) int64: clip i has ids[offsets[i] : offsets[i + 1]].
    classes: number of classes K.
  """

  ids: np.ndarray
  offsets: np.ndarray
  classes: int

  def __len__(self) -> int:
    return len(self.offsets) - 1

  @classmethod
  def of_one(cls, labels: np.ndarray, classes: int) -> 'Labels':
    """Labels (clip,) of clips with one each, -1 for none."""
    has = labels >= 0
    return cls(labels[has].astype(np.int16), offsets_of(has), classes)

  @classmethod
  def concatenate(cls, parts: Sequence['Labels']) -> 'Labels':
    """Those of several sets of clips with the same classes, in turn."""
    counts = np.concatenate([part.counts() for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    return cls(ids, offsets_of(counts), parts[0].classes)

  def counts(self) -> np.ndarray:
    """(clip,) how many labels each has."""
    return np.diff(self.offsets)

  def rows(self) -> np.ndarray:
    """(label,) int32, the clip of each entry of `ids`."""
    return np.repeat(np.arange(len(self), dtype=np.int32), self.counts())

  def select(self, index: np.ndarray) -> 'Labels':
    """Those of some clips: indices or a mask (clip,)."""
    index = np.arange(len(self))[index]
    counts = self.counts()[index]
    within = np.arange(counts.sum()) - np.repeat(
      np.cumsum(counts) - counts, counts
    )
    ids = self.ids[np.repeat(self.offsets[:-1][index], counts) + within]
    return Labels(ids, offsets_of(counts), self.classes)

  def multi_hot(self) -> np.ndarray:
    """(clip, class) bool."""
    out = np.zeros((len(self), self.classes), bool)
    out[self.rows(), self.ids] = True
    return out

  def packed(self) -> np.ndarray:
    """`np.packbits(multi_hot(), axis=1)`: (clip, ceil(class / 8)) uint8."""
    width = -(-self.classes // 8)
    out = np.zeros(len(self) * width, np.uint8)
    ids = self.ids.astype(np.int64)
    byte = self.rows() * np.int64(width) + (ids >> 3)
    np.bitwise_or.at(out, byte, (128 >> (ids & 7)).astype(np.uint8))
    return out.reshape(len(self), width)

  def sets(self) -> np.ndarray:
    """(clip,) ints, the same where clips have the same classes."""
    found = np.unique(self.packed(), axis=0, return_inverse=True)[1]
    return found.reshape(-1)

  def clips_of_classes(self) -> tuple[np.ndarray, np.ndarray]:
    """The clips of each class, ascending.

    Returns:
      clips (label,) int32 and offsets (class + 1,) int64: class k has the clips
      clips[offsets[k] : offsets[k + 1]].
    """
    order = np.argsort(self.ids, kind='stable')
    return self.rows()[order], offsets_of(self.class_counts())

  def class_counts(self) -> np.ndarray:
    """(class,) how many clips have each class."""
    return np.bincount(self.ids, minlength=self.classes)
