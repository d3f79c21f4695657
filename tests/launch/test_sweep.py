"""Sweeps whose experiments are a small script instead of training."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import slurm_stand_in

from aec_jax.run import cache
from launch import executors, sweep, watch
from launch.jobs import ROOT, Run

# Behaves as main does: fails as the file `behaviour` in its folder's parent
# says, or writes results.
EXPERIMENT = """
import json, os, pathlib, signal, sys, time
workdir, config, seed, *more = sys.argv[1:]
workdir = pathlib.Path(workdir)
process = next((x[-1] for x in more if 'process_id' in x), '0')
with open(workdir / f'starts{process}', 'a') as file:
  file.write('x')
first = (workdir / f'starts{process}').stat().st_size == 1
path = workdir.parent / 'behaviour'
behaviour = path.read_text() if path.exists() else ''
if behaviour == 'killed' and first:
  while not (workdir / 'starts0').exists():
    time.sleep(0.01)
  if process == '1' or not more:
    os.kill(os.getpid(), signal.SIGKILL)
  time.sleep(100)
if behaviour == 'slow' and first:
  time.sleep(100)
if behaviour == 'crash':
  sys.exit(1)
if behaviour == 'refuse':
  sys.exit(2)
if behaviour == 'in use':
  print('error: the folder is in use by another')
  sys.exit(2)
if behaviour == 'mend':
  print('step 1')
  print('error: no such folder')
  sys.exit(2)
(workdir / 'results.json').write_text(json.dumps({
  'experiment': 'one', 'config': json.loads(config),
  'metrics': {'mAP': 0.25 + 0.125 * int(seed), 'classes': 3},
  'best_step': 7,
}))
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
  """A sweep of two experiments; gives a function that runs it."""
  script = tmp_path / 'experiment.py'
  script.write_text(EXPERIMENT)
  listed = tmp_path / 'table.py'
  listed.write_text("EXPERIMENTS = ('audioset_dnn1', 'audioset_lstm')\n")
  pages = []

  def command(run, *more):
    config = watch.config_of(run)
    text = json.dumps(config.to_dict())
    argv = [sys.executable, str(script), str(run.workdir), text]
    return [*argv, str(config.seed), *more]

  def compare(watches, page):
    pages.append([w.run.name for w in watches if w.results])
    return 0

  monkeypatch.setattr(Run, 'command', command)
  monkeypatch.setattr(sweep, 'compare', compare)
  monkeypatch.setattr(sweep, '_LOOK', 0.05)
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')

  def run(*options):
    return sweep.main(
      ['sweep', f'--sweep={listed}', f'--workdir={tmp_path / "runs"}', *options]
    )

  run.folder, run.pages = tmp_path / 'runs', pages
  run.folder.mkdir()
  return run


def starts(folder, process=0):
  return len((folder / f'starts{process}').read_text())


def test_what_is_missing_is_run_and_compared(table, capsys):
  assert table('--parallel=2') == 0
  out, _ = capsys.readouterr()
  last = out.split('experiment')[-2]
  for name in ('audioset_dnn1', 'audioset_lstm'):
    assert re.search(rf'{name} +done +1 +7 +mAP 0\.2500', last)
    assert starts(table.folder / name) == 1
  assert table.pages == [['audioset_dnn1', 'audioset_lstm']]
  (table.folder / 'audioset_lstm' / 'results.json').unlink()
  assert table() == 0
  assert starts(table.folder / 'audioset_dnn1') == 1
  assert starts(table.folder / 'audioset_lstm') == 2
  # Other settings are another experiment, which main accepts or refuses.
  assert table('--config.max_steps=7') == 0
  assert starts(table.folder / 'audioset_dnn1') == 2


