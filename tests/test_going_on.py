"""Other free settings in a used work folder: what they may go on from."""

import json
import shutil

import pytest
from train_data import cut_off, fit, released
from train_data import released_config as config_of

from aec_jax import experiment, going_on, scoring
from aec_jax.errors import UserError


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A work folder that was killed after step 8 of 12."""
  workdir = tmp_path_factory.mktemp('work')
  config = config_of()
  folder = scoring.checkpoints_of(workdir, config.segments[0])
  cut_off(released(config), folder, 8)
  return workdir


@pytest.mark.parametrize('steps', [8, 9, 100])
def test_steps_that_lie_ahead_are_gone_on_with(trained, steps):
  going_on.check(config_of(max_steps=steps), trained, {'patience': 1})
  going_on.check(config_of(max_steps=steps), trained, None)


def test_a_longer_training_is_not_named_a_shorter_one(trained):
  said = r'trained to step 8 already, and config.max_steps is 7: give 8 or more'
  for before in ({}, None):
    with pytest.raises(UserError, match=said):
      going_on.check(config_of(max_steps=7), trained, before)


def test_nothing_is_in_the_way_of_what_has_not_begun(tmp_path):
  going_on.check(config_of(max_steps=1), tmp_path, None)


def test_patience_that_keeps_other_steps_is_refused(tmp_path, monkeypatch):
  config = config_of(max_steps=16, patience=3)
  system = released(config)
  scores = iter([0.0, 0.3, 0.2, 0.1, 0.9])

  def evaluate(state, history):
    score = next(scores)
    return lambda: {'mAP': score, 'members': {'mAP': [score]}}

  monkeypatch.setattr(system, 'evaluate', evaluate)
  fit(system, scoring.checkpoints_of(tmp_path, config.segments[0]))
  before = {'patience': 3}
  going_on.check(config_of(max_steps=16, patience=9), tmp_path, before)
  with pytest.raises(UserError, match=r'patience=3 .*, and 2 .*: give 3, or'):
    going_on.check(config_of(max_steps=16, patience=2), tmp_path, before)


def test_who_was_left_out_stays_out(trained, monkeypatch):
  left = (8, {'evaluations': [], 'diverged': ['one']})
  monkeypatch.setattr(
    going_on.checkpoint, 'latest_history', lambda folder: left
  )
  going_on.check(config_of(on_diverged='skip'), trained, None)
  with pytest.raises(UserError, match='left out one, .*: give skip, or use'):
    going_on.check(config_of(on_diverged='error'), trained, None)


def test_a_finished_experiment_keeps_its_name_and_results(
  audioset_run, tmp_path
):
  config, _, finished = audioset_run
  workdir = shutil.copytree(finished, tmp_path / 'work')
  config = config.copy_and_resolve_references()
  config.max_steps -= 1
  names = ('experiment.json', 'results.json')
  before = [(workdir / name).read_bytes() for name in names]
  with pytest.raises(UserError, match='trained to step'):
    experiment.run(config, workdir, finished.parent / 'cache')
  assert [(workdir / name).read_bytes() for name in names] == before
  # Not if nothing says any more what it was started with.
  (workdir / 'experiment.json').unlink()
  with pytest.raises(UserError, match='trained to step'):
    experiment.run(config, workdir, finished.parent / 'cache')
  assert json.loads(before[1])['config']['max_steps'] == config.max_steps + 1
