"""Scores by the ontology: of each depth, and of each top-level branch."""

from collections.abc import Mapping

import numpy as np

from aec_jax.datasets.labels import Labels
from aec_jax.datasets.ontology import Ontology
from aec_jax.objective import Objective

# The scores of a group of classes: means of these columns.
_MEANS = {'mAP': 'AP', 'AUC': 'AUC'}


def found(
  ontology: Ontology | None,
  objective: Objective,
  labels: Labels,
  values: np.ndarray,
  per_class: Mapping[str, np.ndarray],
) -> dict:
  """What results.json says by the ontology.

  Args:
    ontology: of the classes; None where there is none.
    objective: of the experiment.
    labels: of the scored clips.
    values: (clip, class) of them, as the objective takes them.
    per_class: (class,) scores by name, NaN where undefined.

  Returns:
    {'hierarchy': …}: the mean scores of the classes 'by_branch' and 'by_depth',
    where a class of several branches counts in each; the scores had the clips'
    labels been 'passed_up'; and how many classes are 'unknown' to the ontology.
    {} without an ontology or a scored class that it knows.
  """
  if ontology is None:
    return {}
  defined = ~np.isnan(per_class[_MEANS['mAP']])
  if not np.any(defined & (ontology.depth > 0)):
    return {}
  targets = labels.multi_hot()
  groups = {
    'by_branch': {
      name: np.array([name in some for some in ontology.branches])
      for name in ontology.top
    },
    'by_depth': {
      str(depth): ontology.depth == depth
      for depth in range(1, ontology.depth.max() + 1)
    },
  }
  by_group = {
    kind: {
      name: _scores(mine & defined, targets, per_class)
      for name, mine in some.items()
      if np.any(mine & defined)
    }
    for kind, some in groups.items()
  }
  passed_up = ontology.passed_up(labels).multi_hot()
  return {
    'hierarchy': {
      **by_group,
      'passed_up': objective.scores(passed_up, values),
      'unknown': int(np.sum(ontology.depth == 0)),
    }
  }


def _scores(mine, targets, per_class) -> dict:
  """Of the classes (class,) of a group: how many, of how many clips, means."""
  means = {
    name: float(per_class[column][mine].mean())
    for name, column in _MEANS.items()
  }
  clips = int(targets[:, mine].any(1).sum())
  return {'classes': int(mine.sum()), 'clips': clips, **means}
