"""Every config that ships trains for a step; those of one form share it."""

import functools
import importlib
import json
import math
from functools import partial
from pathlib import Path

import dcase_data
import jax
import numpy as np
import pytest
import train_data

from aec_jax import config_checks, models, presets
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.input.folds import Job
from aec_jax.models import convolution, extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.train import extractor
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.start import Start

CONFIGS = Path(__file__).parents[1] / 'configs'
EXPERIMENTS = sorted(
  path.stem for path in CONFIGS.glob('*.py') if path.stem != '__init__'
)
TABLE_10 = {
    'audioset_dnn1', 'audioset_dnn2', 'audioset_lstm', 'audioset_level1',
    'audioset_level2', 'audioset_level3', 'audioset_level12',
    'audioset_level13', 'audioset_level23', 'audioset_level123',
}  # fmt: skip
# Sizes alone: a config keeps its layers, objective, optimiser and sampling.
TINY = {
    'batch_size': 8, 'max_steps': 10, 'eval_every': 5, 'patience': 2,
    'steps_per_dispatch': 1, 'model.dtype': 'float32',
    'extractor.width': 0.03, 'extractor.batch_size': 4,
    'extractor.max_steps': 10, 'extractor.eval_every': 5,
    'extractor.patience': 2, 'extractor.init': 'random',
}  # fmt: skip


def tiny(name):
  """A shipped config, resolved, with few units."""
  module = importlib.import_module(f'configs.{name}')
  config = module.get_config()
  config.data_dir = 'somewhere'
  config = presets.resolve(config)
  config.update_from_flattened_dict(
    TINY | {'model.hidden': (8,) * len(config.model.hidden)}
  )
  return config


def form_of(section) -> str:
  """What a compiled step is a function of."""
  return json.dumps(section, sort_keys=True)


def test_table_10_is_complete():
  assert set(EXPERIMENTS) >= TABLE_10


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_a_config_is_whole(name):
  """Its sizes, too, are as shipped."""
  module = importlib.import_module(f'configs.{name}')
  assert f'--config=configs/{name}.py' in module.__doc__
  for data_dir in ('', 'somewhere'):
    config = module.get_config()
    assert config.name == name
    config.data_dir = data_dir
    config = presets.resolve(config)
    if config.teacher_weight:
      with pytest.raises(UserError, match='give --config.teacher=DIR'):
        config_checks.check_config(config)
      config.teacher = 'somewhere'
    if not config.extractor.init and config.dataset != 'audioset':
      # Those for full-sized data say what is missing.
      with pytest.raises(UserError, match=r'config\.extractor\.init is empty'):
        config_checks.check_config(config)
      config.extractor.init = 'random'
    if 'original' in config.extractors:
      with pytest.raises(UserError, match="is 'random': give its weights"):
        config_checks.check_config(config)
    elif config.extractors != ('unbalanced',) or data_dir:
      config_checks.check_config(config)
    assert config.batch_size and config.model.hidden
    assert config.max_steps >= config.eval_every
    models.classifier(config.model, 5)


@functools.cache
def classifier_step(form):
  """The first loss of a classifier, and whether all parameters moved."""
  fields = json.loads(form)
  config, length = tiny(fields['name']), fields['length']
  if config.dataset == 'audioset':
    system = train_data.released(config)
  else:
    system = Classifiers(
      config,
      OBJECTIVES[config.objective],
      train_data.features(length, last=config.last_piece),
      train_data.members()[:1],
    )
  return _stepped(system, lambda state: state.members.params)


@pytest.fixture
def simple_convolutions(monkeypatch):
  """XLA's own, which compile in a third of the time."""
  kernel = lambda x, w, dtype: partial(convolution._direct, dtype=dtype)
  gradient = lambda x, w, dtype: partial(
    convolution._direct_kernel_gradient, size=w[0], dtype=dtype
  )
  monkeypatch.setattr(convolution, '_kernel_on_cpu', kernel)
  monkeypatch.setattr(convolution, '_gradient_on_cpu', gradient)


@functools.cache
def extractor_step(form):
  """As `classifier_step`, of an extractor."""
  config = tiny(json.loads(form)['name'])
  spec = extractors.front_end(config.extractor)
  clips = dcase_data.clip_examples(
    (1, 2, 1, 2, 1, 2),
    Labels.of_one(np.arange(6) % 3, 3),
    shape=(spec.frames, spec.bands),
  )
  job = Job('some', 'balanced', np.arange(4), np.arange(4, 6))
  tuner = extractor.FineTuner(config, clips, job, Start())
  return _stepped(tuner, lambda state: state.params)


def _stepped(system, params_of):
  state = system.create_state()
  before = jax.tree.map(np.array, params_of(state))
  (plan,) = system.plans([(0, 1)])
  state, measured = system.steps(state, plan)
  moved = jax.tree.map(
    lambda a, b: bool(np.any(a != np.asarray(b))), before, params_of(state)
  )
  return float(np.sum(measured['loss'])), moved


# The first config of each form stands for it.
_STANDING_FOR = {}


def first_of(name, *sections, **more):
  """The form of a config, under the name of the first one that has it."""
  key = form_of([*sections, more])
  return form_of({'name': _STANDING_FOR.setdefault(key, name), **more})


WITH_CLASSIFIERS = [
  name
  for name in EXPERIMENTS
  if not extractors.row(tiny(name).extractor).classifies
]
WITH_EXTRACTORS = [
  name for name in EXPERIMENTS if tiny(name).dataset != 'audioset'
]


@pytest.mark.parametrize('name', WITH_CLASSIFIERS)
def test_a_config_s_classifier_takes_a_step(name):
  config = tiny(name)
  for length in config.segments:
    form = first_of(
      name, config.model.to_dict(), config.optimizer.to_dict(),
      config.objective, config.dataset == 'audioset', config.last_piece,
      config.sampling, bool(config.mixup_alpha), config.average,
      length=min(length, 2),
    )  # fmt: skip
    loss, moved = classifier_step(form)
    # At first it guesses about at random, give or take what the weights add.
    assert 0.1 < loss < 3 * math.log(3), (name, length)
    assert all(jax.tree.leaves(moved)), (name, moved)


@pytest.mark.parametrize('name', WITH_EXTRACTORS)
def test_a_config_s_extractor_takes_a_step(name, simple_convolutions):
  config = tiny(name)
  # Rates differ by the size of the data, and are one number of a step.
  del config.extractor.optimizer['learning_rate']
  form = first_of(name, config.extractor.to_dict(), config.objective)
  loss, moved = extractor_step(form)
  assert 0.1 < loss < 12, name
  # Dead units of so narrow a network may keep a layer from moving.
  assert any(jax.tree.leaves(moved)), name
