"""Several hosts: processes of this machine that talk over loopback."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import dcase_data
import jax
import linear_host
import numpy as np
import pytest

from aec_jax import experiment, predictions
from aec_jax.errors import UserError
from aec_jax.models.extractors import EXTRACTORS
from aec_jax.run import hosts
from configs import audioset_level13, dcase_lstm

ROOT = Path(__file__).parents[2]
STEPS = {
  'batch_size': 16,
  'max_steps': 20,
  'eval_every': 20,
  'checkpoint_every': 10,
  'steps_per_dispatch': 10,
}
FAST = (
  '--config=configs/audioset_level13.py',
  *(f'--config.{name}={value}' for name, value in STEPS.items()),
  '--config.model.hidden=(16,16,16)',
  '--config.model.dtype=float32',
)


def free_port():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def start_all(workdir, data_dir, *options, devices=1):
  """The main command on two hosts, see `start_hosts`."""
  return start_hosts(
    'aec_jax.main', f'--workdir={workdir}', f'--config.data_dir={data_dir}',
    *FAST, *options, devices=devices,
  )  # fmt: skip


def start_hosts(module, *options, devices=1):
  """A command on two hosts: the (status, stdout, stderr) of each.

  HOST in its options stands for the host's number.
  """
  env = dict(
    os.environ,
    JAX_PLATFORMS='cpu',
    NPROC='8',  # twice the devices; see tests/test_experiment.py
    XLA_FLAGS=os.environ['XLA_FLAGS']
    + f' --xla_force_host_platform_device_count={devices}',
  )
  address = f'127.0.0.1:{free_port()}'
  processes = [
    subprocess.Popen(
      [sys.executable, '-m', module,
       *(option.replace('HOST', str(host)) for option in options),
       f'--coordinator={address}', '--num_processes=2', f'--process_id={host}'],
      cwd=ROOT, env=env, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    for host in range(2)
  ]  # fmt: skip
  out = [process.communicate(timeout=900) for process in processes]
  return [(p.returncode, *o) for p, o in zip(processes, out, strict=True)]


@pytest.fixture(scope='module')
def two_hosts(tmp_path_factory, audioset_dir):
  workdir = tmp_path_factory.mktemp('runs') / 'two_hosts'
  return workdir, start_all(workdir, audioset_dir, devices=2)


def alone(workdir, cache_dir, data_dir, max_steps=20):
  """The same experiment in this process, on its one device."""
  config = audioset_level13.get_config()
  config.data_dir = str(data_dir)
  config.update({**STEPS, 'max_steps': max_steps})
  config.model.hidden, config.model.dtype = (16, 16, 16), 'float32'
  return experiment.run(config, workdir, cache_dir)


def evaluations(results):
  return results['ensembles']['10']['evaluations']


@pytest.mark.slow
def test_two_hosts_do_what_one_does(tmp_path, two_hosts, audioset_dir):
  workdir, ends = two_hosts
  assert [status for status, _, _ in ends] == [0, 0], ends
  one = alone(tmp_path / 'one', workdir.parent / 'cache', audioset_dir)
  results = json.loads((workdir / 'results.json').read_text())
  assert results['versions']['device'].startswith('4 ×')
  assert results['n_examples'] == one['n_examples'] == 70
  pairs = zip(evaluations(results), evaluations(one), strict=True)
  for a, b in pairs:
    assert a['step'] == b['step']
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-5)
    np.testing.assert_allclose(a['mAP'], b['mAP'], atol=0.005)
    np.testing.assert_allclose(a['AUC'], b['AUC'], atol=0.005)
  a, b = (
    predictions.load(d) for d in (workdir, tmp_path / 'one')
  )  # every example once, in its place
  np.testing.assert_array_equal(a['ids'], b['ids'])
  np.testing.assert_allclose(a['probabilities'], b['probabilities'], atol=1e-4)


@pytest.mark.slow
def test_one_host_speaks_and_writes(two_hosts):
  workdir, ((_, first, _), (_, second, _)) = two_hosts
  assert 'mAP' in first and 'mAP' not in second
  assert len(list(workdir.glob('segments_10/events.out.tfevents.*'))) == 1
  progress = json.loads(
    (workdir / 'checkpoints/segments_10/progress.json').read_text()
  )
  assert progress['step'] == progress['max_steps'] == 20


@pytest.mark.slow
def test_what_two_hosts_wrote_goes_on_on_one(two_hosts, audioset_dir, tmp_path):
  workdir, _ = two_hosts
  copy = shutil.copytree(workdir, tmp_path / 'copy')
  longer = alone(copy, workdir.parent / 'cache', audioset_dir, max_steps=40)
  before = json.loads((workdir / 'results.json').read_text())
  assert evaluations(longer)[:1] == evaluations(before)
  assert [e['step'] for e in evaluations(longer)] == [20, 40]


@pytest.mark.slow
def test_an_error_of_the_first_host_ends_all(two_hosts, audioset_dir):
  for status, _, err in start_all(
    two_hosts[0], audioset_dir, '--config.seed=1'
  ):
    assert status == 2, err
    assert re.search('error: .* holds an experiment with other settings', err)


CLIPS = {
  'extractors': ('balanced_first',),
  'extractor.model': 'linear',
  'extractor.init': 'random',
  'extractor.batch_size': 5,
  'extractor.max_steps': 2,
  'extractor.eval_every': 2,
  'extractor.checkpoint_every': 2,
  'pitch_to': 0,
  'extractor.augment.time_shift': True,
  'extractor.augment.mixup_alpha': 0.4,
  'extractor.augment.gain': 6.0,
  'folds': 2,
  'model.hidden': (8,),
  'batch_size': 7,
  'max_steps': 2,
  'eval_every': 2,
  'checkpoint_every': 2,
  'steps_per_dispatch': 2,
}


@pytest.mark.slow
def test_two_hosts_without_a_common_disk_train_on_clips(tmp_path, monkeypatch):
  data_dir = dcase_data.write_fsd(tmp_path / 'fsd', seconds=(0.3, 4.5))
  ends = start_hosts(
    'tests.run.linear_host', '--config=configs/dcase_lstm.py',
    f'--workdir={tmp_path}/HOST/run', f'--config.data_dir={data_dir}',
    *(f'--config.{name}={value}' for name, value in CLIPS.items()),
  )  # fmt: skip
  assert [status for status, _, _ in ends] == [0, 0], ends
  monkeypatch.setitem(EXTRACTORS, 'linear', linear_host.ROW)
  config = dcase_lstm.get_config()
  config.update_from_flattened_dict({**CLIPS, 'data_dir': str(data_dir)})
  alone = experiment.run(config, tmp_path / '2/run', tmp_path / '2/cache')

  results = json.loads((tmp_path / '0/run/results.json').read_text())
  assert results['versions']['device'].startswith('2 ×')
  for name, each in alone['ensembles']['0']['members'][0].items():
    found = results['ensembles']['0']['members'][0][name]
    assert found == (each if isinstance(each, str) else pytest.approx(each))
  a, b = (predictions.load(tmp_path / where) for where in ('0/run', '2/run'))
  np.testing.assert_array_equal(a['ids'], b['ids'])
  np.testing.assert_allclose(a['probabilities'], b['probabilities'], atol=1e-4)
  # What is trained lies where the first host sees it.
  first, second, one = (
    {path.name for path in (tmp_path / f'{i}/cache').glob('*-*')}
    for i in range(3)
  )
  assert first == one
  assert {name.split('-')[0] for name in first - second} == {
    'extractor', 'members'
  }  # fmt: skip
  assert not (tmp_path / '1/run').exists()


@pytest.mark.parametrize(
  ('coordinator', 'processes', 'process'),
  [
    ('here:1', None, None),
    ('here:1', 2, None),
    (None, 2, 1),
    ('auto', 2, 1),
    ('here:1', 2, 2),
    ('here:1', 2, -1),
  ],
)
def test_numbers_that_make_no_sense(coordinator, processes, process):
  options = SimpleNamespace(
    coordinator=coordinator, num_processes=processes, process_id=process
  )
  with pytest.raises(UserError, match='--process_id'):
    hosts.initialize(options)


def test_alone_there_is_nobody_to_wait_for(monkeypatch):
  monkeypatch.delenv('SLURM_STEP_NUM_TASKS', raising=False)
  hosts.initialize(
    SimpleNamespace(coordinator=None, num_processes=None, process_id=None)
  )
  assert hosts.is_first() and hosts.lead(lambda: (1, 2)) == (1, 2)


def test_what_is_sent_keeps_its_order_whatever_its_size(monkeypatch):
  """A report takes the order of the classes from a dictionary."""
  from orbax.checkpoint import multihost

  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(
    multihost, 'get_barrier_sync_fn', lambda: lambda **_: None
  )
  monkeypatch.setattr(hosts, '_broadcast', lambda array: array)
  value = {'z': [1, (2, {'b': None, 'a': '{}'})], 'a': {}, 'm': []}
  expected = {'z': [1, [2, {'b': None, 'a': '{}'}]], 'a': {}, 'm': []}
  for part in (2**28, 7, 1):
    monkeypatch.setattr(hosts, '_PART', part)
    found = hosts.lead(lambda: {**value, 'x': np.arange(6.0).reshape(2, 3)})
    np.testing.assert_array_equal(found['x'], np.arange(6.0).reshape(2, 3))
    assert [*found] == ['z', 'a', 'm', 'x'] and [*found['z'][1][1]] == [
      'b',
      'a',
    ]
    assert {k: v for k, v in found.items() if k != 'x'} == expected


def test_hosts_that_read_other_data_are_refused(monkeypatch):
  hosts.check_same(['a', 'b'], 'no')
  monkeypatch.setattr(hosts, 'lead', lambda function: ['a', 'c'])
  with pytest.raises(UserError, match='^the data differ$'):
    hosts.check_same(['a', 'b'], 'the data differ')


@pytest.mark.parametrize(
  ('gpus', 'tasks', 'expected'),
  [(8, '1(x2)', list(range(8))), (8, '8(x2)', None), (0, '1', None)],
)
def test_a_task_alone_on_its_node_takes_all_gpus(
  monkeypatch, gpus, tasks, expected
):
  monkeypatch.setenv('SLURM_GPUS_ON_NODE', str(gpus))
  monkeypatch.setenv('SLURM_STEP_TASKS_PER_NODE', tasks)
  assert hosts._slurm_gpus() == expected
