"""One experiment, its stages in order, each skipped when its output is there.

prepare → fine-tune → embed (shared through the cache) → train → score →
results.json, bundle, report
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax import dry_run as dry_run_lib
from aec_jax import models, predictions, presets, report, sources
from aec_jax.bundle import store
from aec_jax.bundle.tagger import Ensemble
from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.errors import UserError, check_choice, refusal
from aec_jax.input.folds import EXTRACTOR_NAMES, Member
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import cache, claim, fields, files, hosts
from aec_jax.run.clock import Clock
from aec_jax.train import step
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.loop import fit, left
from aec_jax.train.progress import History

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
      stages = {'train': _train, 'evaluate': _evaluate}[mode]
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
  if 'original' in config.extractors and config.extractor.init == 'random':
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
    lambda: claim.make_claim(config, workdir, defaults, _about(source))
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
    about, parts, kept = {}, [_of_extractors(config, source)], []
  else:
    about, parts, kept = _train_ensembles(config, workdir, source)
  clock.lap('train')
  results = started | about | _score(config, workdir, source, parts)
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


def _about(source) -> dict:
  """What the claim says of the data."""
  return {
    'dataset_fingerprint': cache.digest(source.fingerprints),
    'scored_fingerprint': cache.digest(source.scored_fingerprints),
    'n_train_examples': source.n_train,
    'skipped': source.skipped,
    'notes': source.notes,
    'data': source.distribution(),
  }


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """What some members say of the clips that they score.

  Attributes:
    members: of them.
    values: for each member (clip, class), of its `scored`.
  """

  members: Sequence[Member]
  values: Sequence[np.ndarray]


def _train_ensembles(config, workdir, source):
  """Trains and predicts, once for each length of pieces.

  Returns:
    What results.json says of the training, a `Part` for each length, and what
    a bundle keeps of it.
  """
  members = source.members()
  reports, parts, kept = {}, [], []
  for length in config.segments:
    system = Classifiers(
      config, OBJECTIVES[config.objective], source.features(length), members
    )
    state, history = _fit(config, workdir, length, system)
    parts.append(_part(system, state, history))
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
  checkpoints = Checkpoints(_checkpoints(workdir, length))
  with contextlib.closing(checkpoints):
    labels = system.features.labels
    shares = labels.class_counts() / len(labels)
    chance = system.objective.chance(config.metric, shares)
    fit(system, checkpoints, writer, chance)
    writer.close()
    return _restored(checkpoints, system)


def _checkpoints(workdir, length) -> Path:
  return workdir / 'checkpoints' / f'segments_{length}'


def _restored(checkpoints, system):
  """The latest state and history.

  Raises:
    UserError: there is none.
  """
  found = checkpoints.restore(system.create_state())
  if found is None:
    raise UserError(f'{checkpoints.folder} holds no checkpoint: train first')
  return found[0], History(**found[1])


def _part(system, state, history) -> Part:
  values = system.clip_values(state.best, [m.scored for m in system.members])
  good = left(system, history)
  return Part([system.members[i] for i in good], [values[i] for i in good])


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


def _of_extractors(config, source) -> Part:
  """Where extractors classify: the means of a clip's examples' probabilities
  (the challenge's system).
  """
  objective = OBJECTIVES[config.objective]
  scored, members, values = source.scored_clips(), [], []
  for i, job in enumerate(source.jobs):
    found = objective.example_means(source.outputs[i], source.offsets)
    mine = scored
    if job.held_out is not None:
      folds = [m.scored for m in source.members() if m.extractor == i]
      mine = folds[0]
    members.append(Member(job.title, i, job.training, job.validation, mine))
    values.append(found[mine])
  return Part(members, values)


def combine(clips: int, parts: Sequence[Part]) -> np.ndarray:
  """The mean over lengths of the means over the members that score a clip.

  Returns:
    (clip, class) values, NaN for clips that no member scores.
  """
  out: np.ndarray = np.zeros(())
  for part in parts:
    total = np.zeros((clips, part.values[0].shape[1]))
    count = np.zeros((clips, 1))
    for member, values in zip(part.members, part.values, strict=True):
      total[member.scored] += values
      count[member.scored] += 1
    out = out + np.where(count > 0, total / np.maximum(count, 1), np.nan)
  return out / len(parts)


def _score(config, workdir, source, parts, name='predictions.npz') -> dict:
  """Scores the clips that were predicted; writes the predictions."""
  objective = OBJECTIVES[config.objective]
  values = combine(len(source.ids), parts)
  scored = np.flatnonzero(~np.isnan(values[:, 0]))
  values, labels = values[scored], source.labels.select(scored)
  probabilities = np.asarray(objective.to_probabilities(values), np.float32)
  if hosts.is_first():
    predictions.save(workdir / name, source.ids[scored], labels, probabilities)
  targets = labels.multi_hot()
  found = objective.scores(targets, values)
  intervals = objective.intervals(targets, values)
  for usage in ('Public', 'Private'):
    part = source.usage[scored[scored < len(source.usage)]] == usage
    if part.any():
      key = f'{objective.main}_{usage.lower()}'
      found[key] = objective.scores(targets[part], values[part])[objective.main]
      some = objective.intervals(targets[part], values[part])
      intervals[key] = some[objective.main]
  columns = objective.per_class(targets, values)
  return {
    'metrics': found,
    'intervals': intervals,
    'per_class': {
      name: {k: _number(column[i]) for k, column in columns.items()}
      for i, name in enumerate(source.classes)
    },
    'n_examples': len(scored),
    **({'scored_on': source.scored_on} if source.scored_on else {}),
  }


def _number(x) -> float | None:
  """A float for JSON, None where it is not defined."""
  return None if np.isnan(x) else float(x)


def _evaluate(config, workdir, cache_dir) -> dict:
  """Scores the models of a work folder, which need not be finished.

  The weights are those of its bundle, and before there is one those of its
  checkpoints and of the extractors in the cache.
  """
  clock = Clock()
  started = hosts.lead(
    lambda: claim.read_claim(
      config, workdir, presets.model_defaults(config.model)
    )
  )
  source = sources.open_source(config, cache_dir, scoring=True)
  fingerprint = cache.digest(source.scored_fingerprints)
  same = started.get('scored_fingerprint', fingerprint) == fingerprint
  clock.lap('prepare')
  bundled = (workdir / store.FOLDER).exists()
  if bundled:
    stored = store.read(workdir / store.FOLDER)
    if tuple(stored.info['classes']) != tuple(source.classes):
      raise UserError(
        f'{workdir} knows other classes than {config.data_dir}:'
        f' {", ".join(stored.info["classes"][:5])} …'
      )
    source.extractors = [
      sources.Trained(name, variables, f'{workdir.absolute()}/{name}/'
                      f'{stored.info["files"][store.WEIGHTS]}')
      for name, variables in zip(
        stored.info['extractors'], stored.extractors, strict=True)
    ]  # fmt: skip
  else:
    source.train_extractors(cache_dir)
  source.embed()
  clock.lap('embed')
  if extractors.row(config.extractor).classifies:
    parts = [_of_extractors(config, source)]
  elif bundled:
    parts = [_stored_part(config, source, e, same) for e in stored.ensembles]
  else:
    parts = [_latest_part(config, workdir, source, n) for n in config.segments]
  if same:
    results = started | _score(config, workdir, source, parts)
  else:
    logging.warning(
      'these are not the data that %s was scored on: its results.json stays as'
      ' it is', workdir,
    )  # fmt: skip
    name = f'evaluations/{fingerprint}.npz'
    results = started | _about(source)
    results |= _score(config, workdir, source, parts, name)
  clock.lap('score')
  results['seconds'] = clock.seconds
  path = workdir / 'results.json'
  if not same:
    path = workdir / 'evaluations' / f'{fingerprint}.json'
  elif path.exists():
    results = _merged(path, results)
  if hosts.is_first():
    files.write_json(path, results)
    logging.info('wrote %s', path)
  return results


def _merged(path, results) -> dict:
  """Of finished results all that scoring again does not tell."""
  before = json.loads(path.read_text(encoding='utf-8'))
  seconds = before.get('seconds', {}) | {'score': results['seconds']['score']}
  return before | results | {'seconds': seconds}


def _stored_part(config, source, ensemble: Ensemble, same: bool) -> Part:
  """What the members of a bundle say of the clips that they may score.

  On other data than they were scored on, each scores all clips.
  """
  members = source.members()
  if same:
    by_name = {m.name: m for m in members}
    # Older bundles have all members, and do not name them.
    chosen = [by_name[name] for name in ensemble.members] or members
  else:
    scored = source.scored_clips()
    nothing = np.zeros(0, int)
    chosen = [
      Member(str(i), int(extractor), nothing, nothing, scored)
      for i, extractor in enumerate(ensemble.extractors)
    ]
  length = ensemble.length if ensemble.length in config.segments else 0
  system = Classifiers(
    config, OBJECTIVES[config.objective], source.features(length), chosen
  )
  values = system.clip_values(ensemble.variables, [m.scored for m in chosen])
  return Part(chosen, values)


def _latest_part(config, workdir, source, length) -> Part:
  """What the best so far of an unfinished training says."""
  system = Classifiers(
    config, OBJECTIVES[config.objective], source.features(length),
    source.members(),
  )  # fmt: skip
  with contextlib.closing(Checkpoints(_checkpoints(workdir, length))) as found:
    return _part(system, *_restored(found, system))
