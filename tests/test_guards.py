"""Training that goes wrong: it stops, says where, and keeps what was good."""

import json
import os
import signal
import subprocess
import sys

import dcase_data
import jax
import numpy as np
import pytest
from absl import logging
from test_ensemble import features, members
from test_train import Writer, tiny_config, tiny_examples, trainer

from aec_jax import metrics
from aec_jax.errors import UserError
from aec_jax.run import termination
from aec_jax.train import checkpoint, progress
from aec_jax.train import step as step_lib
from aec_jax.train.classifiers import Ensemble


def spoilt_examples(bad):
  """Floats, of which one example's are not finite."""
  examples = tiny_examples()
  embeddings = examples.embeddings.astype(np.float32) / 64 - 2
  embeddings[bad, 0] = np.nan
  object.__setattr__(examples, 'embeddings', embeddings)
  return examples


def test_a_step_that_is_not_finite_is_named_with_its_examples(tmp_path):
  config = tiny_config(examples_on='host', checkpoint_every=1)
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
  assert str(checkpoints.folder) in str(e.value)


def test_parameters_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
  """Those after the last step of a dispatch have met no loss yet."""
  run = trainer(tiny_config(checkpoint_every=2))
  steps = run.steps

  def breaking(state, *rest):
    state, losses = steps(state, *rest)
    if int(state.step) == 6:
      state = state.replace(params=jax.tree.map(lambda x: x / 0, state.params))
    return state, losses

  monkeypatch.setattr(run, 'steps', breaking)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(UserError, match='parameters are not finite at step 6'):
    run.fit(lambda state: {'mAP': 0.0}, checkpoints, Writer())
  state, _ = checkpoints.restore(run.create_state())
  assert int(state.step) == 4
  assert step_lib.all_finite(state.params)


@pytest.fixture(scope='module')
def ensemble():
  return Ensemble(dcase_data.tiny_config(), features(2), members())


@pytest.fixture
def spoilt(ensemble, monkeypatch):
  """Its members of some extractors meet a NaN, if only for one test."""

  def spoil(*extractors, **fields):
    table = dict(ensemble.resident)
    rows = np.array(table['embeddings']).reshape(2, -1, 16)
    rows[list(extractors)] = np.nan
    table['embeddings'] = step_lib.replicate(rows.reshape(-1, 16))
    monkeypatch.setattr(ensemble, 'resident', table)
    config = ensemble.config.copy_and_resolve_references()
    config.update(fields)
    monkeypatch.setattr(ensemble, 'config', config)
    return ensemble

  return spoil


def fit_ensemble(run, folder):
  checkpoints = checkpoint.Checkpoints(folder)
  history = run.fit(run.validate, checkpoints, Writer())
  return history, *checkpoints.restore(run.create_state())


def test_a_member_that_diverges_stops_the_run_and_is_named(spoilt, tmp_path):
  with pytest.raises(UserError, match=r'loss of b/0 is nan at step 1,.*\.wav'):
    fit_ensemble(spoilt(1), tmp_path)


def test_a_member_that_diverges_is_left_out_if_the_config_says_so(
  ensemble, spoilt, tmp_path, caplog
):
  whole, *_ = fit_ensemble(ensemble, tmp_path / 'whole')
  logging.use_python_logging(quiet=True)
  with caplog.at_level('WARNING', logger='absl'):
    run = spoilt(1, on_diverged='skip')
    history, state, saved = fit_ensemble(run, tmp_path / 'spoilt')
  assert 'left out: the loss of b/0' in caplog.text
  assert history.diverged == saved['diverged'] == ['b/0', 'b/1']
  assert run.left(history).tolist() == [0]
  # The one that is left has learnt what it learns beside others.
  for one, other in zip(history.evaluations, whole.evaluations, strict=True):
    for metric, scores in one['members'].items():
      assert scores == [other['members'][metric][0], None, None]
      assert one[metric] == scores[0]
    assert np.isfinite(one['loss'])
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.best))


def test_all_members_diverged_is_an_error_whatever_the_config_says(
  spoilt, tmp_path
):
  with pytest.raises(UserError, match='loss of b/1 is nan'):
    fit_ensemble(spoilt(0, 1, on_diverged='skip'), tmp_path)


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
  history, warned = progress.History(), []
  logging.use_python_logging(quiet=True)
  for count, score in enumerate(scores, 1):
    history.evaluations.append({'step': 200 * count, 'mAP': score})
    with caplog.at_level('WARNING', logger='absl'):
      caplog.clear()
      progress.warn_at_chance(config, history, chance=0.295)
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


def test_a_stopped_training_has_saved_and_ends_with_the_same_bits(tmp_path):
  run = trainer(tiny_config(checkpoint_every=1000, eval_every=12))

  def fit(folder):
    checkpoints = checkpoint.Checkpoints(folder)
    try:
      run.fit(lambda state: {'mAP': 0.0}, checkpoints, Writer())
    finally:
      checkpoints.close()
    return checkpoint.Checkpoints(folder).restore(run.create_state())[0]

  whole = fit(tmp_path / 'whole')
  steps, calls = run.steps, []

  def stopping(*args):
    calls.append(args)
    if len(calls) == 2:  # two steps each
      os.kill(os.getpid(), signal.SIGTERM)
    return steps(*args)

  run.steps = stopping
  before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  termination.handle()
  try:
    with pytest.raises(termination.Stopped) as end:
      fit(tmp_path / 'stopped')
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
      signal.signal(number, handler)
  assert end.value.code == 143
  assert len(calls) == 2
  names = [p.name for p in (tmp_path / 'stopped' / 'latest').iterdir()]
  assert names == ['4']
  found = fit(tmp_path / 'stopped')
  assert len(calls) == 2 + 4
  jax.tree.map(np.testing.assert_array_equal, found.params, whole.params)


LOST = """
import os, signal, time
from aec_jax import termination

class Dying:
  def __del__(self):
    os.kill(os.getpid(), signal.SIGTERM)

def command():
  Dying()  # Python ignores what its destructor raises
  time.sleep(60)
  return 0

termination._AGAIN = 0.1
termination.run(command)
"""


def test_a_signal_that_a_destructor_swallows_ends_the_process_all_the_same():
  ended = subprocess.run(
    [sys.executable, '-c', LOST], capture_output=True, text=True, timeout=50
  )
  assert ended.returncode == 143
  assert ended.stderr.count('stopped by SIGTERM') == 1


def test_without_a_handler_signals_are_left_alone():
  before = signal.getsignal(signal.SIGTERM)
  with termination.held() as came:
    assert signal.getsignal(signal.SIGTERM) is before
  assert came == []
