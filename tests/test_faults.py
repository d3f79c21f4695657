"""A few of the faults of `tests.faults`, which has many more of them."""

import errno
import os
import re
import signal
import subprocess
import sys

import dcase_data
import pytest

from aec_jax import experiment
from aec_jax.errors import UserError
from aec_jax.run import cache
from tests import faults


@pytest.mark.slow
def test_killed_experiments_end_as_unbroken_ones(tmp_path):
  (tiny,) = faults.experiments(tmp_path, tasks=('audioset',))
  rows = list(faults.killed([tiny], tmp_path, kills=1, seed=1))
  assert len(rows) >= 2
  assert [loss for *_, loss in rows if loss] == []


@pytest.mark.parametrize(
  'error',
  [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    # As orbax puts it.
    ValueError('RESOURCE_EXHAUSTED: [OS error 28: No space left on device]'),
    OSError(errno.EROFS, os.strerror(errno.EROFS), '/data/x'),
  ],
)
def test_what_a_disk_refuses_is_one_line(tmp_path, monkeypatch, error):
  def run(*_):
    raise error

  monkeypatch.setattr(experiment, '_train', run)
  config = dcase_data.tiny_config(data_dir=tmp_path)
  with pytest.raises(UserError, match='(No space left|Read-only).*goes on'):
    experiment.run(config, tmp_path / 'run', tmp_path / 'cache')


def test_other_errors_are_not_put_down_to_the_disk(tmp_path, monkeypatch):
  monkeypatch.setattr(experiment, '_train', lambda *_: [][0])
  config = dcase_data.tiny_config(data_dir=tmp_path)
  with pytest.raises(IndexError):
    experiment.run(config, tmp_path / 'run', tmp_path / 'cache')


def test_what_a_killed_run_has_left_of_a_stage_is_removed(tmp_path):
  """But not what another run, that is alive, is making."""
  script = (
    'import os, signal; from aec_jax.run import cache; cache.stage('
    f'{str(tmp_path)!r}, "pack", {{}}, '
    'lambda folder: os.kill(os.getpid(), signal.SIGKILL))'
  )
  killed = subprocess.run([sys.executable, '-c', script], check=False)
  assert killed.returncode == -signal.SIGKILL
  (left,) = tmp_path.glob('.*-*.pack-*')
  alive = left.with_name(
    re.sub(r'-\d+\.pack', f'-{os.getppid()}.pack', left.name)
  )
  alive.mkdir()
  folder = cache.stage(tmp_path, 'pack', {}, lambda to: (to / 'a').touch())
  assert {path.name for path in tmp_path.iterdir()} == {folder.name, alive.name}
