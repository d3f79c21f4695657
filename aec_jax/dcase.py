"""The stages of a single-label experiment on clips (thesis §5.2).

prepare → pitch-shift → fine-tune → embed (all shared through the cache)
→ train → score → results.json, bundle, report
"""

import contextlib
import functools
import resource
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
from absl import logging

from aec_jax import bootstrap, metrics, report
from aec_jax.bundle import store, tagger
from aec_jax.datasets import clips as clips_lib
from aec_jax.errors import UserError, check_choice
from aec_jax.evaluate import save_predictions
from aec_jax.features import embeddings, log_mels
from aec_jax.input import pieces
from aec_jax.input.folds import (
  extractor_jobs,
  fold_of,
  members_of,
  scored_apart,
)
from aec_jax.report.clip_figures import distribution, show_clip
from aec_jax.run import claim, files
from aec_jax.train import extractor
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import METRICS, Ensemble, Features, Member, score
from aec_jax.train.progress import History

_SAMPLINGS = ('balanced', 'unbalanced')
# Segments of a piece: 16 minutes.
_LONGEST = 1000
_CHOICES = {
  'dataset': log_mels.DATASETS,
  'on_bad': clips_lib.POLICIES,
  'on_diverged': ('error', 'skip'),
  'loss': ('categorical',),
  'metric': METRICS,
}
EXTRACTORS = (
  'original',
  *(f'{s}_{part}' for s in _SAMPLINGS for part in pieces.PARTS),
)


def run(config, workdir: Path, cache_dir, mode: str) -> dict:
  """Runs an experiment from wherever it stands; see `experiment.run`.

  `config` is as `resolve` returns it.
  """
  if jax.process_count() > 1:
    raise UserError(
      f'{config.name} trains on the devices of one host; its models are small'
    )
  clock = Clock()
  clips = log_mels.list_clips(config, cache_dir)
  prepared = log_mels.prepare(config, clips, cache_dir)
  started = _claim(config, workdir, clips, prepared, mode)
  show = functools.partial(show_clip, clips, prepared)
  finished = claim.finished_results(config, workdir) if mode == 'train' else {}
  if finished and (workdir / 'bundle').exists():
    if not (workdir / report.PAGE).exists():
      report.write(workdir, started | finished, show)
    return finished
  clock.lap('prepare')
  jobs = extractor_jobs(config, prepared)
  folders = [
    extractor.extractor(config, prepared, job, cache_dir, mode == 'train')
    for job, _ in jobs
  ]
  clock.lap('fine_tune')
  if config.extractor.model == 'baseline':
    found, about = _baseline(config, prepared, jobs, folders, cache_dir)
    ensembles = []
    clock.lap('train')
  else:
    found, about, ensembles = _ensembles(
      config, workdir, clips, prepared, jobs, folders, cache_dir, mode, clock
    )
  results = _results(config, workdir, prepared, found, started | about)
  clock.lap('score')
  # Of training, also what runs that were cut off took.
  train = max(clock.seconds['train'], about['seconds'].get('train', 0.0))
  results['seconds'] = clock.seconds | {'train': train}
  results['peak_gb'] = clock.peak_gb
  if not finished:
    files.write_json(workdir / 'results.json', results)
  _write_bundle(workdir, config, results, prepared, jobs, folders, ensembles)
  report.write(workdir, started | (finished or results), show)
  return finished or results


def _write_bundle(workdir, config, results, prepared, jobs, folders, ensembles):
  extractors = {}
  for (job, fold), folder in zip(jobs, folders, strict=True):
    variables = embeddings.load_variables(folder)
    if ensembles:  # VGGish alone: the layers on top of it have done their work
      variables = {k: v['vggish'] for k, v in variables.items() if v}
    name = job.name if fold is None else f'{job.name}/{fold}'
    extractors[name] = variables
  store.write(workdir, config, results, prepared.classes, extractors, ensembles)


