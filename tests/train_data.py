"""Embeddings of a few clips, and a loop around what trains on them."""

import jax
import numpy as np

from aec_jax import presets
from aec_jax.datasets.labels import Labels
from aec_jax.input import pieces
from aec_jax.input.batches import Features
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.train import loop
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Classifiers

# AudioSet's form: one classifier, clips of up to four segments.


def released_config(**fields):
  """A tiny config of one classifier of released embeddings, resolved."""
  config = presets.audioset()
  config.update_from_flattened_dict(
    {
      'batch_size': 8,
      'max_steps': 12,
      'eval_every': 4,
      'checkpoint_every': 3,
      'steps_per_dispatch': 1,  # so that one program has all steps
      'model.hidden': (8,),
      'model.levels': (1,),
      'model.dtype': 'float32',
      **fields,
    }
  )
  return presets.resolve(config)


def released_features(clips=24) -> Features:
  """Separable clips of 1 to 4 segments; those that are scored come after."""
  rng = np.random.default_rng(0)
  labels = np.tile(np.arange(clips) % 3, 2)
  centres = rng.integers(40, 216, (3, 16))
  noise = rng.integers(-20, 20, (2 * clips, 4, 16))
  n_segments = np.tile(1 + np.arange(clips) % 4, 2)
  embeddings = (centres[labels][:, None] + noise).astype(np.uint8)
  embeddings[np.arange(4) >= n_segments[:, None]] = 0
  return Features(
    embeddings.reshape(1, -1, 16),
    pieces.padded(n_segments, 4),
    np.array([b'%05d' % i for i in range(2 * clips)]),
    Labels.of_one(labels, 3),
  )


def released(config, features=None) -> Classifiers:
  """One classifier that trains on the first half of the clips."""
  features = features or released_features()
  half = len(features.ids) // 2
  scored = np.arange(half, 2 * half)
  member = Member('released', 0, np.arange(half), scored, scored)
  return Classifiers(config, OBJECTIVES[config.objective], features, [member])


# Recordings' form: members of two extractors, clips of one class.

LABELS = np.arange(12) % 3
COUNTS = 1 + np.arange(12) % 4
IDS = np.array([f'{i}.wav' for i in range(12)])


def features(length, extractors=2, last='repeat') -> Features:
  """Embeddings that hold their class, in pieces of `length`."""
  rng = np.random.default_rng(0)
  offsets = np.concatenate([[0], np.cumsum(COUNTS)])
  of = np.repeat(LABELS, COUNTS)
  x = rng.standard_normal((extractors, len(of), 16)) + of[:, None]
  return Features(
    x.astype(np.float32),
    pieces.cut(offsets, length, last),
    IDS,
    Labels.of_one(LABELS, 3),
  )


def members() -> list[Member]:
  """Three, on two extractors' embeddings."""
  even, odd = np.arange(0, 12, 2), np.arange(1, 12, 2)
  return [
    Member('a/0', 0, even, odd, odd),
    Member('b/0', 1, even, odd, odd),
    Member('b/1', 1, odd, even, even),
  ]


def classifiers(config, length=2, some=None) -> Classifiers:
  """`members`, or some of them, as a system."""
  return Classifiers(
    config, OBJECTIVES[config.objective], features(length), some or members()
  )


# Any system.


class Writer:
  """Collects what a `curves.Writer` is given."""

  folder = None

  def __init__(self):
    self.scalars = {}

  def write_scalars(self, step, scalars):
    self.scalars.setdefault(step, {}).update(scalars)

  def flush(self):
    pass


def fit(system, folder):
  """Trains from where the folder stands: the last state and the history."""
  checkpoints = Checkpoints(folder)
  try:
    history = loop.fit(system, checkpoints, Writer())
    state, _ = checkpoints.restore(system.create_state())
  finally:
    checkpoints.close()
  return state, history


class Cut(Exception):
  """What ends a training in its middle."""


def cut_off(system, folder, step) -> None:
  """Trains until a step is to be done, and there fails."""
  steps = system.steps

  def failing(state, plan):
    if int(state.step) >= step:
      raise Cut
    return steps(state, plan)

  system.steps = failing
  try:
    fit(system, folder)
  except Cut:
    return
  finally:
    system.steps = steps
  raise AssertionError('it was not cut off')


def assert_equal_trees(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)
