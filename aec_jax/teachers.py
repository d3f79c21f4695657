"""What finished experiments say of the training clips, for others to learn.

Distillation: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural
Network (2015, arXiv:1503.02531). The targets of a clip are the mean of its
labels and of its teachers' probabilities, so that a label that somebody forgot
is no plain mistake. Mixup mixes them as it does labels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax.bundle import store
from aec_jax.bundle.network import Network
from aec_jax.errors import UserError
from aec_jax.input.batches import Features
from aec_jax.run import cache

# Raised when a teacher's probabilities change for the same clips.
_VERSION = 1
_FILE = 'probabilities.npy'


def check(config) -> None:
  """Raises `UserError` where there are teachers or their weight alone."""
  weight = config.teacher_weight
  if config.teacher and not weight:
    raise UserError(
      'config.teacher is given, and config.teacher_weight is 0: give a weight,'
      ' such as 0.5'
    )
  if weight and not config.teacher:
    raise UserError(
      f'config.teacher_weight is {weight}, and nothing to learn from is given:'
      ' give --config.teacher=DIR, a finished experiment or its bundle'
    )


def read(config, classes: Sequence[str]) -> list[store.Stored]:
  """The teachers that a config names.

  Args:
    config: of the experiment that learns from them.
    classes: names of those that it learns.

  Raises:
    UserError: one is not finished, or of other classes, labels or embeddings.
  """
  found = []
  for folder in filter(None, config.teacher.split(',')):
    try:
      teacher = store.read(folder)
    except UserError as error:
      raise UserError(f'config.teacher: {error}') from error
    info, trouble = teacher.info, ''
    if info['objective'] != config.objective:
      trouble = f'is of {info["objective"]}, not {config.objective}'
    elif tuple(info['classes']) != tuple(classes):
      trouble = (
        f'knows other classes than {config.data_dir or "the synthetic set"}:'
        f' {", ".join(info["classes"][:5])} …'
      )
    elif info['extractor']['model'] != config.extractor.model:
      trouble = "takes sound, and this experiment AudioSet's embeddings"
    if trouble:
      raise UserError(f'config.teacher: {folder} {trouble}')
    found.append(teacher)
  return found


def key(teacher: store.Stored) -> str:
  """A hash of all that a teacher's probabilities are a function of."""
  info = teacher.info
  weights = info['files'][store.WEIGHTS]
  return cache.digest([weights, info['model'], info['ensembles']])


def targets(
  teachers: Sequence[store.Stored],
  weight: float,
  features: Features,
  training: int,
  fingerprints: Sequence[str],
  cache_dir: str | Path,
) -> np.ndarray:
  """What is to be learned of clips.

  Args:
    teachers: at least one.
    weight: of their mean; the rest is the labels'.
    features: of all clips.
    training: how many of these are trained on; they come first.
    fingerprints: of the data that these are of.
    cache_dir: of the stages.

  Returns:
    (clip, class) float16; of clips that are not trained on, the labels.
  """
  out = features.labels.multi_hot().astype(np.float16)
  some = [
    _probabilities(teacher, features, training, fingerprints, cache_dir)
    for teacher in teachers
  ]
  mean = np.mean(some, 0, np.float32)
  out[:training] = weight * mean + (1 - weight) * out[:training]
  return out


def _probabilities(teacher, features, training, fingerprints, cache_dir):
  """(clip, class) float16 of the clips that are trained on: a stage."""
  depends = {
    'version': _VERSION,
    'teacher': key(teacher),
    'data': list(fingerprints),
  }

  def build(folder):
    logging.info(
      'what %s says of %s clips', teacher.info['experiment'], f'{training:,}'
    )
    np.save(folder / _FILE, _said(teacher, features, training))

  path = cache.stage(cache_dir, 'teacher', depends, build) / _FILE
  return np.load(path, allow_pickle=False)


def _said(teacher, features, training) -> np.ndarray:
  network = Network(teacher.info, [], teacher.ensembles)
  mine = features.pieces
  mine = mine.select(mine.of_clips(np.arange(training)))
  total = sum(
    mine.clip_values(
      network.pieces(
        ensemble, features.embeddings, mine.segments, mine.n_segments
      ).values
    )
    for ensemble in network.ensembles
  )
  values = total / len(network.ensembles)
  return np.asarray(network.objective.to_probabilities(values), np.float16)
