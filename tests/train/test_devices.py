"""Batches that devices cannot share equally are filled up and masked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dcase_data
import numpy as np
import pytest
import train_data
from train_data import fit

from aec_jax.input.folds import Job
from aec_jax.train import extractor
from aec_jax.train.start import of_file

TESTS = Path(__file__).parents[1]
# What a subprocess with three devices runs: this module's own `losses`.
SCRIPT = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import jax
from test_devices import losses
assert jax.device_count() == 3
print(json.dumps(losses(sys.argv[3])))
"""


def losses(folder) -> dict:
  """The training losses and scores of tiny runs, on all devices here."""
  # Momentum: Adam makes steps of any gradient's noise. No dropout: its masks
  # are drawn by each device for its share.
  steady = {
    'optimizer.name': 'momentum',
    'optimizer.learning_rate': 0.05,
    'model.dropout': 0.0,
    'model.hidden': (8,),
    'model.levels': (1,),
    'max_steps': 6,
    'eval_every': 2,
    'mixup_alpha': 0.3,
  }
  released = train_data.released(train_data.released_config(**steady))
  members = train_data.classifiers(dcase_data.tiny_config(**steady))
  found = {}
  for name, system in (
    ('released', released),
    ('members', members),
    ('fine_tuned', fine_tuner()),
  ):
    _, history = fit(system, Path(folder) / name)
    found[name] = [
      {'loss': e['loss'], 'scores': e.get('members', e)}
      for e in history.evaluations
    ]
  return found


def fine_tuner() -> extractor.FineTuner:
  """Of clips of 1 to 5 examples, with every augmentation, two steps at once."""
  config = dcase_data.tiny_config(
    **{
      'extractor.steps_per_dispatch': 2,
      'extractor.max_steps': 6,
      'extractor.optimizer.name': 'momentum',
      'extractor.optimizer.learning_rate': 0.002,
      'extractor.augment.time_shift': True,
      'extractor.augment.mixup_alpha': 0.3,
      'extractor.augment.speed': 1.25,
      'extractor.augment.gain': 6.0,
      'extractor.augment.mask_frames': 8,
      'extractor.augment.mask_bands': 4,
    }
  )
  clips = dcase_data.clip_examples((1, 2, 1, 3, 1, 2, 1, 1, 5), [0, 1, 2] * 3)
  job = Job('balanced_first', 'balanced', np.arange(7), np.arange(7, 9))
  return extractor.FineTuner(config, clips, job, of_file(config.extractor))


def test_three_devices_train_as_one_on_batches_of_eight(tmp_path):
  env = dict(
    os.environ,
    JAX_PLATFORMS='cpu',
    NPROC='8',  # twice the devices; see tests/test_experiment.py
    XLA_FLAGS=os.environ['XLA_FLAGS']
    + ' --xla_force_host_platform_device_count=3',
    PYTHONPATH=str(TESTS.parent),
  )
  here = [str(TESTS), str(TESTS / 'train')]
  ended = subprocess.run(
    [sys.executable, '-c', SCRIPT, *here, str(tmp_path / 'three')],
    env=env, capture_output=True, text=True, timeout=500,
  )  # fmt: skip
  assert ended.returncode == 0, ended.stderr
  three = json.loads(ended.stdout.splitlines()[-1])
  one = losses(tmp_path / 'one')
  for name, evaluations in one.items():
    for a, b in zip(three[name], evaluations, strict=True):
      assert a['loss'] == pytest.approx(b['loss'], abs=1e-4), name
      score = 'log_likelihood'
      np.testing.assert_allclose(
        a['scores'][score], b['scores'][score], atol=1e-3
      )
