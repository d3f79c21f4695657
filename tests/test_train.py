"""The step, the loop and its pieces, on tiny data in this process."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from aec_jax import metrics, models
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from aec_jax.evaluate import Predictor
from aec_jax.input import batches
from aec_jax.input.plan import Groups, Plan
from aec_jax.train import checkpoint
from aec_jax.train import loop as trainer_lib
from aec_jax.train import step as step_lib
from aec_jax.train.loop import Trainer, spans
from configs import audioset


def tiny_config(**overrides):
  config = audioset.get_config()
  config.update(
    {
      'batch_size': 8,
      'max_steps': 12,
      'eval_every': 4,
      'checkpoint_every': 3,
      'steps_per_dispatch': 2,
      **overrides,
    }
  )
  config.model.hidden = (8, 8, 8)
  config.model.dtype = 'float32'
  return config


def tiny_examples(examples=24, classes=3, seed=0):
  """Separable examples of 1 to 4 segments, every one with its own label."""
  rng = np.random.default_rng(seed)
  labels = np.arange(examples) % classes
  centres = rng.integers(40, 216, (classes, 16))
  noise = rng.integers(-20, 20, (examples, 4, 16))
  n_segments = (1 + np.arange(examples) % 4).astype(np.uint8)
  embeddings = (centres[labels][:, None] + noise).astype(np.uint8)
  embeddings[np.arange(4) >= n_segments[:, None]] = 0
  return Examples(
    embeddings=embeddings,
    n_segments=n_segments,
    label_ids=labels.astype(np.int16),
    label_offsets=np.arange(examples + 1),
    ids=np.array([b'%05d' % i for i in range(examples)]),
    classes=tuple('abc'[:classes]),
  )


class Writer:
  """Collects what a clu MetricWriter is given."""

  def __init__(self):
    self.scalars = {}

  def write_scalars(self, step, scalars):
    self.scalars[step] = scalars


def trainer(config, examples=None):
  examples = examples or tiny_examples()
  model = models.classifier(config.model, len(examples.classes), step_lib.AXIS)
  groups = Groups.of_classes(*examples.labels.clips_of_classes())
  plan = Plan(groups, config.batch_size, config.seed, config.mixup_alpha)
  return Trainer(config, model, examples, plan)


def fit(config, folder, evaluate=None, examples=None):
  run = trainer(config, examples)
  predict = Predictor(config, run.model, examples or tiny_examples(seed=1))
  targets = (examples or tiny_examples(seed=1)).labels.multi_hot()
  checkpoints = checkpoint.Checkpoints(folder)
  history = run.fit(
    evaluate or (lambda state: metrics.summary(targets, predict(state))),
    checkpoints,
    Writer(),
  )
  state, _ = checkpoints.restore(run.create_state())
  checkpoints.close()
  return state, history


def assert_equal_trees(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_it_learns_a_set_it_can_separate(tmp_path):
  config = tiny_config(max_steps=150, eval_every=150, steps_per_dispatch=50)
  config.model.dropout = 0.0
  config.optimizer.learning_rate = 0.01
  _, history = fit(config, tmp_path, examples=tiny_examples())
  assert history.evaluations[-1]['mAP'] > 0.99


@pytest.mark.parametrize('alpha', [0.0, 0.5])
def test_examples_on_the_host_give_the_same_bits(tmp_path, alpha):
  configs = (
    tiny_config(examples_on=place, mixup_alpha=alpha)
    for place in ('device', 'host')
  )
  (a, one), (b, other) = (
    fit(config, tmp_path / config.examples_on) for config in configs
  )
  assert_equal_trees(a, b)
  assert one.evaluations == other.evaluations


@pytest.fixture(scope='module')
def whole_run(tmp_path_factory):
  """The last state and the history of an unbroken run."""
  return fit(tiny_config(), tmp_path_factory.mktemp('whole'))


# Just after a checkpoint, and between one and the next.
@pytest.mark.parametrize('stop', [4, 7])
def test_a_run_cut_off_ends_like_an_unbroken_one(tmp_path, stop, whole_run):
  whole, history = whole_run

  class Cut(Exception):
    pass

  run = trainer(tiny_config())
  checkpoints = checkpoint.Checkpoints(tmp_path / 'cut')
  steps = run.steps

  def failing(state, table, plan):
    if int(state.step) >= stop:
      raise Cut
    return steps(state, table, plan)

  run.steps = failing
  predict = Predictor(run.config, run.model, tiny_examples(seed=1))
  targets = tiny_examples(seed=1).labels.multi_hot()
  with pytest.raises(Cut):
    run.fit(
      lambda s: metrics.summary(targets, predict(s)), checkpoints, Writer()
    )
  checkpoints.close()
  resumed, resumed_history = fit(tiny_config(), tmp_path / 'cut')
  assert_equal_trees(whole, resumed)
  assert resumed_history.evaluations == history.evaluations


def test_it_stops_when_patience_ends_and_stays_stopped(tmp_path):
  scores = iter([0.1, 0.3, 0.2, 0.3, 0.9])
  evaluate = lambda state: {'mAP': next(scores)}
  config = tiny_config(max_steps=100, patience=2)
  _, history = fit(config, tmp_path, evaluate)
  assert [e['step'] for e in history.evaluations] == [4, 8, 12, 16]
  assert history.best('mAP')['step'] == 8
  _, again = fit(config, tmp_path, evaluate)
  assert again.evaluations == history.evaluations
  template = trainer(config).create_state()
  best, _ = checkpoint.Checkpoints(tmp_path).restore_best(template)
  assert int(best.step) == 8


def test_more_steps_go_on_from_where_it_stood(tmp_path, whole_run):
  fit(tiny_config(max_steps=8), tmp_path)
  longer, history = fit(tiny_config(), tmp_path)
  whole, expected = whole_run
  assert_equal_trees(longer, whole)
  assert history.evaluations == expected.evaluations


def test_a_loss_that_is_not_finite_stops_with_the_step(tmp_path):
  config = tiny_config()
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 1e38
  with pytest.raises(UserError, match=r'the loss is \w+ at step \d+'):
    fit(config, tmp_path)


@settings(max_examples=30, deadline=None)
@given(
  numbers=st.tuples(*[st.integers(1, 30)] * 4),
  data=st.data(),
)
def test_spans_from_a_checkpoint_are_those_of_the_whole_run(numbers, data):
  names = ('max_steps', 'eval_every', 'checkpoint_every', 'steps_per_dispatch')
  config = types.SimpleNamespace(**dict(zip(names, numbers, strict=True)))
  whole = list(spans(0, config))
  assert [stop for _, stop in whole[:-1]] == [start for start, _ in whole[1:]]
  assert whole[-1][1] == config.max_steps
  saved = [
    start
    for start, _ in whole
    if not start % config.eval_every or not start % config.checkpoint_every
  ]
  start = data.draw(st.sampled_from(saved))
  assert list(spans(start, config)) == [s for s in whole if s[0] >= start]


def test_plans_are_made_as_they_are_needed(monkeypatch):
  config = tiny_config(max_steps=2**31 - 1)
  run = trainer(config)
  first = lambda: list(itertools.islice(run._planned(spans(0, config)), 5))
  whole = first()
  monkeypatch.setattr(trainer_lib, '_SPANS', 2)
  for (span, plan), (other, same) in zip(whole, first(), strict=True):
    assert span == other
    jax.tree.map(np.testing.assert_array_equal, plan, same)


@pytest.mark.parametrize('name', step_lib.OPTIMIZERS)
def test_every_optimiser_descends(name):
  config = audioset.get_config().optimizer
  config.name, config.learning_rate = name, 0.05
  tx = step_lib.optimizer(config)
  params = {'w': jnp.array([1.0, -2.0])}
  state = tx.init(params)
  for _ in range(40):
    updates, state = tx.update(params, state, params)  # gradient of |w|² / 2
    params = jax.tree.map(jnp.add, params, updates)
  assert jnp.sum(params['w'] ** 2) < 4.0


def test_an_unknown_optimiser_lists_those_there_are():
  with pytest.raises(UserError, match="'adamm'.*adagrad, adam, adamax"):
    step_lib.optimizer(ConfigDict({'name': 'adamm'}))


def test_penalty_is_over_the_kernels():
  params = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([5.0])}
  np.testing.assert_allclose(step_lib.penalty(params, 0.1, 0.0), 0.3, rtol=1e-6)
  np.testing.assert_allclose(
    step_lib.penalty(params, 0.0, 0.1), 0.25, rtol=1e-6
  )


def test_losses_are_per_example():
  logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]], np.float32)
  targets = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
  p = 1 / (1 + np.exp(-logits))
  binary = -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p), 1)
  np.testing.assert_allclose(
    step_lib.LOSSES['binary'](logits, targets), binary, rtol=1e-5
  )
  q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(
    step_lib.LOSSES['categorical'](logits, targets),
    -np.log(q[targets > 0]),
    rtol=1e-5,
  )


@pytest.mark.parametrize('place', ['device', 'host'])
@pytest.mark.parametrize('count', [1, 7, 8, 21])
def test_every_example_is_predicted_once_in_order(count, place):
  config = tiny_config(examples_on=place)
  examples = tiny_examples(count)
  model = models.classifier(config.model, 3, step_lib.AXIS)
  state = step_lib.create_state(
    model, step_lib.optimizer(config.optimizer), config, (4, 16)
  )
  found = Predictor(config, model, examples)(state)
  batch = batches.decode(batches.rows(examples), 3)
  logits = models.classifier(config.model, 3).apply(
    {'params': state.params, 'batch_stats': state.batch_stats},
    batch['embeddings'],
    batch['mask'],
  )
  assert found.shape == (count, 3)
  np.testing.assert_allclose(found, jax.nn.sigmoid(logits), atol=1e-6)


def test_mixup_is_equation_27():
  examples = tiny_examples(8)
  table = batches.rows(examples)
  first, second = np.array([0, 1, 2]), np.array([3, 5, 7])
  weight = np.array([1.0, 0.25, 0.6], np.float32)
  step = {'first': first, 'second': second, 'weight': weight}
  batch = batches.assemble(batches.gather(table, step), 3)
  x = examples.embeddings * (4 / 255) - 2.0
  valid = np.arange(4) < examples.n_segments[:, None]
  x = np.where(valid[..., None], x, 0.0)
  scale = weight[:, None, None]
  np.testing.assert_allclose(
    batch['embeddings'],
    scale * x[first] + (1 - scale) * x[second],
    atol=1e-6,
  )
  y = examples.labels.multi_hot()
  np.testing.assert_allclose(
    batch['targets'],
    weight[:, None] * y[first] + (1 - weight[:, None]) * y[second],
    atol=1e-6,
  )
  expected = valid[first] | valid[second]
  expected[0] = valid[0]  # λ = 1: the partner is not heard
  np.testing.assert_array_equal(batch['mask'], expected)


def test_a_batch_that_devices_cannot_share_is_refused(monkeypatch):
  monkeypatch.setattr(jax, 'device_count', lambda: 3)
  with pytest.raises(UserError, match='batch_size is 8, which 3 devices'):
    trainer(tiny_config())


def test_the_running_mean_of_the_parameters_is_what_is_scored():
  config = tiny_config(average=0.9, steps_per_dispatch=1)
  run = trainer(config)
  state = step_lib.replicate(run.create_state())
  expected = jax.tree.map(np.array, state.params)
  for step, plan in enumerate(run._plans([(s, s + 1) for s in range(12)])):
    state, _ = run.steps(state, run.resident, plan)
    keep = min(0.9, (1 + step) / (10 + step))
    expected = jax.tree.map(
      lambda a, x, keep=keep: keep * a + (1 - keep) * np.asarray(x),
      expected,
      state.params,
    )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    state.variables()['params'],
    expected,
  )
  assert not np.allclose(
    state.params['output']['kernel'], expected['output']['kernel'], atol=1e-4
  )