def resolve(config):
  """The config with its None fields filled in, by the size of the data.

  `when_full` and `when_synthetic` name the fields, as 'extractor.width'.
  """
  config = config.copy_and_resolve_references()
  sizes = config.when_full if config.data_dir else config.when_synthetic
  flat = sizes.to_dict()
  with config.unlocked():
    del config.when_full, config.when_synthetic
    for path, value in flat.items():
      *parents, name = path.split('/')
      section = config
      for parent in parents:
        section = section[parent]
      if section[name] is None:
        section[name] = value
  # A flag gives 'balanced_first,balanced_last' as one name.
  config.extractors = tuple(
    name.strip() for item in config.extractors for name in item.split(',')
  )
  return config


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense."""
  for name in config.extractors:
    if name not in EXTRACTORS:
      raise UserError(
        f'config.extractors has {name!r}; it takes {", ".join(EXTRACTORS)}'
      )
  for name, choices in _CHOICES.items():
    check_choice(f'config.{name}', config[name], choices)
  if not config.extractors:
    raise UserError(
      f'config.extractors is empty; it takes {", ".join(EXTRACTORS)}'
    )
  lengths = config.segments
  if not lengths or not all(n in range(_LONGEST + 1) for n in lengths):
    raise UserError(
      f'config.segments is {lengths}; it takes lengths of pieces, 1 to'
      f' {_LONGEST}, and 0 for whole clips'
    )
  extractor.check(config.extractor)


class Clock:
  """Seconds of each stage, in this run, and the memory up to its end.

  Attributes:
    seconds: {stage: seconds}.
    peak_gb: {stage: the largest resident size so far, GB}.
  """

  def __init__(self):
    self.seconds, self.peak_gb, self._last = {}, {}, time.monotonic()

  def lap(self, stage: str) -> None:
    now = time.monotonic()
    self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
    self.peak_gb[stage] = (
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    self._last = now


def _claim(config, workdir, clips, prepared, mode):
  if mode != 'train':
    return claim.read_claim(config, workdir) | {'notes': prepared.notes}
  weights = extractor.weights_digest(config.extractor.init)
  fingerprints = [prepared.fingerprint, weights]
  n_train = int(np.sum(prepared.split == 'train'))
  made = claim.make_claim(
    config,
    workdir,
    fingerprints,
    n_train,
    prepared.skipped,
    distribution(clips, prepared),
  )
  return made | {'notes': prepared.notes}


def _ensembles(
  config, workdir, clips, prepared, jobs, folders, cache_dir, mode, clock
):
  """Embeds, trains and predicts, once for each length of pieces.

  Returns:
    (clip, class) log-probabilities, NaN where no member scored the clip; what
    results.json says of the training; and what a bundle keeps.
  """
  sets = [prepared]
  if config.pitch_to:
    sets.append(
      log_mels.pitch_shifted(
        config, clips, prepared, config.pitch_to, cache_dir
      )
    )
  clock.lap('pitch_shift')
  embeddings = np.stack(
    [
      np.concatenate([embeddings.embed(config, s, f, cache_dir) for s in sets])
      for f in folders
    ]
  )  # (extractor, segment, 128)
  clock.lap('embed')
  counts = np.concatenate([np.diff(s.offsets) for s in sets])
  offsets = np.concatenate([[0], np.cumsum(counts)])
  labels = np.concatenate([s.labels for s in sets])
  source = sets[1].source if len(sets) > 1 else np.zeros(0, np.int32)
  members = members_of(config, prepared, jobs, source)
  total, reports, kept = 0.0, {}, []
  for length in config.segments:
    features = Features(
      embeddings,
      pieces.cut(offsets, length),
      np.concatenate([s.ids for s in sets]),
      labels,
      len(prepared.classes),
    )
    ensemble = Ensemble(config, features, members)
    left, found, reports[str(length)], best = _train(
      config, workdir, length, ensemble, mode
    )
    total = total + _combine(len(prepared), left, found)
    # Of clips that are left whole, the longest says how long a sound may be.
    kept.append(
      tagger.Ensemble(
        length=ensemble.example_shape[0],
        wrap=length > 0,
        extractors=np.array([m.extractor for m in left], np.int32),
        variables=best,
      )
    )
  seconds = sum(report.pop('seconds') for report in reports.values())
  clock.lap('train')
  steps = [m['best_step'] for r in reports.values() for m in r['members']]
  about = {
    'n_training_clips': len(labels) - int(scored_apart(prepared).sum()),
    'best_step': max(steps),
    'ensembles': reports,
    'seconds': {'train': seconds},
  }
  return total / len(config.segments), about, kept


def _train(config, workdir, length, ensemble, mode):
  """Trains an ensemble to its end and predicts what its members score.

  Returns:
    The members that have not diverged, log-probabilities (clip, class) of each,
    what results.json says of the training, and their best variables.
  """
  from clu import metric_writers  # imports TensorFlow

  checkpoints = Checkpoints(workdir / 'checkpoints' / f'segments_{length}')
  with contextlib.closing(checkpoints):
    if mode == 'train':
      logging.info(
        'training %s members on pieces of %s segments, of which the clips make'
        ' %s', len(ensemble.members), ensemble.example_shape[0],
        f'{len(ensemble.features.pieces):,}',
      )  # fmt: skip
      writer = metric_writers.create_default_writer(
        str(workdir / f'segments_{length}'), asynchronous=False
      )
      shares = np.bincount(ensemble.features.labels).astype(float)
      chance = metrics.chance(config.metric, shares / shares.sum())
      ensemble.fit(ensemble.validate, checkpoints, writer, chance)
      writer.close()
    found = checkpoints.restore(ensemble.create_state())
  if found is None:
    raise UserError(f'{workdir} holds no checkpoint: train first')
  state, history = found[0], History(**found[1])
  scored = [member.scored for member in ensemble.members]
  left = ensemble.left(history)
  found = ensemble.clip_log_probabilities(state.best, scored)
  return (
    [ensemble.members[i] for i in left],
    [found[i] for i in left],
    _report(config, ensemble, history),
    jax.tree.map(lambda x: np.asarray(x)[left], state.best),
  )


def _report(config, ensemble, history):
  standing = ensemble.standing(history)
  members = zip(ensemble.members, standing.best, standing.at, strict=True)
  return {
    'steps': history.evaluations[-1]['step'],
    'evaluations': history.evaluations,
    'members': [
      {'name': m.name, f'validation {config.metric}': float(best),
       'best_step': int(at)}
      for m, best, at in members if m.name not in history.diverged
    ],
    'diverged': history.diverged,
    'seconds': history.seconds,
  }  # fmt: skip


def _baseline(config, prepared, jobs, folders, cache_dir):
  """The challenge's system: the mean of a clip's examples' probabilities."""
  found, members = [], []
  for i, ((job, held_out), folder) in enumerate(
    zip(jobs, folders, strict=True)
  ):
    logits = embeddings.classify(config, prepared, folder, cache_dir)
    sums = np.add.reduceat(
      np.asarray(jax.nn.softmax(logits)), prepared.offsets[:-1]
    )
    means = np.log(sums / np.diff(prepared.offsets)[:, None])
    scored = scored_apart(prepared)
    if held_out is not None:
      scored = fold_of(config, prepared) == held_out
    members.append(
      Member(job.name, i, job.training, job.validation, np.flatnonzero(scored))
    )
    found.append(means[scored])
  about = {'n_training_clips': len(jobs[0][0].training), 'seconds': {}}
  return _combine(len(prepared), members, found), about


