"""Sweeps as arrays of SLURM."""

import os
import subprocess
import sys
import time

import pytest
import slurm_stand_in

from launch import executors, sweep
from launch.jobs import ROOT


@pytest.fixture(scope='module')
def real_slurm(tmp_path_factory):
  """A SLURM of one node on this machine."""
  script = ROOT / 'launch' / 'slurm_on_loopback.sh'
  folder = tmp_path_factory.mktemp('slurm')
  subprocess.run([script, 'start', folder], check=True, capture_output=True)
  yield folder / 'slurm.conf'
  subprocess.run([script, 'stop', folder], check=True)


# The stand-in everywhere; SLURM itself, which starts as root alone, where it is
# asked for: AEC_JAX_SLURM=1 make test-all (apt-get install slurm-wlm munge).
KIND = 'real' if os.environ.get('AEC_JAX_SLURM') else 'stand_in'


@pytest.fixture(params=[KIND])
def slurm(request, tmp_path, monkeypatch):
  """SLURM's commands are there: those of a stand-in, and the real ones."""
  if request.param == 'real':
    conf = request.getfixturevalue('real_slurm')
    monkeypatch.setenv('SLURM_CONF', str(conf))
    yield
    return
  monkeypatch.setattr(executors, '_ASK', 0.2)
  with slurm_stand_in.cluster(tmp_path / 'slurm') as commands:
    monkeypatch.setenv('PATH', f'{commands}:{os.environ["PATH"]}')
    yield


def test_slurm_runs_an_array_and_requeues(table, slurm, monkeypatch):
  (table.folder / 'behaviour').write_text('slow')
  requeued = []

  def preempt(self, watches):
    first = watches[0]
    ready = (first.run.workdir / 'starts0').exists()
    if first.state == 'running' and ready and not requeued:
      requeued.append(first.job.job.job_id)
      (table.folder / 'behaviour').unlink()
      subprocess.run(['scontrol', 'requeue', requeued[0]], check=True)
    elif requeued and first.state == 'queued':
      # Or the job would be over: no result before its second start.
      result = table.folder / 'slurm' / f'{requeued[0]}_0_result.pkl'
      found = result.exists()
      assert not found or table.starts('audioset_dnn1') == 2
      # SLURM would wait for two minutes.
      subprocess.run(
        ['scontrol', 'update', f'jobid={requeued[0]}', 'starttime=now'],
        check=False, capture_output=True,
      )  # fmt: skip

  monkeypatch.setattr(sweep.Screen, 'show', preempt)
  start = time.monotonic()
  assert table('--executor=slurm', '--parallel=1', '--slurm=time=10') == 0
  assert requeued and time.monotonic() - start < 200
  assert table.starts('audioset_dnn1') == 2
  assert table.starts('audioset_lstm') == 1
  assert table.pages == [['audioset_dnn1', 'audioset_lstm']]


def test_slurm_says_what_a_user_can_mend(table, slurm, capsys):
  (table.folder / 'behaviour').write_text('mend')
  assert table('--executor=slurm') == 1
  names = ('audioset_dnn1', 'audioset_lstm')
  err = capsys.readouterr().err
  assert err.splitlines() == [f'{x}: error: no such folder' for x in names]
  assert [table.starts(x) for x in names] == [1, 1]
  assert table.pages == []


@pytest.mark.parametrize(
  ('behaviour', 'status', 'times'), [('crash', 1, 2), ('refuse', 2, 1)]
)
def test_slurm_starts_again_what_crashed_alone(
  table, slurm, tmp_path, capsys, behaviour, status, times
):
  (table.folder / 'behaviour').write_text(behaviour)
  one = tmp_path / 'one.py'  # a job that is no array
  one.write_text("EXPERIMENTS = ('audioset_dnn1',)\n")
  assert table('--executor=slurm', f'--sweep={one}', '--retries=1') == 1
  assert table.starts('audioset_dnn1') == times
  log = table.folder / 'audioset_dnn1' / 'log.txt'
  err = capsys.readouterr().err
  assert err == f'audioset_dnn1: exit status {status}; see {log}\n'


def test_the_end_of_the_sweep_cancels_its_slurm_jobs(table, slurm, monkeypatch):
  (table.folder / 'behaviour').write_text('slow')

  def interrupt(self, watches):
    if (watches[0].run.workdir / 'starts0').exists():
      raise KeyboardInterrupt

  monkeypatch.setattr(sweep.Screen, 'show', interrupt)
  assert table('--executor=slurm', '--parallel=1') == 130
  squeue = ['squeue', '--noheader', '--array', '--format=%i %T']
  deadline = time.monotonic() + 60
  while subprocess.run(squeue, capture_output=True, check=True).stdout:
    assert time.monotonic() < deadline
    time.sleep(0.2)
  assert not list(table.folder.glob('*/results.json'))


def test_a_wrong_slurm_setting_is_one_line(table, slurm, capsys):
  assert table('--executor=slurm', '--slurm=partitoin=gpu') == 2
  err = capsys.readouterr().err
  assert len(err.splitlines()) == 1 and 'partitoin' in err


def test_a_dry_run_of_slurm_needs_no_slurm(table, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'submitit', None)
  assert table('--dry_run', '--executor=slurm', '--devices=2') == 0
  out, _ = capsys.readouterr()
  assert 'an array of 2 jobs with' in out and 'gpus_per_node=2' in out
  assert table('--executor=slurm') == 2
  assert 'needs submitit' in capsys.readouterr().err
