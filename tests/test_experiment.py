"""Whole experiments on AudioSet's embeddings, mostly from the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from aec_jax import experiment, predictions
from aec_jax.datasets import synthetic_audioset
from aec_jax.errors import UserError
from aec_jax.objective import OBJECTIVES
from configs import audioset_level13

ROOT = Path(__file__).parents[1]
FAST = (
  '--config.batch_size=16',
  '--config.max_steps=60',
  '--config.eval_every=20',
  '--config.checkpoint_every=10',
  '--config.steps_per_dispatch=5',
  '--config.model.hidden=(16,16,16)',
  '--config.model.dtype=float32',
)


def start(workdir, data_dir, *options, devices=1):
  """Starts the main command in a process of its own."""
  env = dict(os.environ, JAX_PLATFORMS='cpu')
  if devices > 1:
    # Twice the devices, or their collectives wait for threads for ever.
    env['NPROC'] = str(2 * devices)
    env['XLA_FLAGS'] += f' --xla_force_host_platform_device_count={devices}'
  return subprocess.Popen(
    [
      sys.executable,
      '-m',
      'aec_jax.main',
      f'--workdir={workdir}',
      f'--config.data_dir={data_dir}',
      '--config=configs/audioset_level13.py',  # anywhere among its fields
      *FAST,
      *options,
    ],
    cwd=ROOT,
    env=env,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process):
  """The (exit status, stdout, stderr) of a started command."""
  out, err = process.communicate(timeout=900)
  return process.returncode, out, err


@pytest.fixture(scope='module')
def finished(tmp_path_factory, audioset_dir):
  """An unbroken run: its work folder and what it printed."""
  workdir = tmp_path_factory.mktemp('runs') / 'whole'
  status, out, err = finish(start(workdir, audioset_dir))
  assert status == 0, err
  return workdir, out, err


def results_of(workdir):
  return json.loads((workdir / 'results.json').read_text())


def evaluations_of(workdir):
  return results_of(workdir)['ensembles']['10']['evaluations']


def test_results_hold_what_was_promised(finished):
  workdir, out, err = finished
  results = results_of(workdir)
  assert {
      'experiment', 'metrics', 'per_class', 'expected', 'n_examples', 'skipped',
      'versions', 'config', 'dataset_fingerprint', 'seconds',
  } <= results.keys()  # fmt: skip
  assert results['experiment'] == 'audioset_level13'
  assert results['expected'] == {'mAP': 0.335, 'AUC': 0.959, 'd_prime': 2.457}
  assert results['n_examples'] == 70
  assert results['n_train_examples'] == 90 + 120
  assert results['config']['model']['levels'] == [1, 3]
  assert set(results['seconds']) == {
    'prepare', 'fine_tune', 'embed', 'train', 'score',
  }  # fmt: skip
  # The scores are those of the predictions that lie beside them, over all.
  targets, probabilities = predictions.mean_probabilities([workdir])
  scores = OBJECTIVES['multi_label'].scores(targets, probabilities)
  assert results['metrics'] == pytest.approx(scores, rel=1e-6)
  ap = [entry['AP'] for entry in results['per_class'].values()]
  np.testing.assert_allclose(np.mean(ap), results['metrics']['mAP'])
  best = max(results['ensembles']['10']['evaluations'], key=lambda e: e['mAP'])
  assert results['best_step'] == best['step']
  assert results['metrics']['mAP'] == pytest.approx(best['mAP'], rel=1e-6)
  assert re.search(rf'mAP +{results["metrics"]["mAP"]:.4f} +0.335', out)
  assert re.search(
    r'step 60/60 · [\d,]+ examples/s · loss 0\.\d+ · best validation mAP', err
  )
  assert list(workdir.glob('segments_10/events.out.tfevents.*'))


def test_run_again_it_does_nothing(finished, audioset_dir):
  workdir, _, _ = finished
  before = {p: p.stat().st_mtime_ns for p in workdir.glob('*')}
  config = audioset_level13.get_config()
  overrides = results_of(workdir)['config']
  config.update_from_flattened_dict(
    {
      k: overrides[k]
      for k in (
        'batch_size',
        'max_steps',
        'eval_every',
        'checkpoint_every',
        'steps_per_dispatch',
      )
    }
  )
  config.model.hidden, config.model.dtype = (16, 16, 16), 'float32'
  config.data_dir = str(audioset_dir)
  again = experiment.run(config, workdir, workdir.parent / 'cache')
  assert again == results_of(workdir)
  after = {p: p.stat().st_mtime_ns for p in workdir.glob('*')}
  # It says again what it is, and that it is in use, and nothing else.
  changed = {path.name for path in before if before[path] != after[path]}
  assert changed <= {'experiment.json', '.lock'}
  config.seed = 1
  with pytest.raises(UserError, match=r'config\.seed: 0 there, 1 here'):
    experiment.run(config, workdir, workdir.parent / 'cache')


def test_the_report_is_there_and_comes_back_when_missing(
  finished, audioset_dir
):
  workdir, _, _ = finished
  page = workdir / 'report/index.html'
  text = page.read_text()
  results = results_of(workdir)
  low, high = results['intervals']['mAP']
  assert low < results['metrics']['mAP'] < high
  assert f'{low:.3f}–{high:.3f}' in text
  assert text.count('data:image/png') == 12
  assert text.count('class="strip"') == 12
  counts = results['data']['clips']
  assert list(counts) == ['bal_train', 'unbal_train', 'eval']
  targets, _ = predictions.mean_probabilities([workdir])
  assert list(counts['eval'].values()) == targets.sum(0).tolist()
  before = (workdir / 'results.json').stat().st_mtime_ns
  page.unlink()
  status, _, err = finish(start(workdir, audioset_dir))
  assert status == 0, err
  assert page.read_text() == text
  assert (workdir / 'results.json').stat().st_mtime_ns == before


def test_evaluate_restores_and_scores_to_the_same_digits(
  finished, audioset_dir
):
  workdir, out, _ = finished
  before = results_of(workdir)
  # The cache is empty: the bundle has all that scoring needs.
  options = ('--mode=evaluate', f'--cache_dir={workdir.parent / "other"}')
  status, again, err = finish(start(workdir, audioset_dir, *options))
  assert status == 0, err
  # But for the time that it took, and all that training names after it.
  told = lambda text: re.sub(r'took: .*', '', text, flags=re.S)
  assert told(again) == told(out)
  assert not list((workdir.parent / 'other').glob('audioset-*_train-*'))
  after = results_of(workdir)
  del after['seconds'], before['seconds']
  assert after == before
  assert not (workdir / 'evaluations').exists()


def test_on_other_data_it_leaves_the_results_as_they_are(
  finished, tmp_path, audioset_dir
):
  workdir = finished[0]
  before = (workdir / 'results.json').read_bytes()
  predicted = (workdir / 'predictions.npz').read_bytes()
  synthetic_audioset.make(
    str(tmp_path / 'other'), classes=5, train=5, unbalanced=5, evaluation=20
  )
  options = ('--mode=evaluate', f'--cache_dir={tmp_path / "cache"}')
  status, _, err = finish(start(workdir, tmp_path / 'other', *options))
  assert status == 0, err
  assert 'not the data' in err
  assert (workdir / 'results.json').read_bytes() == before
  assert (workdir / 'predictions.npz').read_bytes() == predicted
  (path,) = (workdir / 'evaluations').glob('*.json')
  found = json.loads(path.read_text())
  assert found['n_examples'] == 20
  assert found['scored_fingerprint'] == path.stem
  with np.load(path.with_suffix('.npz')) as file:
    assert file['probabilities'].shape == (20, 5)
  (workdir / 'evaluations').rename(tmp_path / 'evaluations')


def test_killed_and_started_again_it_ends_with_the_same_bits(
  finished, tmp_path, audioset_dir
):
  whole, workdir = finished[0], tmp_path / 'killed'
  process = start(workdir, audioset_dir)
  deadline = time.monotonic() + 600
  while not list(workdir.glob('checkpoints/segments_10/latest/3*')):
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.01)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert not (workdir / 'results.json').exists()
  status, _, err = finish(start(workdir, audioset_dir))
  assert status == 0, err
  assert results_of(workdir)['metrics'] == results_of(whole)['metrics']
  assert evaluations_of(workdir) == evaluations_of(whole)
  with (
    np.load(workdir / 'predictions.npz') as a,
    np.load(whole / 'predictions.npz') as b,
  ):
    np.testing.assert_array_equal(a['probabilities'], b['probabilities'])


@pytest.mark.slow
def test_four_devices_give_the_losses_and_metrics_of_one(
  finished, tmp_path, audioset_dir
):
  workdir = tmp_path / 'four'
  status, _, err = finish(start(workdir, audioset_dir, devices=4))
  assert status == 0, err
  results = results_of(workdir)
  assert results['versions']['device'].startswith('4 ×')
  expected = evaluations_of(finished[0])
  for a, b in zip(evaluations_of(workdir), expected, strict=True):
    np.testing.assert_allclose(a['loss'], b['loss'], rtol=1e-4)
    np.testing.assert_allclose(a['mAP'], b['mAP'], atol=0.01)
    np.testing.assert_allclose(a['AUC'], b['AUC'], atol=0.005)
  # And it restores on one.
  status, _out, err = finish(start(workdir, audioset_dir, '--mode=evaluate'))
  assert status == 0, err
  again = results_of(workdir)['metrics']['mAP']
  np.testing.assert_allclose(again, results['metrics']['mAP'], atol=0.002)


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ('--workdir=', '--workdir is missing'),
    ('--mode=evaluate', 'holds no experiment'),
    ('--config.data_dir=/no/such/folder', '/no/such/folder'),
  ],
)
def test_what_a_user_can_mend_is_one_line_and_status_2(
  tmp_path, audioset_dir, option, message
):
  status, out, err = finish(start(tmp_path / 'run', audioset_dir, option))
  assert status == 2, err
  assert out == ''
  lines = [x for x in err.splitlines() if not re.match(r'\d\d:\d\d:\d\d', x)]
  assert len(lines) == 1 and lines[0].startswith('error: ')
  assert message in lines[0]
