"""Work folders of finished experiments, made up, for the tests of pages."""

import importlib
import json
from pathlib import Path

import numpy as np

from aec_jax import predictions, presets
from aec_jax.datasets.labels import Labels
from aec_jax.objective import OBJECTIVES
from aec_jax.report import Shown, charts

# What must not reach a page as it is.
CLASSES = ('<b>Bark & "howl"</b>', 'Meow | purr', 'Speech_*1*', 'Rain', 'Wind')


def audioset_run(folder: Path, name='audioset_level3', seed=0, clips=60):
  """A multi-label experiment; returns its results."""
  rng = np.random.default_rng(seed)
  targets = np.random.default_rng(7).random((clips, len(CLASSES))) < 0.3
  targets[:, 0] |= ~targets.any(1)
  found = 0.25 * targets + 0.75 * rng.random(targets.shape)
  config = importlib.import_module(f'configs.{name}').get_config()
  results = {
    **_common(presets.resolve(config), targets, found),
    'best_step': 200,
    'ensembles': {
      '10': {
        'evaluations': [
          {'step': step, 'loss': 60 / step, 'mAP': step / 1000,
           'members': {'mAP': [step / 1000]}}
          for step in (100, 200, 300)
        ],
        'members': [{'name': 'released/0', 'best_step': 200}],
      }
    },
    'skipped': [{'file': '<a>.tfrecord', 'record': 3, 'reason': 'damaged'}],
  }  # fmt: skip
  return _finish(folder, results, targets, found)


def dcase_run(folder: Path, name='dcase_l6', seed=0, clips=40):
  """A single-label experiment; returns its results."""
  rng = np.random.default_rng(seed)
  targets = np.eye(len(CLASSES), dtype=bool)[np.arange(clips) % len(CLASSES)]
  found = targets + 1.5 * rng.random(targets.shape)
  found /= found.sum(1, keepdims=True)
  config = importlib.import_module(f'configs.{name}').get_config()
  config.data_dir = 'FSD'
  common = _common(presets.resolve(config), targets, found)
  public = OBJECTIVES['single_label'].scores(targets[:20], found[:20])['MAP@3']
  members = {'MAP@3': [0.5, 0.7]}
  results = {
    **common,
    'metrics': {**common['metrics'], 'MAP@3_public': public},
    'intervals': {'MAP@3': [0.6, 0.9], 'MAP@3_public': [0.5, 0.95]},
    'best_step': 4,
    'scored_on': 'test',
    'ensembles': {
      '6': {
        'steps_a_pass': 2.5,
        'start': {
          'step': 0,
          'MAP@3': 0.2,
          'log_likelihood': -1.6,
          'members': {'MAP@3': [0.2, 0.2]},
        },
        'evaluations': [
          {
            'step': 2,
            'loss': 1.0,
            'MAP@3': 0.6,
            'log_likelihood': -1.0,
            'members': members,
          },
          {
            'step': 4,
            'loss': 0.5,
            'MAP@3': 0.6,
            'log_likelihood': -1.5,
            'members': members,
          },
        ],
        'members': [
          {'name': 'balanced_first/0', 'best_step': 4, 'training_clips': 800},
          {'name': 'balanced_first/1', 'best_step': 2, 'training_clips': 900},
        ],
      }
    },
    'fine_tuning': {
      'balanced_first': {
        'steps_a_pass': 30.0,
        'start': {'step': 0, 'log_likelihood': -1.6, 'accuracy': 0.2},
        'evaluations': [
          {
            'step': 20 * i,
            'loss': 1 / i,
            'log_likelihood': -1 - 0.5 / i,
            'accuracy': 0.5,
          }
          for i in (1, 2, 3)
        ],
      },
      'original': [],
    },
    'folds': {
      str(i): {'n': 20, 'MAP@3': 0.5 + i / 10, 'accuracy': 0.4}
      for i in range(2)
    },
    'parameters': {'extractors': 4_500_000, 'classifiers': 120_000},
    'finished': '2026-01-02 03:04:05+00:00',
    'command': 'python -m aec_jax.main --config=configs/dcase_l6.py',
    'notes': [{'file': '3.wav', 'reason': 'silent'}],
  }
  results['data'] |= {
    'verified': dict.fromkeys(CLASSES, 0.25),
    'seconds': {name: [0.3, 1.0, 2.5, 4.0, 30.0] for name in CLASSES},
  }
  return _finish(folder, results, targets, found)


def _common(config, targets, found):
  counts = dict(zip(CLASSES, targets.sum(0).tolist(), strict=True))
  objective = OBJECTIVES[config.objective]
  values = np.asarray(objective.from_probabilities(found))
  columns = objective.per_class(targets, values)
  return {
    'experiment': config.name,
    'metrics': objective.scores(targets, values),
    'per_class': {
      name: {k: float(column[i]) for k, column in columns.items()}
      for i, name in enumerate(CLASSES)
    },
    'expected': config.expected.to_dict(),
    'config': config.to_dict(),
    'dataset_fingerprint': '0123',
    'n_train_examples': 1234,
    'n_examples': len(targets),
    'skipped': [],
    'data': {'clips': {'train': dict.fromkeys(CLASSES, 250), 'test': counts}},
    'versions': {'jax': '0.10.2', 'device': '1 × cpu'},
    'seconds': {'train': 61.25},
  }


def _finish(folder, results, targets, probabilities):
  folder.mkdir(parents=True)
  labels = Labels(
    np.nonzero(targets)[1].astype(np.int16),
    np.append(0, np.cumsum(targets.sum(1))),
    targets.shape[1],
  )
  ids = np.array([f'clip{i}'.encode() for i in range(len(targets))])
  path = folder / 'predictions.npz'
  predictions.save(path, ids, labels, probabilities.astype(np.float32))
  (folder / 'results.json').write_text(json.dumps(results))
  return json.loads((folder / 'results.json').read_text())


def show(clip_id) -> Shown:
  """A picture and half a second of a tone, whichever clip."""
  rng = np.random.default_rng(len(clip_id))
  tone = 0.1 * np.sin(np.arange(8000) / 5)
  return Shown(rng.random((64, 96)), 'log-mel', charts.mp3(tone, 16_000))
