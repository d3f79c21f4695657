"""Every config that ships is initialised and trained for one step."""

import importlib
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from aec_jax import audioset, experiment, models
from aec_jax.datasets.examples import Examples
from aec_jax.input import batches
from aec_jax.input.plan import Groups, Plan
from aec_jax.train.loop import Trainer
from aec_jax.train.step import AXIS

CONFIGS = Path(__file__).parents[1] / 'configs'
EXPERIMENTS = sorted(
  path.stem
  for path in CONFIGS.glob('*.py')
  if path.stem.startswith(('audioset_', 'demo'))
)
TABLE_10 = {
    'audioset_dnn1', 'audioset_dnn2', 'audioset_lstm', 'audioset_level1',
    'audioset_level2', 'audioset_level3', 'audioset_level12',
    'audioset_level13', 'audioset_level23', 'audioset_level123',
}  # fmt: skip


@pytest.fixture(scope='module')
def examples(tmp_path_factory, audioset_dir):
  config = importlib.import_module('configs.audioset_dnn1').get_config()
  config.data_dir = str(audioset_dir)
  cache = tmp_path_factory.mktemp('cache')
  return Examples.concatenate(
    audioset.load_splits(config, ('bal_train',), cache)
  )


def test_table_10_is_complete():
  assert set(EXPERIMENTS) >= TABLE_10


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_config_trains_a_step(name, examples):
  module = importlib.import_module(f'configs.{name}')
  assert f'--config=configs/{name}.py' in module.__doc__
  config = module.get_config()
  assert config.name == name
  config.batch_size, config.steps_per_dispatch = 8, 1
  experiment.check_config(config)
  model = models.classifier(config.model, len(examples.classes), AXIS)
  groups = Groups.of_classes(*examples.labels.clips_of_classes())
  plan = Plan(groups, config.batch_size, config.seed, config.mixup_alpha)
  trainer = Trainer(config, model, examples, plan)
  state = trainer.create_state()
  before = jax.tree.map(np.array, state.params)
  (step,) = plan.dataset([(0, 1)]).as_numpy_iterator()
  step = jax.tree.map(lambda x: x[None], step)
  state, losses = trainer.steps(state, batches.rows(examples), step)
  # Sigmoids at first guess a half, give or take what the weights add.
  assert np.isfinite(losses).all() and 0.1 < losses[0] < 3 * math.log(2)
  moved = jax.tree.map(lambda a, b: np.any(a != b), before, state.params)
  assert all(jax.tree.leaves(moved))