def test_grid_and_seeds(table, capsys):
  assert table(
    '--grid=config.optimizer.learning_rate=1e-3,3e-4',
    '--grid=config.model.hidden=(8,8),(16,)',
    '--seeds=2',
    '--parallel=8',
  ) == 0  # fmt: skip
  out, _ = capsys.readouterr()
  assert len(list(table.folder.glob('*/results.json'))) == 2 * 2 * 2 * 2
  folder = 'audioset_dnn1-optimizer.learning_rate=3e-4-model.hidden=_16,_'
  found = json.loads(
    (table.folder / f'{folder}-seed=1' / 'results.json').read_text()
  )
  assert found['config']['optimizer']['learning_rate'] == 3e-4
  assert found['config']['model']['hidden'] == [16]
  assert found['config']['seed'] == 1
  # 0.25 and 0.375: their mean and standard deviation.
  assert re.search(rf'{re.escape(folder)} +2 +0\.3125 ± 0\.0884', out)


@pytest.mark.parametrize('hosts', [1, 2])
def test_what_was_killed_is_started_again(table, hosts):
  (table.folder / 'behaviour').write_text('killed')
  assert table(f'--hosts={hosts}', '--parallel=2') == 0
  for process in range(hosts):
    assert starts(table.folder / 'audioset_dnn1', process) == 2


def test_what_a_user_can_mend_is_not_tried_again(table, capsys):
  (table.folder / 'behaviour').write_text('mend')
  assert table() == 1
  out, err = capsys.readouterr()
  assert starts(table.folder / 'audioset_dnn1') == 1
  assert 'audioset_dnn1: error: no such folder' in err
  assert re.search(r'audioset_lstm +failed', out)
  assert table.pages == []


def test_after_some_crashes_it_gives_up(table, capsys):
  (table.folder / 'behaviour').write_text('crash')
  assert table('--retries=2', '--parallel=2') == 1
  assert starts(table.folder / 'audioset_dnn1') == 3
  log = table.folder / 'audioset_dnn1' / 'log.txt'
  assert f'exit status 1; see {log}' in capsys.readouterr().err


def test_an_error_of_an_earlier_start_is_not_this_ones(table, capsys):
  (table.folder / 'behaviour').write_text('mend')
  assert table() == 1
  assert 'error: no such folder' in capsys.readouterr().err
  (table.folder / 'behaviour').write_text('killed')
  (table.folder / 'audioset_dnn1' / 'starts0').unlink()
  (table.folder / 'audioset_lstm' / 'starts0').unlink()
  assert table() == 0  # killed once, and started again
  (table.folder / 'audioset_lstm' / 'results.json').unlink()
  (table.folder / 'behaviour').write_text('crash')
  assert table('--retries=0') == 1
  assert 'audioset_lstm: exit status 1; see' in capsys.readouterr().err


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
  assert starts(folder) == 1
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
  assert starts(folder) == 2


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
  assert status == 128 + number
  assert len(jobs) == 1 and jobs[0].processes[0].returncode < 0


def test_progress_is_shown(table):
  run = Run(
    'audioset_dnn1',
    'audioset_dnn1',
    table.folder / 'audioset_dnn1',
    (f'--config={ROOT}/configs/audioset_dnn1.py',),
  )
  watch = sweep.Watch(run)
  watch.state = 'running'
  assert watch.row()[2:] == ('', '', '', '')
  path = run.workdir / 'checkpoints/segments_10/progress.json'
  path.parent.mkdir(parents=True)
  progress = {
      'step': 1500, 'max_steps': 3000, 'metric': 'mAP', 'best': 0.21,
      'best_step': 1000, 'seconds_left': 125.0,
  }  # fmt: skip
  path.write_text(json.dumps(progress))
  assert watch.row()[2:] == ('', '1,500/3,000', 'mAP 0.2100', '2 min')


def test_a_dry_run_starts_nothing(table, capsys):
  assert table('--dry_run', '--hosts=2', '--devices=4') == 0
  out, _ = capsys.readouterr()
  assert '0 of 2 are done' in out
  assert out.count('--process_id=1') == 2
  assert out.count('device_count=4') == 4
  assert list(table.folder.iterdir()) == []


def test_a_dry_run_of_slurm_needs_no_slurm(table, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'submitit', None)
  assert table('--dry_run', '--executor=slurm', '--devices=2') == 0
  out, _ = capsys.readouterr()
  assert 'an array of 2 jobs with' in out and 'gpus_per_node=2' in out
  assert table('--executor=slurm') == 2
  assert 'needs submitit' in capsys.readouterr().err


