"""What a finished experiment has lost is made again, and nothing else."""

import shutil

import numpy as np
import pytest

from aec_jax import dry_run, experiment, leavings, predictions
from aec_jax.bundle import store


@pytest.fixture
def finished(audioset_run, tmp_path):
  """A copy of a finished work folder, and what runs it again."""
  config, _, folder = audioset_run
  workdir = shutil.copytree(folder, tmp_path / 'work')
  cache = folder.parent / 'cache'
  return workdir, lambda: experiment.run(config, workdir, cache), config, cache


@pytest.mark.parametrize(
  'name', [*leavings.PREDICTIONS, *leavings.BUNDLE, *leavings.REPORT]
)
@pytest.mark.parametrize('how', ['missing', 'empty'])
def test_what_is_lost_is_noticed(finished, name, how):
  workdir, _, config, cache = finished
  assert not leavings.lacks(workdir)
  if how == 'empty':
    (workdir / name).write_bytes(b'')
  else:
    (workdir / name).unlink()
  assert leavings.lacks(workdir)
  lines = dry_run.lines(config, workdir, cache, {})
  assert not any('is finished' in line for line in lines)


def test_predictions_and_report_come_back(finished):
  workdir, run, *_ = finished
  before = predictions.load(workdir)
  (workdir / predictions.FILE).write_bytes(b'')
  (workdir / 'report/index.html').write_bytes(b'')
  metrics = run()['metrics']
  after = predictions.load(workdir)
  for name, array in before.items():
    np.testing.assert_array_equal(array, after[name])
  assert not leavings.lacks(workdir)
  assert run()['metrics'] == metrics


def test_a_bundle_comes_back_and_a_users_files_stay(finished):
  workdir, run, *_ = finished
  weights = (workdir / 'bundle/weights.npz').read_bytes()
  (workdir / 'bundle/weights.npz').write_bytes(b'')
  (workdir / 'bundle/LICENSE').write_text('mine')
  run()
  assert (workdir / 'bundle/weights.npz').read_bytes() == weights
  assert (workdir / 'bundle/LICENSE').read_text() == 'mine'
  store.read(workdir)
