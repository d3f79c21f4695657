"""The loop: plans, evaluations, checkpoints, early stop, on tiny data."""

import itertools
import time
import types

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_data import assert_equal_trees, cut_off, fit, released
from train_data import released_config as config_of

from aec_jax.errors import UserError
from aec_jax.train import checkpoint, dispatch, loop


def test_it_learns_a_set_it_can_separate(tmp_path):
  config = config_of(max_steps=150, eval_every=150, steps_per_dispatch=50)
  config.model.dropout = 0.0
  config.optimizer.learning_rate = 0.01
  _, history = fit(released(config), tmp_path)
  assert history.evaluations[-1]['mAP'] > 0.99


@pytest.fixture(scope='module')
def system():
  """It may train again and again, compiled once."""
  return released(config_of())


@pytest.fixture(scope='module')
def whole_run(system, tmp_path_factory):
  """The last state and the history of an unbroken run."""
  return fit(system, tmp_path_factory.mktemp('whole'))


def _trained(folder, place, **fields):
  config = config_of(examples_on=place, mixup_alpha=0.5, **fields)
  return fit(released(config), folder / place)


def test_examples_on_the_host_train_alike(tmp_path):
  # Momentum: Adam makes steps of any gradient's noise.
  steady = {'optimizer.name': 'momentum', 'optimizer.learning_rate': 0.05}
  (_, one), (_, other) = (
    _trained(tmp_path, place, **steady) for place in ('device', 'host')
  )
  for a, b in zip(one.evaluations, other.evaluations, strict=True):
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-5)
    np.testing.assert_allclose(a['mAP'], b['mAP'], atol=1e-3)


@pytest.mark.slow  # what is optimised in full, as a user's is, has equal bits
def test_examples_on_the_host_give_the_same_bits(tmp_path):
  (a, one), (b, other) = (
    _trained(tmp_path, place) for place in ('device', 'host')
  )
  assert_equal_trees(a, b)
  assert one.evaluations == other.evaluations


# Just after a checkpoint, and between one and the next.
@pytest.mark.parametrize('stop', [4, 7])
def test_a_run_cut_off_ends_like_an_unbroken_one(
  tmp_path, stop, system, whole_run
):
  whole, history = whole_run
  cut_off(system, tmp_path, stop)
  resumed, resumed_history = fit(system, tmp_path)
  assert_equal_trees(whole, resumed)
  assert resumed_history.evaluations == history.evaluations


@pytest.fixture
def ahead(monkeypatch):
  """Has evaluations wait for no steps, nor steps for them."""
  monkeypatch.setattr(loop, 'on_cpu', lambda backend=None: False)


def test_scoring_while_steps_run_gives_the_same_bits(
  tmp_path, ahead, whole_run
):
  whole, history = whole_run
  state, found = fit(released(config_of()), tmp_path)
  assert_equal_trees(state, whole)
  assert found.evaluations == history.evaluations
  # And so does a run that is cut off while something is due.
  system = released(config_of())
  cut_off(system, tmp_path / 'cut', 8)
  state, found = fit(system, tmp_path / 'cut')
  assert_equal_trees(state, whole)
  assert found.evaluations == history.evaluations


@pytest.mark.parametrize('waited', [True, False])
def test_it_stops_when_patience_ends_and_stays_stopped(
  tmp_path, monkeypatch, waited
):
  if not waited:
    monkeypatch.setattr(loop, 'on_cpu', lambda backend=None: False)
  scores = iter([0.1, 0.3, 0.2, 0.3, 0.9])
  system = released(config_of(max_steps=100, patience=2))
  kept = {}

  def evaluate(state, history):
    kernel = np.array(state.members.params['output']['kernel'])
    kept[int(state.step)] = kernel
    score = next(scores) if state.step else 0.0

    def wait():
      time.sleep(0 if waited else 0.05)
      return {'mAP': score, 'members': {'mAP': [score]}}

    return wait

  monkeypatch.setattr(system, 'evaluate', evaluate)
  state, history = fit(system, tmp_path)
  assert [e['step'] for e in history.evaluations] == [4, 8, 12, 16]
  assert history.best('mAP')['step'] == 8
  _, again = fit(system, tmp_path)
  assert again.evaluations == history.evaluations
  best = state.best['params']['output']['kernel']
  np.testing.assert_array_equal(best, kept[8])
  assert (kept[8] != kept[16]).any()


