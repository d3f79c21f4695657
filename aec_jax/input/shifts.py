"""Clips that are cut several times, each cut beginning a little later.

Test-time augmentation: examples follow each other at a step, and of N shifts
the k-th begins k/N of a step after the clip does. Its examples are made of two
neighbours each, log-mels or samples alike, so that nothing is read again; of a
clip's n whole examples a later cut has n - 1, and of a single one none.
"""

import numpy as np

from aec_jax.errors import UserError

# As many as may be asked for.
_MOST = 16


def most(step: int | None) -> int:
  """How many shifts there can be.

  Args:
    step: frames from one example to the next; None of embeddings alone.
  """
  return 1 if step is None else min(step, _MOST)


def check(what: str, count: int, step: int | None) -> None:
  """Raises `UserError` for a number of shifts that there cannot be.

  Args:
    what: it is called.
    count: of shifts.
    step: as of `most`.
  """
  if count in range(1, most(step) + 1):
    return
  if step is None:
    raise UserError(
      f"{what} is {count}; AudioSet's embeddings are of whole segments, which"
      ' cannot be shifted: leave it out'
    )
  raise UserError(
    f'{what} is {count}, and examples begin every {step} frames: it must be 1'
    f' to {most(step)}'
  )


def later(count: int, step: int) -> np.ndarray:
  """How much later than the clip each cut but the first begins.

  Args:
    count: of shifts, the one at 0 among them; at most `step`.
    step: frames from one example to the next.

  Returns:
    (count - 1,) frames.
  """
  return np.arange(1, count) * step // count


def between(
  before: np.ndarray, after: np.ndarray, shift: np.ndarray, step: int
) -> np.ndarray:
  """Examples that begin later than others, and before their neighbours.

  Args:
    before, after: (example, length, …), `after` begins `step` after `before`.
    shift: (example,) how much later each is to begin, below `step`.
    step: in frames or samples, as `shift`; at most the length.

  Returns:
    (example, length, …).
  """
  length = before.shape[1]
  both = np.concatenate([before, after[:, length - step :]], 1)
  at = np.reshape(shift, (-1, 1)) + np.arange(length)
  return both[np.arange(len(both))[:, None], at]


def firsts(offsets: np.ndarray, clips: np.ndarray) -> np.ndarray:
  """(row,) the examples of some clips after which another of their clip comes.

  Args:
    offsets: (clip + 1,) of the examples; no clip is without.
    clips: any of them.
  """
  chosen = np.isin(np.arange(len(offsets) - 1), clips)
  first = np.repeat(chosen, np.diff(offsets))
  first[offsets[1:] - 1] = False
  return np.flatnonzero(first)


def cuts(
  offsets: np.ndarray, clips: np.ndarray, count: int
) -> list[np.ndarray]:
  """Where clips lie in a table that has one cut after the other.

  Args:
    offsets: (clip + 1,) of the first cut, from 0 on.
    clips: of which there are the other cuts.
    count: of shifts.

  Returns:
    (clip + 1,) of each cut, as `pieces.cut_all` takes them.
  """
  counts = np.diff(offsets) - 1
  counts[~np.isin(np.arange(len(counts)), clips)] = 0
  within = np.concatenate([[0], np.cumsum(counts)])
  begin = offsets[-1] + within[-1] * np.arange(count - 1)
  return [offsets, *(begin[:, None] + within)]
