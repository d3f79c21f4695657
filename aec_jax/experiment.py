"""One experiment, its stages in order, each skipped when its output is there.

prepare → fine-tune → embed (shared through the cache) → train → score →
results.json, bundle, report
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax import dry_run as dry_run_lib
from aec_jax import (
  going_on,
  learned_ensembles,
  leavings,
  presets,
  report,
  rescoring,
  scoring,
  sources,
  timetable,
)
from aec_jax.bundle import store
from aec_jax.bundle.network import Ensemble
from aec_jax.config_checks import check_config
from aec_jax.errors import UserError, naming
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import (
  cache,
  claim,
  devices,
  files,
  hosts,
  progress,
  rates,
)
from aec_jax.run import results as results_lib
from aec_jax.run.clock import Clock
from aec_jax.train import shared
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Classifiers, step_costs
from aec_jax.train.curves import Writer
from aec_jax.train.guards import left
from aec_jax.train.loop import fit


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
    those, what `workdir/evaluations/FINGERPRINT.json` holds, and of one at
    another number of shifts, FINGERPRINT-test_shifts-N.json.

  Raises:
    UserError: the input, the config or the work folder is at fault.
  """
  if not presets.is_resolved(config):
    config = presets.resolve(config)
  check_config(config, trains=mode == 'train')
  devices.announce()
  workdir = Path(workdir)
  advice = 'what was finished is kept, and the same command goes on from there'
  with (
    naming(workdir, cache_dir, advice=advice),
    contextlib.ExitStack() as stack,
  ):
    hosts.lead(lambda: stack.enter_context(cache.only_user(workdir)))
    stages = {'train': _train, 'evaluate': rescoring.evaluate}[mode]
    return stages(config, workdir, cache_dir)


def dry_run(config, workdir: Path, cache_dir: Path) -> Iterator[str]:
  """Lines on what `run` would do; see `aec_jax.dry_run`."""
  config = presets.resolve(config)
  check_config(config)
  model = presets.model_defaults(config.model)
  return dry_run_lib.lines(config, workdir, cache_dir, model)


def _stages(config) -> list[str]:
  """Those that the kind of data and of extractor has."""
  row = extractors.row(config.extractor)
  skipped = {'train'} if row.classifies else set()
  if row.quantised:
    skipped |= {'fine_tune', 'embed'}
  every = ('prepare', 'fine_tune', 'embed', 'train', 'score', 'report')
  return [stage for stage in every if stage not in skipped]


def _train(config, workdir, cache_dir) -> dict:
  """See `run`."""
  clock = Clock(_stages(config))
  with clock.stage('prepare'):
    source = sources.open_source(config, cache_dir)
    started, finished = _claimed(config, workdir, cache_dir, source)
  bundle_lacks = lambda: leavings.lacks(workdir, leavings.BUNDLE)
  if finished and not hosts.lead(bundle_lacks):
    return _completed(config, workdir, cache_dir, source, started, finished)
  expected = timetable.seconds(config, source.sizes(), cache_dir)
  clock.expect(expected)
  if None in expected.values():
    logging.info('time until scoring: %s', timetable.in_all(expected))
  with clock.stage('fine_tune'):
    source.train_extractors(workdir)
  with clock.stage('embed'):
    source.embed()
  if extractors.row(config.extractor).classifies:
    about, kept = {}, []
    part = scoring.part_of_extractors(config, source)
    unseen = [scoring.unseen_of_extractors(config, source, part)]
    parts = [part]
  else:
    with clock.stage('train'):
      about, parts, unseen, kept = _train_ensembles(
        config, workdir, source, cache_dir
      )
  with clock.stage('score'):
    results = started | about | scoring.score(config, workdir, source, parts)
    results['metrics'] |= scoring.best_on_eval(
      config.metric, about.get('ensembles', {})
    )
    results |= scoring.examine_labels(config, workdir, source, unseen)
    results |= learned_ensembles.found(config, source, parts, unseen)
  results['fine_tuning'] = {
    e.name: {k: v for k, v in e.history.items() if k != 'seconds'}
    for e in source.extractors
  }
  results |= claim.made()
  results |= _cost(source, kept, clock, results.pop('trained_seconds', 0.0))
  if not hosts.is_first():
    return finished or results
  with clock.stage('report'):
    if not finished:
      files.write_json(workdir / results_lib.FILE, results)
    store.write(
      workdir, config, results, source.classes,
      {e.name: e.variables for e in source.extractors}, kept,
    )  # fmt: skip
    report.write(
      workdir, started | (finished or results), source.show, source.embedded
    )
  return finished or results


def _completed(
  config, workdir, cache_dir, source, started: dict, finished: dict
) -> dict:
  """The results of a finished experiment, once all is there that it leaves.

  The bundle is; by it the rest is made again where it is not.
  """
  if hosts.lead(lambda: leavings.lacks(workdir, leavings.PREDICTIONS)):
    finished = rescoring.evaluate(config, workdir, cache_dir)
  if hosts.is_first() and leavings.lacks(workdir, leavings.REPORT):
    _write_page_again(workdir, started | finished, source)
  return finished


def _write_page_again(workdir: Path, results: dict, source) -> None:
  """Writes the page that a finished experiment has lost.

  Raises:
    UserError: none can be made of its results, whose fields do not belong
      together, or which this version does not understand. Which of the two it
      is cannot be told from the error.
  """
  try:
    report.write(workdir, results, source.show, source.embedded)
  except (LookupError, TypeError, ValueError) as error:
    path = workdir / results_lib.FILE
    what = ' '.join(f'{type(error).__name__}: {error}'.split())
    raise UserError(
      f'no page could be made of {path} ({what}): either its fields do not'
      ' belong together, or this is a bug of the report; remove the file, and'
      ' the same command writes it and the page again'
    ) from error


