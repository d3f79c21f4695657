"""What some members of an experiment say of clips, and means of it."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from aec_jax.input.folds import Member, fold_of_name


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """What some members say of the clips that they score.

  Attributes:
    members: of them.
    values: for each member (clip, class), of its `scored`.
  """

  members: Sequence[Member]
  values: Sequence[np.ndarray]

  def only(self, which: Sequence[bool]) -> 'Part':
    """Some of the members."""
    return Part(
      list(itertools.compress(self.members, which)),
      list(itertools.compress(self.values, which)),
    )

  @property
  def clips(self) -> np.ndarray:
    """Those that some member scores, ascending."""
    return np.unique(np.concatenate([m.scored for m in self.members]))


def combine(clips: int, parts: Sequence[Part]) -> np.ndarray:
  """The mean over lengths of the means over the members that score a clip.

  Returns:
    (clip, class) values, NaN for clips that no member scores.
  """
  out: np.ndarray = np.zeros(())
  for part in parts:
    total = np.zeros((clips, part.values[0].shape[1]))
    count = np.zeros((clips, 1))
    for member, values in zip(part.members, part.values, strict=True):
      total[member.scored] += values
      count[member.scored] += 1
    out = out + np.where(count > 0, total / np.maximum(count, 1), np.nan)
  return out / len(parts)


def models_of(members: Sequence[Member]) -> list[str]:
  """(member,) 'balanced_first' of 'balanced_first/0': whatever fold it left."""
  return [
    m.name.rpartition('/')[0] if fold_of_name(m.name) else m.name
    for m in members
  ]


def by_model(
  lengths: Sequence[int], clips: int, parts: Sequence[Part]
) -> dict[str, np.ndarray]:
  """What each extractor's members say at each length, as `combine` returns it.

  Args:
    lengths: of pieces, where there are several parts.
    clips: how many there are.
    parts: of the lengths.

  Returns:
    By names such as 'balanced_first' and 'balanced_first, 6 segments'.
  """
  out = {}
  for i, part in enumerate(parts):
    names = models_of(part.members)
    length = f'{lengths[i]} segments' if lengths[i] else 'whole clips'
    for name in dict.fromkeys(names):
      title = f'{name}, {length}' if len(parts) > 1 else name
      mine = part.only([n == name for n in names])
      out[title] = combine(clips, [mine])
  return out