def test_gpus_are_dealt_out(monkeypatch, tmp_path):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0,1,2,3,4')
  local = executors.Local(hosts=1, devices=2, parallel=1)
  assert local.capacity == 2
  runs = [Run(x, x, tmp_path / x, ()) for x in 'ab']
  lines = local.describe(runs)
  assert lines[0].startswith('CUDA_VISIBLE_DEVICES=0,1 ')
  assert lines[1].startswith('CUDA_VISIBLE_DEVICES=2,3 ')
  with pytest.raises(Exception, match='this machine has 5'):
    executors.Local(hosts=3, devices=2, parallel=1)


def test_runs_share_a_gpu_and_its_memory(tmp_path, monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4,7')
  local = executors.Local(hosts=1, devices=1, parallel=3)
  assert local.capacity == 6
  runs = [executors.Run(str(i), '', tmp_path, ()) for i in range(3)]
  lines = local.describe(runs)
  shared = ' XLA_PYTHON_CLIENT_MEM_FRACTION=0.300 '
  for line, gpu in zip(lines, '474', strict=True):
    assert line.startswith(f'CUDA_VISIBLE_DEVICES={gpu}{shared}')


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ('--sweep=nowhere.py', 'nowhere.py'),
    ('--config.modle.dropout=0', 'modle'),
    ('--config.batch_size=many', 'batch_size'),
    ('--grid=model.dropout=0.1', '--grid=model.dropout=0.1'),
    ('--grid=config.seed=1,1', 'two runs would be in'),
    ('--verbose', 'unknown option --verbose'),
    ('--seeds=-1', '--seeds is -1'),
    ('--parallel=1000000000000', '--parallel is 1000000000000'),
    ('--grid=config.seed=((', '--grid=config.seed=(('),
    ('--grid=config.=1', '--grid=config.=1'),
    (
      '--grid=config.extractor.x=1',
      'no experiment of the sweep has config.extractor.x',
    ),
    ('--workdir=', "--workdir is ''"),
    ('--cache_dir=/dev/null', '/dev/null is no folder'),
    ('--data=audioset=', '--data=audioset='),
    ('--hosts=0', '--hosts is 0'),
    ('--executor=cloud', "invalid choice: 'cloud'"),
    ('--executor=tpu', '--tpu=NAME,… and --zone=ZONE'),
  ],
)
def test_wrong_options_are_one_line_and_status_2(
  table, capsys, option, message
):
  assert table(option) == 2
  out, err = capsys.readouterr()
  assert out == '' and len(err.splitlines()) == 1
  assert err.startswith('error: ') and message in err
  assert list(table.folder.iterdir()) == []


def test_every_sweep_of_the_thesis_lists_configs_that_there_are():
  found = {
    path.stem: sweep._experiments(path)
    for path in (ROOT / 'launch' / 'sweeps').glob('[!_]*.py')
  }
  tables = {f'table{n}' for n in range(10, 16)}
  assert set(found) == tables | {'thesis'}
  assert set(found['thesis']) == {x for name in tables for x in found[name]}
  assert len(found['table10']) == 10 and len(found['table14']) == 7


def test_the_page_is_made_of_what_is_finished(tmp_path, monkeypatch):
  called = []

  def run(argv, **_):
    called.append(argv)
    return subprocess.CompletedProcess(argv, 0)

  monkeypatch.setattr(sweep.subprocess, 'run', run)
  options = (f'--config={ROOT}/configs/audioset_dnn1.py',)
  watches = [
    sweep.Watch(Run(x, x, tmp_path / x, options)) for x in ('one', 'other')
  ]
  watches[0].results = {'metrics': {}}
  assert sweep.compare(watches, tmp_path / 'page.html') == 0
  assert called == [
    [sys.executable, '-m', 'aec_jax.compare',
     f'--out={tmp_path}/page.html', f'{tmp_path}/one']
  ]  # fmt: skip


