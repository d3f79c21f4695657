"""One experiment, its stages in order, each skipped when its output is there.

prepare → fine-tune → embed (shared through the cache) → train → score →
results.json, bundle, report
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax import dry_run as dry_run_lib
from aec_jax import models, presets, report, scoring, sources
from aec_jax.bundle import store
from aec_jax.bundle.tagger import Ensemble
from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.errors import UserError, check_choice, refusal
from aec_jax.input.folds import EXTRACTOR_NAMES
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import cache, claim, fields, files, hosts
from aec_jax.run.clock import Clock
from aec_jax.train import step
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.loop import fit, left

# Segments of a piece: 16 minutes.
_LONGEST = 1000


def run(
  config, workdir: str | Path, cache_dir: str | Path, mode: str = 'train'
) -> dict:
  """Runs an experiment from wherever it stands to its results.

  Args:
    config: as one of `configs/` makes it.
    workdir: the experiment's own folder.
    cache_dir: of the stages shared between experiments.
    mode: 'train', or 'evaluate' to score the work folder's models again,
      training nothing.

  Returns:
    What `workdir/results.json` holds; of an evaluation on other data than
    those, what `workdir/evaluations/FINGERPRINT.json` holds.

  Raises:
    UserError: the input, the config or the work folder is at fault.
  """
  if not presets.is_resolved(config):
    config = presets.resolve(config)
  check_config(config)
  workdir = Path(workdir)
  try:
    with contextlib.ExitStack() as stack:
      hosts.lead(lambda: stack.enter_context(cache.only_user(workdir)))
      stages = {'train': _train, 'evaluate': scoring.evaluate}[mode]
      return stages(config, workdir, cache_dir)
  except Exception as error:
    reason = refusal(error)
    if isinstance(error, UserError) or not reason:
      raise
    raise UserError(
      f'{workdir} or {cache_dir}: {reason}; what was finished is kept, and the'
      ' same command goes on from there'
    ) from error


def dry_run(config, workdir: Path, cache_dir: Path) -> Iterator[str]:
  """Lines on what `run` would do; see `aec_jax.dry_run`."""
  config = presets.resolve(config)
  check_config(config)
  model = presets.model_defaults(config.model)
  return dry_run_lib.lines(config, workdir, cache_dir, model)


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense.

  Before the work folder is claimed, since afterwards the mended field would be
  refused as another setting.
  """
  fields.check(config)
  models.classifier(config.model, classes=2)
  step.check(config)
  _check_segments(config.segments)
  if _check_released(config):
    return
  if jax.process_count() > 1:
    raise UserError(
      f'{config.name} trains on the devices of one host; its models are small'
    )
  step.check(config.extractor, 'config.extractor')
  extractors.check(config.extractor)
  if not config.extractors:
    raise UserError(
      f'config.extractors is empty; it takes {", ".join(EXTRACTOR_NAMES)}'
    )
  for name in config.extractors:
    check_choice('config.extractors', name, EXTRACTOR_NAMES)
  random = config.extractor.init == 'random'
  released = extractors.row(config.extractor).pretrained is not None
  if 'original' in config.extractors and random and released:
    raise UserError(
      "config.extractors has 'original', VGGish as it was released, and"
      " config.extractor.init is 'random': give its weights"
    )
  if len(set(config.extractors)) < len(config.extractors):
    raise UserError(
      f'config.extractors is {config.extractors}: one is named twice'
    )


def _check_segments(lengths):
  if not lengths or not all(n in range(_LONGEST + 1) for n in lengths):
    raise UserError(
      f'config.segments is {lengths}; it takes lengths of pieces, 1 to'
      f' {_LONGEST}, and 0 for whole clips'
    )
  if len(set(lengths)) < len(lengths):
    raise UserError(f'config.segments is {lengths}: one is given twice')


def _check_released(config) -> bool:
  """Whether it is about AudioSet's embeddings, and all fields agree on that."""
  released = config.dataset == 'audioset'
  if extractors.row(config.extractor).quantised != released:
    raise UserError(
      f'config.extractor.model is {config.extractor.model!r} and config.dataset'
      f" {config.dataset!r}: 'released' is the extractor of 'audioset', and of"
      ' no recordings'
    )
  if released and config.objective != 'multi_label':
    raise UserError(
      f'config.objective is {config.objective!r}; clips of AudioSet have'
      ' several labels: multi_label'
    )
  if released and not {*config.segments} <= {0, MAX_SEGMENTS}:
    raise UserError(
      f'config.segments is {config.segments}; the released clips have'
      f' {MAX_SEGMENTS}'
    )
  return released


