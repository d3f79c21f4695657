"""The stages of an AudioSet experiment (thesis §5.1).

prepare (shared through the cache) → train → score → results.json, bundle,
report
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax import bootstrap, metrics, models, report
from aec_jax.bundle import store
from aec_jax.bundle.tagger import Ensemble
from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError, check_choice
from aec_jax.evaluate import Predictor, save_predictions
from aec_jax.input.plan import Groups, Plan
from aec_jax.run import cache, claim, files, hosts
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.loop import Trainer
from aec_jax.train.progress import History
from aec_jax.train.step import AXIS, create_state, on_device, optimizer

# Raised when packed examples change their form.
_PACK_VERSION = 1
_METRICS = ('mAP', 'AUC', 'd_prime')


def run(config, workdir: Path, cache_dir, mode: str) -> dict:
  """Runs an experiment from wherever it stands; see `experiment.run`."""
  start = time.monotonic()
  evaluation = load_splits(config, config.eval_splits, cache_dir)
  if mode == 'train':
    training = load_splits(config, config.train_splits, cache_dir)
    parts = (*training, *evaluation)
    started = hosts.lead(
      lambda: claim.make_claim(
        config,
        workdir,
        [part.fingerprint() for part in parts],
        sum(len(part) for part in training),
        [entry for part in parts for entry in part.skipped],
        distribution(config, parts),
      )
    )
    finished = hosts.lead(lambda: claim.finished_results(config, workdir))
    if finished and hosts.lead((workdir / 'bundle').exists):
      if hosts.is_first() and not (workdir / report.PAGE).exists():
        report.write(workdir, started | finished, picture_of(evaluation))
      return finished
  else:
    finished = None
    started = hosts.lead(lambda: claim.read_claim(config, workdir))
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
      metrics.chance(config.metric, targets.mean(0)),
    )
  results, variables = score(
    config, model, evaluation, predict, checkpoints, workdir
  )
  results = started | results
  results['seconds'] = seconds | results['seconds']
  if not hosts.is_first():
    return finished or results
  if not finished:
    files.write_json(workdir / 'results.json', results)
  checkpoints.close()
  _write_bundle(workdir, config, results, evaluation, variables)
  report.write(
    workdir, started | (finished or results), picture_of([evaluation])
  )
  return finished or results


def _write_bundle(workdir, config, results, examples, variables):
  variables = jax.tree.map(lambda x: np.asarray(x)[None], variables)
  length = examples.embeddings.shape[1]
  member = Ensemble(length, False, np.zeros(1, np.int32), variables)
  store.write(workdir, config, results, examples.classes, {}, [member])


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense."""
  check_choice('config.metric', config.metric, _METRICS)
  check_choice('config.damaged', config.damaged, ('error', 'skip'))
  on_device(config)


def load_splits(
  config, splits: Sequence[str], cache_dir: str | Path
) -> list[Examples]:
  """The splits as they lie packed in the cache, packed if they are not yet.

  Raises:
    UserError: a split is absent, or a record damaged and not to be skipped.
  """
  data_dir = config.data_dir or str(_synthetic(cache_dir))
  return [
    Examples.load(_pack(config, data_dir, split, cache_dir), mmap=True)
    for split in _names(splits)
  ]


def _names(splits):
  """A flag gives 'bal_train,unbal_train' as one name."""
  names = [name.strip() for item in splits for name in str(item).split(',')]
  if not names or len(set(names)) < len(names):
    raise UserError(
      f'the splits ({", ".join(names)}) are none, or one twice; there are'
      f' {", ".join(audioset_tfrecord.SPLITS)}'
    )
  return names


def distribution(config, parts: Sequence[Examples]) -> dict:
  """The clips of each class, of the training and the evaluation splits."""
  names = _names(config.train_splits) + _names(config.eval_splits)
  return {
    'clips': {
      name: dict(
        zip(
          part.classes,
          np.bincount(part.label_ids, minlength=len(part.classes)).tolist(),
          strict=True,
        )
      )
      for name, part in zip(names, parts, strict=True)
    }
  }


def picture_of(parts: Sequence[Examples]) -> Callable[[str], report.Shown]:
  """Shows a clip's embeddings, which are all that the release has of it."""

  def show(clip_id):
    for part in parts:
      found = np.flatnonzero(part.ids == clip_id.encode())
      if found.size:
        return report.Shown(
          part.embeddings[found[0]].T, '128 embeddings over time'
        )
    raise KeyError(clip_id)

  return show


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


def train(
  config, model, examples, evaluate, checkpoints, workdir, chance
) -> History:
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
    str(workdir), just_logging=not hosts.is_first(), asynchronous=False
  )
  history = trainer.fit(evaluate, checkpoints, writer, chance)
  writer.close()
  return history


def score(config, model, examples, predict, checkpoints, workdir):
  """Scores the best checkpoint; writes `predictions.npz`.

  Returns:
    What results.json says of it, and the checkpoint's variables.
  """
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
  if hosts.is_first():
    save_predictions(workdir / 'predictions.npz', examples, probabilities)
  targets = examples.multi_hot()
  ap, auc = metrics.ap_and_auc(targets, probabilities)
  evaluations = latest['evaluations']
  results = {
    'metrics': metrics.macro(ap, auc),
    'intervals': {'mAP': bootstrap.map_interval(targets, probabilities)},
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
  return results, state.variables()


def _number(x):
  """A float for JSON, None where it is not defined."""
  return None if np.isnan(x) else float(x)
