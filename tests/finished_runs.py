"""Work folders of finished experiments, made up, for the tests of pages."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from aec_jax import dcase, evaluate, metrics
from aec_jax.report import Shown, charts

# What must not reach a page as it is.
CLASSES = ('<b>Bark & "howl"</b>', 'Meow | purr', 'Speech_*1*', 'Rain', 'Wind')


def audioset_run(folder: Path, name='audioset_level3', seed=0, clips=60):
  """A multi-label experiment; returns its results."""
  rng = np.random.default_rng(seed)
  labels = np.random.default_rng(7).random((clips, len(CLASSES))) < 0.3
  labels[:, 0] |= ~labels.any(1)
  found = 0.25 * labels + 0.75 * rng.random(labels.shape)
  ap, auc = metrics.ap_and_auc(labels, found)
  config = importlib.import_module(f'configs.{name}').get_config()
  results = {
    **_common(config, labels),
    'metrics': metrics.macro(ap, auc),
    'per_class': {
      name: {'AP': a, 'AUC': b}
      for name, a, b in zip(CLASSES, ap, auc, strict=True)
    },
    'best_step': 200,
    'evaluations': [
      {'step': step, 'loss': 60 / step, 'mAP': step / 1000}
      for step in (100, 200, 300)
    ],
    'skipped': [{'file': '<a>.tfrecord', 'record': 3, 'reason': 'damaged'}],
  }
  return _finish(folder, results, labels, found)


def dcase_run(folder: Path, name='dcase_l6', seed=0, clips=40):
  """A single-label experiment; returns its results."""
  rng = np.random.default_rng(seed)
  labels = np.arange(clips) % len(CLASSES)
  one_hot = np.eye(len(CLASSES), dtype=bool)[labels]
  found = one_hot + 1.5 * rng.random(one_hot.shape)
  found /= found.sum(1, keepdims=True)
  config = importlib.import_module(f'configs.{name}').get_config()
  config.data_dir = 'FSD'
  summary = metrics.single_label_summary(labels, found)
  public = metrics.map_at_k(labels[:20], found[:20])
  members = {'MAP@3': [0.5, 0.7]}
  results = {
    **_common(dcase.resolve(config), one_hot),
    'metrics': {**summary, 'MAP@3_public': public},
    'intervals': {'MAP@3': [0.6, 0.9], 'MAP@3_public': [0.5, 0.95]},
    'per_class': {
      name: {'AP@3': x}
      for name, x in zip(CLASSES, metrics.ap_at_k(labels, found), strict=True)
    },
    'best_step': 4,
    'scored_on': 'test',
    'ensembles': {
      '6': {
        'evaluations': [
          {'step': 2, 'loss': 1.0, 'MAP@3': 0.6, 'members': members},
          {'step': 4, 'loss': 0.5, 'MAP@3': 0.6, 'members': members},
        ]
      }
    },
    'notes': [{'file': '3.wav', 'reason': 'silent'}],
  }
  results['data'] |= {
    'verified': dict.fromkeys(CLASSES, 0.25),
    'seconds': {name: [0.3, 1.0, 2.5, 4.0, 30.0] for name in CLASSES},
  }
  return _finish(folder, results, one_hot, found)


def _common(config, labels):
  counts = dict(zip(CLASSES, labels.sum(0).tolist(), strict=True))
  return {
    'experiment': config.name,
    'expected': config.expected.to_dict(),
    'config': config.to_dict(),
    'dataset_fingerprint': '0123',
    'n_train_examples': 1234,
    'n_examples': len(labels),
    'skipped': [],
    'data': {'clips': {'train': dict.fromkeys(CLASSES, 250), 'test': counts}},
    'versions': {'jax': '0.10.2', 'device': '1 × cpu'},
    'seconds': {'train': 61.25},
  }


def _finish(folder, results, labels, probabilities):
  folder.mkdir(parents=True)
  examples = SimpleNamespace(
    ids=np.array([f'clip{i}'.encode() for i in range(len(labels))]),
    label_ids=np.nonzero(labels)[1].astype(np.int16),
    label_offsets=np.append(0, np.cumsum(labels.sum(1))),
  )
  evaluate.save_predictions(
    folder / 'predictions.npz', examples, probabilities.astype(np.float32)
  )
  (folder / 'results.json').write_text(json.dumps(results))
  return json.loads((folder / 'results.json').read_text())


def show(clip_id) -> Shown:
  """A picture and half a second of a tone, whichever clip."""
  rng = np.random.default_rng(len(clip_id))
  tone = 0.1 * np.sin(np.arange(8000) / 5)
  return Shown(rng.random((64, 96)), 'log-mel', charts.mp3(tone, 16_000))
