"""The stages of one experiment, each skipped when its output is there.

prepare (shared through the cache) → train → score → results.json

for AudioSet; `aec_jax.dcase` has the other task's.
"""

import importlib.metadata
import json
import math
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax import cache, metrics, models
from aec_jax.checkpoint import Checkpoints
from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError, check_choice
from aec_jax.evaluate import Predictor, save_predictions
from aec_jax.input.plan import SAMPLINGS, Groups, Plan
from aec_jax.train import AXIS, History, Trainer, create_state, optimizer

# Fields that may change when a work folder is used again: they say where things
# lie and how long to train, not what is computed. Of a section, only those that
# say how: a longer trained extractor is another.
_HOW_FIELDS = frozenset(
  {'examples_on', 'checkpoint_every', 'steps_per_dispatch'}
)
_FREE_FIELDS = _HOW_FIELDS | {
    'data_dir', 'damaged', 'expected', 'max_steps', 'patience',
}  # fmt: skip

_PACKAGES = (
    'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy',
)  # fmt: skip

# The least and the most that a field may be.
_RANGES = (
  ('batch_size', 1, math.inf),
  ('max_steps', 1, math.inf),
  ('eval_every', 1, math.inf),
  ('patience', 1, math.inf),
  ('checkpoint_every', 1, math.inf),
  ('steps_per_dispatch', 1, math.inf),
  ('mixup_alpha', 0, math.inf),
  ('average', 0, 0.999999),
  ('seed', 0, 2**31 - 1),
)

# Raised when packed examples change their form.
_PACK_VERSION = 1


def run(
  config, workdir: str | Path, cache_dir: str | Path, mode: str = 'train'
) -> dict:
  """Runs an experiment from wherever it stands to its results.

  Args:
    config: as one of `configs/` makes it.
    workdir: the experiment's own folder.
    cache_dir: of the stages shared between experiments.
    mode: 'train', or 'evaluate' to score the best checkpoint again, training
      nothing.

  Returns:
    What `workdir/results.json` holds.

  Raises:
    UserError: the input, the config or the work folder is at fault.
  """
  from aec_jax import dcase  # which imports this module

  runs = {'audioset': _run, 'dcase': dcase.run}
  check_choice('config.task', config.task, runs)
  if config.task == 'dcase':
    config = dcase.resolve(config)
  check_config(config)
  with cache.only_user(workdir):
    return runs[config.task](config, Path(workdir), cache_dir, mode)


def _run(config, workdir, cache_dir, mode):
  start = time.monotonic()
  evaluation = load_splits(config, config.eval_splits, cache_dir)
  if mode == 'train':
    training = load_splits(config, config.train_splits, cache_dir)
    parts = (*training, *evaluation)
    claim = make_claim(
      config,
      workdir,
      [part.fingerprint() for part in parts],
      sum(len(part) for part in training),
      [entry for part in parts for entry in part.skipped],
    )
    if finished := finished_results(config, workdir):
      return finished
  else:
    claim = read_claim(config, workdir)
  seconds = {'prepare': time.monotonic() - start}
  evaluation = Examples.concatenate(evaluation)
  model = models.classifier(config.model, len(evaluation.classes), AXIS)
  predict = Predictor(config, model, evaluation)
  checkpoints = Checkpoints(workdir / 'checkpoints')
  if mode == 'train':
    targets = evaluation.multi_hot()
    train(
      config,
      model,
      Examples.concatenate(training),
      lambda state: metrics.summary(targets, predict(state)),
      checkpoints,
      workdir,
    )
  results = score(config, model, evaluation, predict, checkpoints, workdir)
  results = claim | results
  results['seconds'] = seconds | results['seconds']
  cache.write_json(workdir / 'results.json', results)
  checkpoints.close()
  return results


def load_splits(
  config, splits: Sequence[str], cache_dir: str | Path
) -> list[Examples]:
  """The splits as they lie packed in the cache, packed if they are not yet.

  Raises:
    UserError: a split is absent, or a record damaged and not to be skipped.
  """
  # A flag gives 'bal_train,unbal_train' as one name.
  splits = [name.strip() for item in splits for name in item.split(',')]
  data_dir = config.data_dir or str(_synthetic(cache_dir))
  return [
    Examples.load(_pack(config, data_dir, split, cache_dir), mmap=True)
    for split in splits
  ]


def _synthetic(cache_dir):
  logging.info('config.data_dir is empty: using the synthetic set')
  return (
    cache.stage(
      cache_dir,
      'synthetic-audioset',
      {'version': _PACK_VERSION},
      lambda folder: synthetic_audioset.make(str(folder / 'audioset')),
    )
    / 'audioset'
  )


def _pack(config, data_dir, split, cache_dir):
  files = audioset_tfrecord.list_files(data_dir, split)
  classes = audioset_tfrecord.read_classes(data_dir)
  stats = [Path(file).stat() for file in files]
  depends = {
    'version': _PACK_VERSION,
    'split': split,
    'classes': classes,
    'damaged': config.damaged,
    'files': [
      (Path(file).name, stat.st_size, stat.st_mtime_ns)
      for file, stat in zip(files, stats, strict=True)
    ],
  }

  def build(folder):
    logging.info('packing %s: %s files', split, f'{len(files):,}')
    audioset_tfrecord.pack(data_dir, split, str(folder), config.damaged)

  return cache.stage(cache_dir, f'audioset-{split}', depends, build)


