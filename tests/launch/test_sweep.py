"""Sweeps whose experiments are a small script instead of training."""

import json
import re
import subprocess
import sys
import types

import pytest

from aec_jax.errors import UserError
from launch import executors, sweep
from launch.jobs import ROOT, Run


def test_what_is_missing_is_run_and_compared(table, capsys):
  assert table('--parallel=2') == 0
  out, _ = capsys.readouterr()
  last = out.split('experiment')[-2]
  for name in ('audioset_dnn1', 'audioset_lstm'):
    assert re.search(rf'{name} +done +1 +7 +mAP 0\.2500', last)
    assert table.starts(name) == 1
  assert table.pages == [['audioset_dnn1', 'audioset_lstm']]
  (table.folder / 'audioset_lstm' / 'results.json').unlink()
  assert table() == 0
  assert table.starts('audioset_dnn1') == 1
  assert table.starts('audioset_lstm') == 2
  (table.folder / 'audioset_lstm' / 'bundle' / 'README.md').write_text('')
  assert table() == 0
  assert table.starts('audioset_lstm') == 3
  # Other settings are another experiment, which main accepts or refuses.
  assert table('--config.max_steps=7') == 0
  assert table.starts('audioset_dnn1') == 2


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
    assert table.starts('audioset_dnn1', process) == 2


def test_what_a_user_can_mend_is_not_tried_again(table, capsys):
  (table.folder / 'behaviour').write_text('mend')
  assert table() == 1
  out, err = capsys.readouterr()
  assert table.starts('audioset_dnn1') == 1
  assert 'audioset_dnn1: error: no such folder' in err
  assert re.search(r'audioset_lstm +failed', out)
  assert table.pages == []


def test_after_some_crashes_it_gives_up(table, capsys):
  (table.folder / 'behaviour').write_text('crash')
  assert table('--retries=2', '--parallel=2') == 1
  assert table.starts('audioset_dnn1') == 3
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
  # Whatever is trained at the moment.
  path = run.workdir / 'extractors/balanced_first_0/progress.json'
  path.parent.mkdir(parents=True)
  path.write_text(
    json.dumps(progress | {'metric': 'log_likelihood', 'best': -1.5})
  )
  step = 'balanced_first_0 1,500/3,000'
  assert watch.row()[2:] == ('', step, 'loss 1.5000', '2 min')


def test_scores_of_several_objectives_are_all_shown(tmp_path):
  watches = [
    types.SimpleNamespace(
      run=Run(name, name, tmp_path, ()), results={'metrics': scores}
    )
    for name, scores in (
      ('dnn', {'mAP': 0.5, 'classes': 3}), ('l6', {'MAP@3': 0.9}),
      ('lstm', {'mAP': 0.25}),
    )
  ]  # fmt: skip
  lines = [x.split() for x in sweep.score_table(watches).splitlines()]
  assert lines[0] == ['experiment', 'runs', 'mAP', 'MAP@3']
  assert lines[2:] == [
    ['dnn', '1', '0.5000'], ['l6', '1', '0.9000'], ['lstm', '1', '0.2500'],
  ]  # fmt: skip


def test_paths_are_those_of_the_user_s_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  table = f'--sweep={ROOT}/launch/sweeps/table12.py'
  options, overrides = sweep._parse(
    [table, '--workdir=runs', '--data=fsdkaggle2018=data', '--vggish=w.npz',
     '--config.seed=3']
  )  # fmt: skip
  (*_, last) = sweep.plan(options, overrides)
  assert {
    f'--config.data_dir={tmp_path}/data',
    f'--config.extractor.init={tmp_path}/w.npz',
    '--config.seed=3',
    f'--workdir={tmp_path}/runs/{last.name}',
    f'--cache_dir={tmp_path}/runs/cache',
  } <= {*last.options}
  assert sweep._absolute(['--config.teacher=one,two']) == (
    f'--config.teacher={tmp_path}/one,{tmp_path}/two',
  )
  assert sweep._absolute(['--config.extractor.init=random']) == (
    '--config.extractor.init=random',
  )


def test_an_extractor_is_not_told_what_it_has_no_use_for(tmp_path):
  table = tmp_path / 'table.py'
  table.write_text("EXPERIMENTS = ('dcase_l6', 'esc10_pooled')")
  hidden, pooled = '--config.extractor.hidden=50', '--config.extractor.model='

  def told(*given):
    options, overrides = sweep._parse(
      [f'--sweep={table}', f'--workdir={tmp_path}', hidden, *given]
    )
    return [hidden in run.options for run in sweep.plan(options, overrides)]

  assert told() == [True, False]
  assert told(f'{pooled}vggish') == [True, True]
  with pytest.raises(UserError, match=r'no experiment .* config.extractor.hid'):
    told(f'{pooled}pooled')


def test_a_dry_run_starts_nothing(table, capsys):
  assert table('--dry_run', '--hosts=2', '--devices=4') == 0
  out, _ = capsys.readouterr()
  assert '0 of 2 are done' in out
  assert out.count('--process_id=1') == 2
  assert out.count('device_count=4') == 4
  assert list(table.folder.iterdir()) == []


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
    ('--cache_dir=/dev/null', '/dev/null: a device, not a folder'),
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
  assert set(found) == tables | {'thesis', 'balanced'}
  assert set(found['thesis']) == {x for name in tables for x in found[name]}
  assert len(found['table10']) == 10 and len(found['table14']) == 7
  assert len(found['balanced']) == 9  # one DNN: their data differ alone


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
