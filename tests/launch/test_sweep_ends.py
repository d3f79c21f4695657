"""Sweeps that others have left runs of, and that end before their runs."""

import json
import signal

import pytest

from aec_jax.run import cache
from launch import executors, sweep
from launch.jobs import Run


def test_a_run_that_goes_on_since_another_sweep_is_waited_for(
  table, monkeypatch, capsys
):
  folder = table.folder / 'audioset_dnn1'
  other = cache.only_user(folder)  # as a sweep that was killed has left it
  other.__enter__()
  seen = []

  def show(self, watches):
    seen.append([(w.state, w.starts) for w in watches])
    # The second one's own folder is taken before it has begun.
    if len(seen) == 3:
      (folder / 'log.txt').write_text('error: it is in use by another\n')
      other.__exit__(None, None, None)

  monkeypatch.setattr(sweep.Screen, 'show', show)
  assert table('--parallel=2') == 0
  assert seen[0] == [('running', 0), ('running', 1)]
  assert seen[-1] == [('done', 1), ('done', 1)]  # it had been cut off
  assert table.starts('audioset_dnn1') == 1
  assert 'audioset_dnn1 goes on as process ' in capsys.readouterr().err


def test_who_comes_second_waits(table, monkeypatch):
  """A run that another sweep's is quicker than is no failure."""
  (table.folder / 'behaviour').write_text('in use')
  folder, other = table.folder / 'audioset_dnn1', []

  def show(self, watches):
    if watches[0].starts == 1 and not other:
      other.append(cache.only_user(folder))
      other[0].__enter__()
    elif len(other) == 1 and watches[0].state == 'running':
      if not isinstance(watches[0].job, executors.Adopted):
        return
      (table.folder / 'behaviour').unlink()
      other[0].__exit__(None, None, None)
      other.append(None)

  monkeypatch.setattr(sweep.Screen, 'show', show)
  assert table() == 0
  assert table.starts('audioset_dnn1') == 2


def test_an_adopted_run_keeps_its_place(monkeypatch, tmp_path):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1')
  monkeypatch.setattr(executors, 'Processes', lambda commands: list(commands))
  one, other = (Run(x, x, tmp_path / x, ()) for x in 'ab')
  executors.Local(1, 1, 1).start([one])  # whose sweep is killed
  local = executors.Local(1, 1, 1)
  with cache.only_user(one.workdir):
    assert local.adopt(one).poll() is None
    ((_, env, _),) = local.start([other])[0]
  assert env == {'CUDA_VISIBLE_DEVICES': '1'}
  assert local.adopt(other).poll() == 1  # nobody has it


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGHUP])
def test_the_end_of_the_sweep_ends_its_runs(table, monkeypatch, number):
  (table.folder / 'behaviour').write_text('slow')
  jobs = []
  # Of a shell's background jobs Ctrl-C is none of the business, nor under nohup
  # the end of a terminal.
  default = {signal.SIGINT: signal.default_int_handler}
  before = signal.signal(number, default.get(number, signal.SIG_DFL))

  def interrupt(watches):
    if all(
      (table.folder / w.run.name / 'starts0').exists() for w in watches[:1]
    ):
      jobs.extend(w.job for w in watches if w.job)
      signal.raise_signal(number)

  monkeypatch.setattr(sweep.Screen, 'show', lambda self, w: interrupt(w))
  try:
    status = table()
  except SystemExit as ended:
    status = ended.code
  finally:
    signal.signal(number, before)
  assert status == 128 + number
  assert len(jobs) == 1 and jobs[0].processes[0].returncode < 0


def test_results_of_other_settings_are_no_ones_own(table, monkeypatch):
  """Neither those of a run that goes on since another sweep."""
  folder = table.folder / 'audioset_dnn1'
  assert table('--config.max_steps=300') == 0
  results = folder / 'results.json'
  theirs = results.read_text()
  results.unlink()
  other = cache.only_user(folder)
  other.__enter__()

  def show(self, watches):
    if watches[0].starts == 0 and not results.exists():
      results.write_text(theirs)
      other.__exit__(None, None, None)

  monkeypatch.setattr(sweep.Screen, 'show', show)
  assert table('--config.max_steps=200', '--parallel=2') == 0
  assert table.starts('audioset_dnn1') == 2
  assert json.loads(results.read_text())['config']['max_steps'] == 200


def test_results_of_data_elsewhere_are_the_run_s_to_judge(table, capsys):
  assert table('--data=audioset=/one') == 0
  assert table('--data=audioset=/one') == 0
  assert table.starts('audioset_dnn1') == 1
  # As the data set has moved: the run leaves its results.
  (table.folder / 'behaviour').write_text('finished')
  assert table('--data=audioset=/other') == 0
  assert table.starts('audioset_dnn1') == 2
  (table.folder / 'behaviour').write_text('mend')
  assert table('--data=audioset=/third') == 1
  assert 'audioset_dnn1: error: no such folder' in capsys.readouterr().err