def _claimed(config, workdir, cache_dir, source) -> tuple[dict, dict | None]:
  """What results.json begins with, and the results if they are there."""
  model = presets.model_defaults(config.model)

  def make():
    about = scoring.about_data(source) | {'cache_dir': str(cache_dir)}
    goes_on = functools.partial(going_on.check, config, workdir)
    return claim.make_claim(config, workdir, model, about, goes_on)

  started = hosts.lead(make)
  finished = hosts.lead(lambda: claim.finished_results(config, workdir, model))
  return started, finished


def _cost(source, kept, clock: Clock, trained_seconds: float) -> dict:
  """What results.json says of time, memory and size.

  Of training and fine-tuning, the seconds are also those of runs that were cut
  off, and of the experiment whose extractors were taken from the cache.
  """
  tuned = sum(e.history.get('seconds', 0.0) for e in source.extractors)
  least = {'fine_tune': tuned, 'train': trained_seconds}
  seconds = {k: max(v, least.get(k, 0.0)) for k, v in clock.seconds.items()}
  trees = {
    'extractors': [e.variables for e in source.extractors],
    'classifiers': [e.variables for e in kept],
  }
  return {
    'seconds': seconds,
    'peak_gb': dict(clock.peak_gb),
    'parameters': {
      kind: sum(int(np.size(x)) for x in jax.tree.leaves(tree))
      for kind, tree in trees.items()
    },
  }


def _train_ensembles(config, workdir, source, cache_dir):
  """Trains and predicts, once for each length of pieces.

  Returns:
    What results.json says of the training; for each length a `parts.Part` of
    what is scored, one of clips with labels that members have not trained on,
    and what a bundle keeps of it.
  """
  members = source.members()
  reports, parts, unseen, kept = {}, [], [], []
  for i, length in enumerate(config.segments, 1):
    system = Classifiers(
      config, OBJECTIVES[config.objective], source.features(length), members,
      source.learned(length),
    )  # fmt: skip
    with progress.within(
      *_which(i, config.segments), more=len(config.segments) - i
    ):
      state, history = _fit(
        config,
        workdir,
        length,
        system,
        cache_dir,
        _shared(config, length, source),
      )
    scorer = scoring.scorer(config, source, length, system)
    parts.append(scoring.part_of(scorer, state, history))
    unseen.append(
      scoring.unseen_part(config, source, system, state, history, parts[-1])
    )
    kept.append(_kept(config, length, system, state, history))
    reports[str(length)] = _report(system, history)
  steps = [m['best_step'] for r in reports.values() for m in r['members']]
  about = {
    'n_training_clips': source.n_training_clips,
    'best_step': max(steps),
    'ensembles': reports,
    'trained_seconds': sum(r.pop('seconds') for r in reports.values()),
  }
  return about, parts, unseen, kept


def _which(i: int, lengths) -> list[str]:
  """The words for one of several lengths of pieces."""
  what = f'pieces of {lengths[i - 1]} segments' if lengths[i - 1] else 'clips'
  return [f'{what} ({i} of {len(lengths)})'] if len(lengths) > 1 else []


def _shared(config, length, source) -> dict | None:
  """What members are a function of; None where no other row has them."""
  if not source.extractors:
    return None
  data = cache.digest(source.fingerprints)
  keys = [extractor.key for extractor in source.extractors]
  return shared.depends(config, length, data, keys)


def _fit(config, workdir, length, system, cache_dir, depends):
  """Trains the classifiers of one length to their end.

  Args:
    config, workdir, length, system: see `_train_ensembles`.
    cache_dir: where other experiments have put theirs.
    depends: of these members; None where they are nobody else's.
  """
  logging.info(
    '%s: %s on %s pieces of %s segments',
    progress.place(),
    f'{len(system.members)} members' if len(system.members) > 1 else
    config.model.name,
    f'{len(system.features.pieces):,}', system.features.example_shape[0],
  )  # fmt: skip
  checkpoints = Checkpoints(scoring.checkpoints_of(workdir, length))
  with (
    contextlib.closing(checkpoints),
    Writer(workdir / f'segments_{length}', config) as writer,
  ):
    labels = system.features.labels
    shares = labels.class_counts() / len(labels)
    chance = system.objective.chance(config.metric, shares)
    taken = depends and shared.take(checkpoints, system, cache_dir, depends)
    fit(system, checkpoints, writer, chance)
    state, history = scoring.restored(checkpoints, system)
    if depends and not taken:
      shared.keep(state, dataclasses.asdict(history), cache_dir, depends)
    if hosts.is_first() and not taken:
      costs = step_costs(
        config, length, len(system.members), system.features.labels.classes,
        system.features.example_shape[0],
      )  # fmt: skip
      steps = history.evaluations[-1]['step']
      rates.leave(cache_dir, 'train', costs, history.seconds, steps)
    return state, history


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
  pieces = system.features.pieces
  members = zip(system.members, standing.best, standing.at, strict=True)
  each = [len(pieces.of_clips(m.training)) for m in system.members]
  return {
    'steps': history.evaluations[-1]['step'],
    'steps_a_pass': float(np.mean(each)) / system.settings.batch_size,
    'start': history.start,
    'evaluations': history.evaluations,
    'members': [
      {'name': m.name, f'validation {metric}': float(best),
       'best_step': int(at), 'training_clips': len(m.training)}
      for m, best, at in members if m.name not in history.diverged
    ],
    'diverged': history.diverged,
    'seconds': history.seconds,
  }  # fmt: skip
