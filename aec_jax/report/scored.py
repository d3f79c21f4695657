"""The scored clips of an experiment, as the sections of its page take them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aec_jax import predictions as predictions_lib


class Scored(NamedTuple):
  """The scored clips.

  Attributes:
    ids: (clip,) text.
    targets: (clip, class) bool.
    probabilities: (clip, class).
    classes: (class,) names.
  """

  ids: Sequence[str]
  targets: np.ndarray
  probabilities: np.ndarray
  classes: Sequence[str]


def scored_clips(
  predictions: Mapping[str, np.ndarray], classes: Sequence[str]
) -> Scored:
  """The clips of predictions.

  Args:
    predictions: as `aec_jax.predictions.load` returns them.
    classes: the names of their classes, in order.
  """
  return Scored(
    [_text(i) for i in predictions['ids']],
    predictions_lib.targets_of(predictions),
    predictions['probabilities'],
    classes,
  )


def guessed(scored: Scored) -> np.ndarray:
  """(true class, first guess) numbers of clips, which have one label each."""
  true, guess = scored.targets.argmax(1), scored.probabilities.argmax(1)
  size = len(scored.classes)
  counts = np.bincount(true * size + guess, minlength=size**2)
  return counts.reshape(size, size)


def _text(clip_id) -> str:
  if isinstance(clip_id, bytes):
    return clip_id.decode('utf-8', 'replace')
  return str(clip_id)