def _combine(clips: int, members, found) -> np.ndarray:
  """Means over members of log-probabilities: geometric means (§5.1, §5.2.3).

  Returns:
    (clip, class), NaN for clips that no member scores.
  """
  total = np.zeros((clips, found[0].shape[1]))
  count = np.zeros((clips, 1))
  for member, log_probabilities in zip(members, found, strict=True):
    total[member.scored] += log_probabilities
    count[member.scored] += 1
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _results(config, workdir, prepared, log_probabilities, about) -> dict:
  """Scores the clips that were predicted; writes predictions.npz."""
  scored = np.flatnonzero(~np.isnan(log_probabilities[:, 0]))
  probabilities = np.exp(jax.nn.log_softmax(log_probabilities[scored]))
  labels = prepared.labels[scored].astype(np.int64)
  save_predictions(
    workdir / 'predictions.npz',
    SimpleNamespace(
      ids=prepared.ids[scored],
      label_ids=prepared.labels[scored],
      label_offsets=np.arange(len(scored) + 1),
    ),
    np.asarray(probabilities, np.float32),
  )
  found = score(labels, np.asarray(log_probabilities[scored]))
  ranks = metrics.reciprocal_rank(labels, log_probabilities[scored], 3)
  intervals = {'MAP@3': bootstrap.mean_interval(ranks)}
  for usage in ('Public', 'Private'):
    part = prepared.usage[scored] == usage
    if part.any():
      name = f'MAP@3_{usage.lower()}'
      found[name] = float(np.mean(ranks[part]))
      intervals[name] = bootstrap.mean_interval(ranks[part])
  ap = metrics.ap_at_k(labels, log_probabilities[scored], 3)
  return {
    **about,
    'metrics': found,
    'intervals': intervals,
    'per_class': {
      name: {'AP@3': None if np.isnan(x) else float(x)}
      for name, x in zip(prepared.classes, ap, strict=True)
    },
    'n_examples': len(scored),
    'scored_on': 'test' if scored_apart(prepared).any() else 'out-of-fold',
  }
