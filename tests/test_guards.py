"""Training that goes wrong: it stops, says where, and keeps what was good."""

import json
import os
import signal

import dcase_data
import jax
import numpy as np
import pytest
from absl import logging
from test_ensemble import features, members
from test_train import Writer, fit, tiny_config, tiny_examples, trainer

from aec_jax import checkpoint, metrics, termination, train
from aec_jax.ensemble import Ensemble
from aec_jax.errors import UserError


def spoilt_examples(bad):
  """Floats, of which one example's are not finite."""
  examples = tiny_examples()
  embeddings = examples.embeddings.astype(np.float32) / 64 - 2
  embeddings[bad, 0] = np.nan
  object.__setattr__(examples, 'embeddings', embeddings)
  return examples


@pytest.mark.parametrize('place', ['device', 'host'])
def test_a_step_that_is_not_finite_is_named_with_its_examples(tmp_path, place):
  config = tiny_config(examples_on=place, checkpoint_every=1)
  examples, bad = spoilt_examples(5), 5
  run = trainer(config, examples)
  (plan,) = run.plan.dataset([(0, 12)]).as_numpy_iterator()
  first = int(np.flatnonzero((plan['first'] == bad).any(1))[0])
  checkpoints = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(UserError, match=rf'loss is nan at step {first + 1}') as e:
    run.fit(lambda state: {'mAP': 0.0}, checkpoints, Writer())
  told = json.loads((tmp_path / 'diverged.json').read_text())
  assert told['step'] == first + 1
  expected = examples.ids[np.unique(plan['first'][first])].astype(str)
  assert told['examples'] == expected.tolist() and '00005' in expected
  assert expected[0] in str(e.value)
  found = checkpoints.restore(run.create_state())
  if first:
    assert int(found[0].step) <= first
    assert train.all_finite(found[0].params)


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
  # At such a rate the first update is too much, and its loss still finite.
  config = tiny_config(checkpoint_every=1, steps_per_dispatch=1)
  config.optimizer.name = 'sgd'
  config.optimizer.learning_rate = 1e38
  run = trainer(config)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(
    UserError, match=r'not finite at step|loss is \w+ at step'
  ):
    run.fit(lambda state: {'mAP': 0.0}, checkpoints, Writer())
  found = checkpoints.restore(run.create_state())
  assert found is None or train.all_finite(found[0].params)


def diverging(**fields):
  """An ensemble whose members of the second extractor meet a NaN."""
  config = dcase_data.tiny_config(**fields)
  spoilt = features(2)
  spoilt.embeddings[1] = np.nan
  return Ensemble(config, spoilt, members())


def test_a_member_that_diverges_stops_the_run_and_is_named(tmp_path):
  run = diverging()
  checkpoints = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(UserError, match=r'loss of b/0 is nan at step 1,.*\.wav'):
    run.fit(run.validate, checkpoints, Writer())


def test_a_member_that_diverges_is_left_out_if_the_config_says_so(
  tmp_path, caplog
):
  run = diverging(on_diverged='skip')
  checkpoints = checkpoint.Checkpoints(tmp_path)
  logging.use_python_logging(quiet=True)
  with caplog.at_level('WARNING', logger='absl'):
    history = run.fit(run.validate, checkpoints, Writer())
  assert 'left out: the loss of b/0' in caplog.text
  assert history.diverged == ['b/0', 'b/1']
  assert run.left(history).tolist() == [0]
  state, again = checkpoints.restore(run.create_state())
  assert again['diverged'] == history.diverged
  # The one that is left is as if it had been alone.
  alone = Ensemble(run.config, features(2), members()[:1])
  single = alone.fit(
    alone.validate, checkpoint.Checkpoints(tmp_path / 'alone'), Writer()
  )
  for one, other in zip(history.evaluations, single.evaluations, strict=True):
    np.testing.assert_allclose(one['loss'], other['loss'], rtol=1e-5)
    assert one['MAP@3'] == one['members']['MAP@3'][0] == other['MAP@3']
    assert one['members']['MAP@3'][1:] == [None, None]
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.best))


def test_all_members_diverged_is_an_error_whatever_the_config_says(tmp_path):
  config = dcase_data.tiny_config(on_diverged='skip')
  spoilt = features(2)
  spoilt.embeddings[:] = np.nan
  run = Ensemble(config, spoilt, members())
  with pytest.raises(UserError, match='loss of b/1 is nan'):
    run.fit(run.validate, checkpoint.Checkpoints(tmp_path), Writer())


@pytest.mark.parametrize(
  ('scores', 'at'),
  [
    ([0.30, 0.30, 0.31, 0.31, 0.31], [400]),  # a fifth of 2,000 steps
    ([0.30, 0.32, 0.31, 0.31, 0.31], []),
    ([0.30], []),
  ],
)
def test_a_metric_at_chance_is_warned_of_once(scores, at, caplog):
  config = tiny_config(max_steps=2000, patience=20)
  history, warned = train.History(), []
  logging.use_python_logging(quiet=True)
  for count, score in enumerate(scores, 1):
    history.evaluations.append({'step': 200 * count, 'mAP': score})
    with caplog.at_level('WARNING', logger='absl'):
      caplog.clear()
      train.warn_at_chance(config, history, chance=0.295)
    if caplog.text:
      assert 'best mAP is 0.3000, and a guess gets 0.2950' in caplog.text
      warned.append(200 * count)
  assert warned == at


def test_chance_is_what_a_constant_guess_gets():
  rng = np.random.default_rng(0)
  labels = rng.choice(4, 4000, p=[0.4, 0.3, 0.2, 0.1])
  shares = np.bincount(labels) / len(labels)
  guess = np.tile(np.log(shares), (len(labels), 1))
  scores = metrics.single_label_summary(labels, guess)
  for name in ('MAP@3', 'accuracy'):
    np.testing.assert_allclose(metrics.chance(name, shares), scores[name])
  found = metrics.chance('log_likelihood', shares)
  np.testing.assert_allclose(
    found, guess[np.arange(len(labels)), labels].mean()
  )
  targets = labels[:, None] == np.arange(4)
  constant = metrics.summary(targets, np.zeros(targets.shape))
  for name in ('mAP', 'AUC', 'd_prime'):
    np.testing.assert_allclose(
      metrics.chance(name, targets.mean(0)), constant[name], atol=1e-12
    )


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_training_has_saved_and_ends_with_the_same_bits(
  tmp_path, number
):
  config = tiny_config(checkpoint_every=1000, eval_every=12)
  whole, _ = fit(config, tmp_path / 'whole')
  before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  termination.handle()
  run = trainer(config)
  steps, calls = run.steps, []

  def stopping(*args):
    calls.append(args)
    if len(calls) == 2:  # two steps each
      os.kill(os.getpid(), number)
    return steps(*args)

  run.steps = stopping
  checkpoints = checkpoint.Checkpoints(tmp_path / 'stopped')
  try:
    with pytest.raises(SystemExit) as end:
      run.fit(lambda state: {'mAP': 0.0}, checkpoints, Writer())
  finally:
    for n, handler in before.items():
      signal.signal(n, handler)
  assert end.value.code == 128 + number
  assert len(calls) == 2
  state, _ = checkpoints.restore(run.create_state())
  assert int(state.step) == 4
  checkpoints.close()
  found, _ = fit(config, tmp_path / 'stopped')
  jax.tree.map(np.testing.assert_array_equal, found.params, whole.params)


def test_without_a_handler_signals_are_left_alone():
  before = signal.getsignal(signal.SIGTERM)
  with termination.held() as came:
    assert signal.getsignal(signal.SIGTERM) is before
  assert came == []
