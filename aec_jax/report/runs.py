"""A finished run, as pages that compare several take it."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from aec_jax.report.score_sections import interval_text
from aec_jax.run.console import caveats

# A difference is significant where p is at most this (thesis §6.1).
SIGNIFICANT = 0.05


class Run(NamedTuple):
  """A finished experiment.

  Attributes:
    folder: its work folder, as given.
    name: the end of its path, by which it differs from the others'.
    results: its results.json.
    intervals: [low, high] by score.
    ids: (clip,), of the scored clips.
    paired: what runs are compared by, pair by pair: of a single label the
      clips' reciprocal ranks, else the classes' AP, NaN where undefined.
  """

  folder: str
  name: str
  results: dict
  intervals: dict
  ids: np.ndarray
  paired: np.ndarray

  @property
  def main(self) -> str:
    """The name of the first score."""
    return next(iter(self.results['metrics']))

  def per_class(self, classes: Sequence[str]) -> np.ndarray:
    """(class,) AP or AP@3, NaN where undefined."""
    entries = [self.results['per_class'][name] for name in classes]
    return np.array([next(iter(entry.values())) for entry in entries], float)

  def same_clips(self, other: 'Run') -> bool:
    """Whether both were scored on the same clips and classes."""
    classes = list(self.results['per_class']) == list(
      other.results['per_class']
    )
    return classes and np.array_equal(self.ids, other.ids)


def names(folders: Sequence[str]) -> list[str]:
  """The least of each path's end by which all differ."""
  parts = [PurePath(folder).parts or (folder,) for folder in folders]
  for count in range(1, max(map(len, parts)) + 1):
    found = ['/'.join(some[-count:]) for some in parts]
    if len(set(found)) == len(set(folders)):
      return found
  return list(folders)


def named(run: Run) -> str:
  """Its name, and what its scores are not to be held against others for."""
  return '\n'.join([run.name, *caveats(run.results)])


def score_text(run: Run | None, name: str) -> str:
  """A score with its interval below it."""
  if run is None or name not in run.results['metrics']:
    return '—'
  lines = [f'{run.results["metrics"][name]:.4f}']
  if name in run.intervals:
    lines.append(interval_text(run.intervals[name]))
  return '\n'.join(lines)


def p_text(p: float) -> str:
  """A p value, with as many digits as say something."""
  return f'{p:.3f}' if p >= 0.001 or p == 0 else f'{p:.1e}'