def _train(config, workdir, cache_dir) -> dict:
  """See `run`."""
  clock = Clock()
  source = sources.open_source(config, cache_dir)
  defaults = presets.model_defaults(config.model)
  started = hosts.lead(
    lambda: claim.make_claim(
      config, workdir, defaults, scoring.about_data(source)
    )
  )
  finished = hosts.lead(
    lambda: claim.finished_results(config, workdir, defaults)
  )
  if finished and hosts.lead((workdir / store.FOLDER).exists):
    if hosts.is_first() and not (workdir / report.PAGE).exists():
      report.write(workdir, started | finished, source.show)
    return finished
  clock.lap('prepare')
  source.train_extractors(cache_dir)
  clock.lap('fine_tune')
  source.embed()
  clock.lap('embed')
  if extractors.row(config.extractor).classifies:
    about, parts, kept = {}, [scoring.part_of_extractors(config, source)], []
  else:
    about, parts, kept = _train_ensembles(config, workdir, source)
  clock.lap('train')
  results = started | about | scoring.score(config, workdir, source, parts)
  clock.lap('score')
  # Of training, also what runs that were cut off took.
  train = max(clock.seconds['train'], about.get('trained_seconds', 0.0))
  results['seconds'] = clock.seconds | {'train': train}
  results['peak_gb'] = clock.peak_gb
  results.pop('trained_seconds', None)
  if not hosts.is_first():
    return finished or results
  if not finished:
    files.write_json(workdir / 'results.json', results)
  store.write(
    workdir, config, results, source.classes,
    {e.name: e.variables for e in source.extractors}, kept,
  )  # fmt: skip
  report.write(workdir, started | (finished or results), source.show)
  return finished or results


def _train_ensembles(config, workdir, source):
  """Trains and predicts, once for each length of pieces.

  Returns:
    What results.json says of the training, a `scoring.Part` for each
    length, and what
    a bundle keeps of it.
  """
  members = source.members()
  reports, parts, kept = {}, [], []
  for length in config.segments:
    system = Classifiers(
      config, OBJECTIVES[config.objective], source.features(length), members
    )
    state, history = _fit(config, workdir, length, system)
    parts.append(scoring.part_of(system, state, history))
    kept.append(_kept(config, length, system, state, history))
    reports[str(length)] = _report(system, history)
  steps = [m['best_step'] for r in reports.values() for m in r['members']]
  about = {
    'n_training_clips': source.n_training_clips,
    'best_step': max(steps),
    'ensembles': reports,
    'fine_tuning': {e.name: list(e.evaluations) for e in source.extractors},
    'trained_seconds': sum(r.pop('seconds') for r in reports.values()),
  }
  return about, parts, kept


def _fit(config, workdir, length, system):
  """Trains the classifiers of one length to their end."""
  # clu imports TensorFlow, which scoring does without.
  from clu import metric_writers

  logging.info(
    'training %s on %s pieces of %s segments',
    f'{len(system.members)} members' if len(system.members) > 1 else
    config.model.name,
    f'{len(system.features.pieces):,}', system.features.example_shape[0],
  )  # fmt: skip
  writer = metric_writers.create_default_writer(
    str(workdir / f'segments_{length}'),
    just_logging=not hosts.is_first(),
    asynchronous=False,
  )
  checkpoints = Checkpoints(scoring.checkpoints_of(workdir, length))
  with contextlib.closing(checkpoints):
    labels = system.features.labels
    shares = labels.class_counts() / len(labels)
    chance = system.objective.chance(config.metric, shares)
    fit(system, checkpoints, writer, chance)
    writer.close()
    return scoring.restored(checkpoints, system)


def _kept(config, length, system, state, history) -> Ensemble:
  """What a bundle keeps of the members that have not diverged."""
  good = left(system, history)
  members = [system.members[i] for i in good]
  return Ensemble(
    # Of clips that are left whole, the longest says how long a sound may be.
    length=system.features.example_shape[0],
    last_piece=config.last_piece if length else 'mask',
    extractors=np.array([m.extractor for m in members], np.int32),
    members=tuple(m.name for m in members),
    variables=jax.tree.map(lambda x: np.asarray(x)[good], state.best),
  )


def _report(system, history) -> dict:
  standing = system.standing(history)
  metric = system.settings.metric
  members = zip(system.members, standing.best, standing.at, strict=True)
  return {
    'steps': history.evaluations[-1]['step'],
    'evaluations': history.evaluations,
    'members': [
      {'name': m.name, f'validation {metric}': float(best),
       'best_step': int(at)}
      for m, best, at in members if m.name not in history.diverged
    ],
    'diverged': history.diverged,
    'seconds': history.seconds,
  }  # fmt: skip