def train(config, model, examples, evaluate, checkpoints, workdir) -> History:
  """Trains from the latest checkpoint to the end; see `Trainer.fit`."""
  # clu imports TensorFlow, which scoring does without.
  from clu import metric_writers

  if config.sampling == 'balanced':
    groups = Groups.of_classes(*examples.class_members())
  else:
    groups = Groups.of_all(len(examples))
  logging.info(
      'training on %s examples, %s sampling over %s groups',
      f'{len(examples):,}', config.sampling, len(groups.offsets) - 1,
  )  # fmt: skip
  plan = Plan(groups, config.batch_size, config.seed, config.mixup_alpha)
  trainer = Trainer(config, model, examples, plan)
  del examples  # the trainer holds what it needs, perhaps on the device alone
  writer = metric_writers.create_default_writer(
    str(workdir), asynchronous=False
  )
  history = trainer.fit(evaluate, checkpoints, writer)
  writer.close()
  return history


def score(config, model, examples, predict, checkpoints, workdir) -> dict:
  """Scores the best checkpoint; writes `predictions.npz`."""
  start = time.monotonic()
  template = create_state(
    model,
    optimizer(config.optimizer),
    config,
    examples.embeddings.shape[1:],
  )
  state, best = checkpoints.restore_best(template)
  _, latest = checkpoints.restore(template) or (None, best)
  probabilities = predict(state)
  save_predictions(workdir / 'predictions.npz', examples, probabilities)
  targets = examples.multi_hot()
  ap, auc = metrics.ap_and_auc(targets, probabilities)
  evaluations = latest['evaluations']
  return {
    'metrics': metrics.macro(ap, auc),
    'per_class': {
      name: {'AP': _number(a), 'AUC': _number(b)}
      for name, a, b in zip(examples.classes, ap, auc, strict=True)
    },
    'n_examples': len(examples),
    'best_step': best['evaluations'][-1]['step'],
    'steps': evaluations[-1]['step'],
    'evaluations': evaluations,
    'seconds': {
      'train': latest['seconds'],
      'score': time.monotonic() - start,
    },
  }


def _number(x):
  """A float for JSON, None where it is not defined."""
  return None if np.isnan(x) else float(x)


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense."""
  check_choice('config.sampling', config.sampling, SAMPLINGS)
  check_choice('config.damaged', config.damaged, ('error', 'skip'))
  for name, low, high in _RANGES:
    if not low <= config[name] <= high:
      raise UserError(
        f'config.{name} is {config[name]}; it must be {low} to {high}'
      )


def make_claim(
  config, workdir: Path, fingerprints: list, n_train: int, skipped: list[dict]
) -> dict:
  """Marks the work folder as this experiment's, or refuses another's.

  Args:
    config, workdir: as `run` takes them.
    fingerprints: of the data that is trained and scored on.
    n_train: how many examples train.
    skipped: what of the data was left out.

  Returns:
    What results.json begins with.

  Raises:
    UserError: the folder holds an experiment with other settings or data.
  """
  claim = {
    'experiment': config.name,
    'expected': config.expected.to_dict(),
    'config': config.to_dict(),
    'dataset_fingerprint': cache.digest(fingerprints),
    'n_train_examples': n_train,
    'skipped': skipped,
    'versions': versions(),
  }
  path = workdir / 'experiment.json'
  if path.exists():
    before = json.loads(path.read_text(encoding='utf-8'))
    changed = _changes(before['config'], claim['config'])
    if before['dataset_fingerprint'] != claim['dataset_fingerprint']:
      changed.append('the data set')
    if changed:
      raise UserError(
        f'{workdir} holds an experiment with other settings'
        f' ({"; ".join(changed)}): use another --workdir'
      )
  cache.write_json(path, claim)
  return json.loads(path.read_text(encoding='utf-8'))


def read_claim(config, workdir: Path) -> dict:
  """The claim that training left; `UserError` if it is another's."""
  path = workdir / 'experiment.json'
  if not path.exists():
    raise UserError(f'{workdir} holds no experiment: train first')
  claim = json.loads(path.read_text(encoding='utf-8'))
  changed = _changes(claim['config'], config.to_dict())
  if changed:
    raise UserError(
      f'{workdir} was trained with other settings ({"; ".join(changed)})'
    )
  return claim


def _changes(before, after, prefix='config'):
  """Which settled fields differ, as 'config.seed: 0 there, 1 here'."""
  before, after = json.loads(json.dumps(before)), json.loads(json.dumps(after))
  out = []
  free = _FREE_FIELDS if prefix == 'config' else _HOW_FIELDS
  for name in sorted(before.keys() | after.keys()):
    a, b = before.get(name), after.get(name)
    if name in free or a == b:
      continue
    if isinstance(a, dict) and isinstance(b, dict):
      out += _changes(a, b, f'{prefix}.{name}')
    else:
      out.append(f'{prefix}.{name}: {a} there, {b} here')
  return out


def finished_results(config, workdir: Path) -> dict | None:
  """The results of this very config, if they are there."""
  path = workdir / 'results.json'
  if not path.exists():
    return None
  results = json.loads(path.read_text(encoding='utf-8'))
  same = results['config'] == json.loads(json.dumps(config.to_dict()))
  if not same:
    return None
  logging.info('%s is finished already', workdir)
  return results


def versions() -> dict[str, str]:
  """What the numbers were computed with."""
  found = {name: importlib.metadata.version(name) for name in _PACKAGES}
  found['python'] = platform.python_version()
  device = jax.devices()[0]
  found['device'] = f'{jax.device_count()} × {device.device_kind}'
  revision = subprocess.run(
    ['git', 'describe', '--always', '--dirty'],
    cwd=Path(__file__).parent,
    capture_output=True,
    text=True,
    check=False,
  )
  found['revision'] = revision.stdout.strip() or 'unknown'
  return found