GCLOUD = """#!/bin/bash
# A slice that is preempted in its first command and is then gone.
echo "$*" >> {folder}/calls
case "$*" in
  *" describe "*) cat {folder}/state 2>/dev/null || exit 1;;
  *" delete "*) rm {folder}/state;;
  *" create "*) echo READY > {folder}/state;;
  *--command=setup*) ;;
  *" ssh "*)
    if [ ! -e {folder}/preempted ]; then
      touch {folder}/preempted
      echo PREEMPTED > {folder}/state
      exit 255
    fi
    for argument; do command=${{argument#--command=}}; done
    bash -c "$command";;
esac
"""


def test_a_preempted_tpu_slice_is_made_anew(table, tmp_path, monkeypatch):
  gcloud = tmp_path / 'bin' / 'gcloud'
  gcloud.parent.mkdir()
  gcloud.write_text(GCLOUD.format(folder=tmp_path))
  gcloud.chmod(0o755)
  monkeypatch.setenv('PATH', f'{gcloud.parent}:{os.environ["PATH"]}')
  options = (
      '--executor=tpu', '--tpu=slice', '--zone=here',
      '--tpu_create=--accelerator-type=v5litepod-16 --spot',
      '--tpu_setup=setup disks',
  )  # fmt: skip
  assert table(*options) == 0
  calls = (tmp_path / 'calls').read_text().splitlines()
  verbs = [line.split()[3] for line in calls]
  create, run = ['create', 'ssh'], ['ssh']
  assert verbs == [
      'describe', *create, *run,  # there was none; preempted
      'describe', 'delete', *create, *run,
      'describe', *run,  # the second experiment
  ]  # fmt: skip
  assert all('slice --zone=here' in line for line in calls)
  assert (
    'tpu-vm create slice --zone=here --accelerator-type=v5litepod-16'
    in (calls[1])
  )
  assert '--worker=all' in calls[-1] and '--coordinator=auto' in calls[-1]
  assert starts(table.folder / 'audioset_dnn1') == 1  # the first never began


@pytest.fixture(scope='module')
def real_slurm(tmp_path_factory):
  """A SLURM of one node on this machine."""
  script = ROOT / 'launch' / 'slurm_on_loopback.sh'
  folder = tmp_path_factory.mktemp('slurm')
  subprocess.run([script, 'start', folder], check=True, capture_output=True)
  yield folder / 'slurm.conf'
  subprocess.run([script, 'stop', folder], check=True)


# Debian's slurm-wlm and munge start as root alone.
needs_slurm = pytest.mark.skipif(
  os.getuid() != 0 or not shutil.which('sbatch'),
  reason='SLURM is not installed, or cannot be started by this user',
)


@pytest.fixture(params=['stand_in', pytest.param('real', marks=needs_slurm)])
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
      assert not found or starts(table.folder / 'audioset_dnn1') == 2
      # SLURM would wait for two minutes.
      subprocess.run(
        ['scontrol', 'update', f'jobid={requeued[0]}', 'starttime=now'],
        check=False, capture_output=True,
      )  # fmt: skip

  monkeypatch.setattr(sweep.Screen, 'show', preempt)
  start = time.monotonic()
  assert table('--executor=slurm', '--parallel=1', '--slurm=time=10') == 0
  assert requeued and time.monotonic() - start < 200
  assert starts(table.folder / 'audioset_dnn1') == 2
  assert starts(table.folder / 'audioset_lstm') == 1
  assert table.pages == [['audioset_dnn1', 'audioset_lstm']]


def test_slurm_says_what_a_user_can_mend(table, slurm, capsys):
  (table.folder / 'behaviour').write_text('mend')
  assert table('--executor=slurm') == 1
  names = ('audioset_dnn1', 'audioset_lstm')
  err = capsys.readouterr().err
  assert err.splitlines() == [f'{x}: error: no such folder' for x in names]
  assert [starts(table.folder / x) for x in names] == [1, 1]
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
  assert starts(table.folder / 'audioset_dnn1') == times
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