def test_more_steps_go_on_from_where_it_stood(tmp_path, system, whole_run):
  fit(released(config_of(max_steps=8)), tmp_path)
  longer, history = fit(system, tmp_path)
  whole, expected = whole_run
  assert_equal_trees(longer, whole)
  assert history.evaluations == expected.evaluations


def test_a_loss_that_is_not_finite_stops_with_the_step(tmp_path):
  fields = {'optimizer.name': 'sgd', 'optimizer.learning_rate': 1e38}
  with pytest.raises(UserError, match=r'the loss is \w+ at step \d+'):
    fit(released(config_of(**fields)), tmp_path)


@settings(max_examples=30, deadline=None)
@given(
  numbers=st.tuples(*[st.integers(1, 30)] * 4),
  data=st.data(),
)
def test_spans_from_a_checkpoint_are_those_of_the_whole_run(numbers, data):
  names = ('max_steps', 'eval_every', 'checkpoint_every', 'steps_per_dispatch')
  config = types.SimpleNamespace(**dict(zip(names, numbers, strict=True)))
  most = config.steps_per_dispatch
  whole = list(dispatch.spans(0, config, most))
  assert [stop for _, stop in whole[:-1]] == [start for start, _ in whole[1:]]
  assert whole[-1][1] == config.max_steps
  saved = [
    start
    for start, _ in whole
    if not start % config.eval_every or not start % config.checkpoint_every
  ]
  start = data.draw(st.sampled_from(saved))
  rest = list(dispatch.spans(start, config, most))
  assert rest == [s for s in whole if s[0] >= start]


def test_accelerators_take_as_many_steps_as_their_plans_have_room_for():
  settings = types.SimpleNamespace(steps_per_dispatch=0)
  assert dispatch.most_steps(settings, 10, 2**20, 'cpu') == 10
  assert dispatch.most_steps(settings, 10, 2**20, 'gpu') == 256
  assert dispatch.most_steps(settings, 10, 2**40, 'tpu') == 1
  settings.steps_per_dispatch = 7
  assert dispatch.most_steps(settings, 10, 2**20, 'gpu') == 7


def test_plans_are_made_as_they_are_needed(monkeypatch):
  config = config_of(max_steps=2**31 - 1)
  system = released(config)

  def first():
    planned = dispatch._planned(
      system, dispatch.spans(0, config, system.most_steps)
    )
    return list(itertools.islice(planned, 5))

  whole = first()
  monkeypatch.setattr(dispatch, '_SPANS', 2)
  for (span, plan), (other, same) in zip(whole, first(), strict=True):
    assert span == other
    assert_equal_trees(plan, same)


def test_the_running_mean_of_the_parameters_is_what_is_scored():
  system = released(config_of(average=0.9))
  state = system.create_state()
  expected = jax.tree.map(np.array, state.members.params)
  for step, plan in enumerate(system.plans([(s, s + 1) for s in range(12)])):
    state, _ = system.steps(state, plan)
    keep = min(0.9, (1 + step) / (10 + step))
    expected = jax.tree.map(
      lambda a, x, keep=keep: keep * a + (1 - keep) * np.asarray(x),
      expected,
      state.members.params,
    )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    state.members.variables()['params'],
    expected,
  )
  assert not np.allclose(
    state.members.params['output']['kernel'],
    expected['output']['kernel'],
    atol=1e-4,
  )


def test_a_folder_without_a_checkpoint_has_no_best(tmp_path):
  checkpoints = checkpoint.Checkpoints(tmp_path)
  assert checkpoints.restore({'w': np.zeros(2)}) is None
  with pytest.raises(UserError, match='holds no checkpoint'):
    checkpoints.restore_best({'w': np.zeros(2)})
  checkpoints.close()
