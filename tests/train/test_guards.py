"""Training that goes wrong: it stops, says where, and keeps what was good."""

import dataclasses
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
from train_data import (
  classifiers,
  fit,
  released,
  released_config,
  released_features,
)

from aec_jax.errors import UserError
from aec_jax.run import devices, termination
from aec_jax.train import checkpoint, guards, progress
from aec_jax.train import step as step_lib


def spoilt_features(bad):
  """Floats, of which one clip's are not finite."""
  features = released_features()
  embeddings = features.embeddings.astype(np.float32) / 64 - 2
  embeddings[0, 4 * bad] = np.nan  # four segments a clip
  return dataclasses.replace(features, embeddings=embeddings)


def unscored(system):
  """A system whose evaluations take no time."""
  scores = {'mAP': 0.0, 'members': {'mAP': [0.0]}}
  system.evaluate = lambda *_: lambda: dict(scores)
  return system


def test_a_step_that_is_not_finite_is_named_with_its_examples(tmp_path):
  features, bad = spoilt_features(5), 5
  config = released_config(examples_on='host', checkpoint_every=1)
  system = unscored(released(config, features))
  (plan,) = system.plans([(0, 12)])
  # Gathered for the step: of a bad clip the first segment is no number.
  spoilt = np.isnan(plan['first']['embeddings'][0, :, 0, :, 0, 0])
  first = int(np.flatnonzero(spoilt.any(1))[0])
  with pytest.raises(UserError, match=rf'loss is nan at step {first + 1}') as e:
    fit(system, tmp_path)
  told = json.loads((tmp_path / 'diverged.json').read_text())
  assert told['step'] == first + 1
  (plan,) = system._plans[0].dataset([(first, first + 1)]).as_numpy_iterator()
  assert bad in plan['first']
  expected = features.ids[np.unique(plan['first'])].astype(str)
  assert told['examples'] == expected.tolist() and '00005' in expected
  assert expected[0] in str(e.value)
  assert str(tmp_path) in str(e.value)


def test_parameters_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
  """Those after the last step of a dispatch have met no loss yet."""
  system = unscored(released(released_config(checkpoint_every=2)))
  steps = system.steps

  def breaking(state, plan):
    state, losses = steps(state, plan)
    if int(state.step) == 6:
      params = jax.tree.map(lambda x: x / 0, state.members.params)
      state = state.replace(members=state.members.replace(params=params))
    return state, losses

  monkeypatch.setattr(system, 'steps', breaking)
  with pytest.raises(UserError, match='parameters are not finite at step 6'):
    fit(system, tmp_path)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  state, _ = checkpoints.restore(system.create_state())
  assert int(state.step) == 4
  assert step_lib.all_finite(state.members.params)


@pytest.fixture(scope='module')
def ensemble():
  return classifiers(dcase_data.tiny_config())


@pytest.fixture
def spoilt(ensemble, monkeypatch):
  """Its members of some extractors meet a NaN, if only for one test."""

  def spoil(*extractors, **fields):
    table = dict(ensemble.resident)
    rows = np.array(table['embeddings']).reshape(2, -1, 16)
    rows[list(extractors)] = np.nan
    table['embeddings'] = devices.replicate(rows.reshape(-1, 16))
    monkeypatch.setattr(ensemble, 'resident', table)
    settings = ensemble.settings.copy_and_resolve_references()
    settings.update(fields)
    monkeypatch.setattr(ensemble, 'settings', settings)
    return ensemble

  return spoil


def test_a_member_that_diverges_stops_the_run_and_is_named(spoilt, tmp_path):
  with pytest.raises(UserError, match=r'loss of b/0 is nan at step 1,.*\.wav'):
    fit(spoilt(1), tmp_path)


def test_a_member_that_diverges_is_left_out_if_the_config_says_so(
  ensemble, spoilt, tmp_path, caplog
):
  _, whole = fit(ensemble, tmp_path / 'whole')
  logging.use_python_logging(quiet=True)
  with caplog.at_level('WARNING', logger='absl'):
    system = spoilt(1, on_diverged='skip')
    state, history = fit(system, tmp_path / 'spoilt')
  assert 'left out: the loss of b/0' in caplog.text
  assert history.diverged == ['b/0', 'b/1']
  assert guards.left(system, history).tolist() == [0]
  # The one that is left has learnt what it learns beside others.
  for one, other in zip(history.evaluations, whole.evaluations, strict=True):
    for metric, scores in one['members'].items():
      assert scores == [other['members'][metric][0], None, None]
      assert one[metric] == scores[0]
    assert np.isfinite(one['loss'])
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.best))
  # And what is left out is known again after a restart.
  _, again = fit(system, tmp_path / 'spoilt')
  assert again.diverged == history.diverged


def test_all_members_diverged_is_an_error_whatever_the_config_says(
  spoilt, tmp_path
):
  with pytest.raises(UserError, match='loss of b/1 is nan'):
    fit(spoilt(0, 1, on_diverged='skip'), tmp_path)


@pytest.mark.parametrize(
  ('scores', 'at'),
  [
    ([0.30, 0.30, 0.31, 0.31, 0.31], [400]),  # a fifth of 2,000 steps
    ([0.30, 0.32, 0.31, 0.31, 0.31], []),
    ([0.30], []),
  ],
)
def test_a_metric_at_chance_is_warned_of_once(scores, at, caplog):
  config = released_config(max_steps=2000, patience=20)
  history, warned = progress.History(), []
  logging.use_python_logging(quiet=True)
  for count, score in enumerate(scores, 1):
    history.evaluations.append({'step': 200 * count, 'mAP': score})
    with caplog.at_level('WARNING', logger='absl'):
      caplog.clear()
      progress.warn_at_chance(config, history, chance=0.295)
    if caplog.text:
      assert (
        'best validation mAP is 0.3000, and a guess gets 0.2950' in caplog.text
      )
      warned.append(200 * count)
  assert warned == at


def test_a_stopped_training_has_saved_and_ends_with_the_same_bits(tmp_path):
  config = released_config(
    checkpoint_every=1000, eval_every=12, steps_per_dispatch=2
  )
  system = unscored(released(config))
  whole, _ = fit(system, tmp_path / 'whole')
  steps, calls = system.steps, []

  def stopping(*args):
    calls.append(args)
    if len(calls) == 2:  # two steps each
      os.kill(os.getpid(), signal.SIGTERM)
    return steps(*args)

  system.steps = stopping
  before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  termination.handle()
  try:
    with pytest.raises(termination.Stopped) as end:
      fit(system, tmp_path / 'stopped')
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
      signal.signal(number, handler)
  assert end.value.code == 143
  assert len(calls) == 2
  names = [p.name for p in (tmp_path / 'stopped' / 'latest').iterdir()]
  assert names == ['4']
  found, _ = fit(system, tmp_path / 'stopped')
  assert len(calls) == 2 + 4
  jax.tree.map(np.testing.assert_array_equal, found, whole)


LOST = """
import os, signal, time
from aec_jax.run import termination

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
