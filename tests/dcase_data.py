"""Tiny clips for the tests of recordings' stages, on disk and in memory."""

import csv
import importlib
from pathlib import Path

import numpy as np
import soundfile

from aec_jax import presets
from aec_jax.datasets.labels import Labels
from aec_jax.features.log_mels import ClipExamples

RATE = 8000  # Hz
PITCHES = {'low': 200.0, 'mid': 700.0, 'high': 2500.0}


def tone(rng, label, seconds):
  """A noisy tone of about its class's pitch, (sample,) in [-1, 1]."""
  t = np.arange(round(seconds * RATE)) / RATE
  wave = np.sin(2 * np.pi * PITCHES[label] * rng.uniform(0.9, 1.1) * t)
  return 0.5 * wave + 0.02 * rng.standard_normal(len(t))


def write_fsd(root: Path, train=18, test=6, seconds=(0.2, 0.9)) -> Path:
  """Kaggle's layout: clips under 1 s, a silent one, and one without samples."""
  rng = np.random.default_rng(0)
  names = list(PITCHES)
  for part, count in (('train', train), ('test', test)):
    (root / f'audio_{part}').mkdir(parents=True)
    rows = [(f'{part}{i:03d}.wav', names[i % 3]) for i in range(count)]
    for i, (name, label) in enumerate(rows):
      wave = tone(rng, label, rng.uniform(*seconds))
      soundfile.write(root / f'audio_{part}' / name, wave * (i != 3), RATE)
    if part == 'train':
      rows = [(*row, 1) for row in rows] + [('void.wav', 'low', 0)]
      soundfile.write(root / 'audio_train/void.wav', np.zeros(0), RATE)
      _write(root / 'train.csv', ('fname', 'label', 'manually_verified'), rows)
    else:
      rows = [
        (*row, 'Public' if i < test // 2 else 'Private')
        for i, row in enumerate(rows)
      ]
      heading = ('fname', 'label', 'usage')
      _write(root / 'test_post_competition.csv', heading, rows)
  return root


def _write(path, heading, rows):
  with open(path, 'w', newline='', encoding='utf-8') as file:
    csv.writer(file).writerows([heading, *rows])


def tiny_config(name='dcase_l6', /, data_dir='somewhere', **fields):
  """A shipped config made tiny, as `presets.resolve` returns it."""
  config = importlib.import_module(f'configs.{name}').get_config()
  config.data_dir = str(data_dir)
  tiny = {
    'folds': 2,
    'segments': (2,),
    'batch_size': 8,
    'max_steps': 6,
    'eval_every': 2,
    'checkpoint_every': 3,
    'steps_per_dispatch': 1,  # so that one program has all steps
    'model.hidden': (8, 8, 8),
    'extractor.init': 'random',
    'extractor.width': 0.03,
    'extractor.batch_size': 4,
    'extractor.max_steps': 4,
    'extractor.eval_every': 2,
    'extractor.checkpoint_every': 1,
    'extractor.optimizer.learning_rate': 1e-3,
    **fields,
  }
  if tiny.get('extractor.model', config.extractor.model) == 'vggish':
    tiny.setdefault('extractor.batch_norm', True)
  if config.pitch_to is None:
    tiny.setdefault('pitch_to', 8)
  config.update_from_flattened_dict(tiny)
  return presets.resolve(config)


def clip_examples(counts, labels, shape=(32, 16), **columns) -> ClipExamples:
  """Random examples of clips, (example, *shape), with their class in them.

  Args:
    counts: examples of each clip.
    labels: `Labels`, or each clip's one class.
    shape: of an example.
    columns: fields of `ClipExamples` that are not as by default.
  """
  rng = np.random.default_rng(1)
  if not isinstance(labels, Labels):
    labels = Labels.of_one(np.asarray(labels), 3)
  clips = len(labels)
  of = np.repeat(labels.ids[labels.offsets[:-1]], counts)[:, None, None]
  examples = rng.standard_normal((sum(counts), *shape)) + of
  columns = {
    'fold': np.full(clips, -1),
    'split': np.full(clips, 'train'),
    'usage': np.full(clips, ''),
    'group': np.full(clips, ''),
    **columns,
  }
  return ClipExamples(
    examples=examples.astype(np.float16),
    offsets=np.concatenate([[0], np.cumsum(counts)]),
    ids=np.array([f'{i}.wav' for i in range(clips)]),
    labels=labels,
    verified=np.ones(clips, bool),
    source=np.arange(clips, dtype=np.int32),
    classes=tuple('abc'),
    skipped=[],
    notes=[],
    fingerprint='',
    folder=Path('memory'),
    **columns,
  )
