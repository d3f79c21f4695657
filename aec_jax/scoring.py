"""From the models of an experiment to its scores; evaluation anew.

A clip's values are the mean over lengths of pieces of the means over the
members that score it (§5.1, §5.2.3).
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax import predictions, presets, sources
from aec_jax.bundle import decisions, store
from aec_jax.bundle.network import Ensemble
from aec_jax.errors import UserError
from aec_jax.input.folds import Member, fold_of_name
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import cache, claim, files, hosts
from aec_jax.run import results as results_lib
from aec_jax.run.clock import Clock
from aec_jax.train.checkpoint import Checkpoints, holds_any
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.guards import left
from aec_jax.train.progress import History


def about_data(source) -> dict:
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


def checkpoints_of(workdir: Path, length: int) -> Path:
  """Where the checkpoints lie of classifiers of pieces of some length."""
  return workdir / 'checkpoints' / f'segments_{length}'


def restored(checkpoints: Checkpoints, system: Classifiers):
  """The latest state and history.

  Raises:
    UserError: there is none.
  """
  found = checkpoints.restore(system.create_state())
  if found is None:
    raise UserError(f'{checkpoints.folder} holds no checkpoint: train first')
  return found[0], History(**found[1])


def part_of(
  system: Classifiers, state, history: History, on: str = 'scored'
) -> Part:
  """What the members that have not diverged say at their best.

  Args:
    system, state, history: of their training.
    on: 'scored', or 'validation': the clips that each stopped by.
  """
  clips = [getattr(member, on) for member in system.members]
  values = system.clip_values(state.best, clips)
  good = left(system, history)
  members = [
    dataclasses.replace(system.members[i], scored=clips[i]) for i in good
  ]
  return Part(members, [values[i] for i in good])


def part_of_extractors(config, source, same: bool = True) -> Part:
  """Where extractors classify: the means of a clip's examples' probabilities
  (the challenge's system).

  On other data than they were trained for, each scores all clips.
  """
  objective, nothing = OBJECTIVES[config.objective], np.zeros(0, int)
  scored, members, values = source.scored_clips(), [], []
  held_out = [job.held_out is not None for job in source.jobs] if same else []
  of_folds = source.members() if any(held_out) else []
  for i, extractor in enumerate(source.extractors):
    mine = scored
    if same and held_out[i]:
      mine = next(m.scored for m in of_folds if m.extractor == i)
    found = objective.example_means(source.outputs[i], source.offsets)
    members.append(Member(extractor.name, i, nothing, nothing, mine))
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


def score(
  config, workdir: Path, source, parts: Sequence[Part], name='predictions.npz'
) -> dict:
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
    'decisions': decisions.fit(targets, probabilities),
    'folds': _fold_scores(objective, source.labels, parts),
    'n_examples': len(scored),
    **({'scored_on': source.scored_on} if source.scored_on else {}),
  }


def examine_labels(
  config, workdir: Path, source, parts: Sequence[Part]
) -> dict:
  """What results.json says of suspect labels, where each clip has one.

  Args:
    config, workdir, source: of the experiment.
    parts: what members say of clips that they have not trained on.
  """
  objective = OBJECTIVES[config.objective]
  if not objective.single or not parts:
    return {}
  values = combine(len(source.ids), parts)
  clips = np.flatnonzero(~np.isnan(values[:, 0]))
  probabilities = np.asarray(objective.to_probabilities(values[clips]))
  return {'label_doctor': source.examine(clips, probabilities, workdir)}


def best_on_eval(metric: str, reports: Mapping[str, Mapping]) -> dict:
  """The thesis's way beside the honest one: the best of all evaluations on
  what is scored.

  Args:
    metric: that chooses the step.
    reports: what results.json says of ensembles.

  Returns:
    {'mAP_best_on_eval': …}; {} where what is scored was not watched.
  """
  found = [
    entry['scored'][metric]
    for report in reports.values()
    for entry in report['evaluations']
    if 'scored' in entry
  ]
  return {f'{metric}_best_on_eval': max(found)} if found else {}


def _fold_scores(objective, labels, parts) -> dict[str, dict]:
  """Of each fold what its members alone score, and on how many clips."""
  folds = {fold_of_name(m.name) for part in parts for m in part.members}
  if len(folds - {''}) < 2:
    return {}
  found = {}
  for fold in sorted(folds - {''}, key=int):
    mine = []
    for part in parts:
      which = [fold_of_name(m.name) == fold for m in part.members]
      mine.append(
        Part(
          list(itertools.compress(part.members, which)),
          list(itertools.compress(part.values, which)),
        )
      )
    if not all(part.members for part in mine):
      continue  # a fold whose members have all diverged
    values = combine(len(labels), mine)
    clips = np.flatnonzero(~np.isnan(values[:, 0]))
    targets = labels.select(clips).multi_hot()
    scores = objective.scores(targets, values[clips])
    found[fold] = {'n': len(clips), **scores}
  return found


def _number(x) -> float | None:
  """A float for JSON, None where it is not defined."""
  return None if np.isnan(x) else float(x)


def evaluate(config, workdir: Path, cache_dir: str | Path) -> dict:
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
  bundle = workdir / store.FOLDER
  stored = store.read(bundle) if hosts.lead(bundle.exists) else None
  if stored:
    _check_stored(config, workdir, stored, source)
    source.extractors = [
      sources.Trained(name, variables, f'{workdir.absolute()}/{name}/'
                      f'{stored.info["files"][store.WEIGHTS]}')
      for name, variables in zip(
        stored.info['extractors'], stored.extractors, strict=True)
    ]  # fmt: skip
  else:
    hosts.lead(lambda: _check_begun(config, workdir))
    source.load_extractors()
  source.embed()
  clock.lap('embed')
  parts = _parts(config, workdir, source, stored, same)
  if same:
    results = started | score(config, workdir, source, parts)
  else:
    logging.warning(
      'these are not the data that %s was scored on: its results.json stays as'
      ' it is', workdir,
    )  # fmt: skip
    name = f'evaluations/{fingerprint}.npz'
    results = started | about_data(source)
    results |= score(config, workdir, source, parts, name)
  clock.lap('score')
  results['seconds'] = clock.seconds
  return _written(workdir, results, '' if same else fingerprint)


def _parts(
  config, workdir, source, stored: store.Stored | None, same: bool
) -> list[Part]:
  """What the models of a work folder say, by its bundle if it has one.

  Args:
    config, workdir, source: of the evaluation.
    stored: the bundle.
    same: whether the data are those that the folder was scored on.
  """
  if extractors.row(config.extractor).classifies:
    return [part_of_extractors(config, source, same)]
  if not stored:
    return [_latest_part(config, workdir, source, n) for n in config.segments]
  # In the order of the config's lengths. An ensemble's own is in doubt: the
  # longest of clips that were left whole may have as many segments as pieces.
  return [
    _stored_part(config, source, ensemble, length, same)
    for ensemble, length in zip(stored.ensembles, config.segments, strict=True)
  ]


def _check_stored(config, workdir, stored: store.Stored, source) -> None:
  """Raises `UserError` for a bundle that is not this experiment's."""
  if tuple(stored.info['classes']) != tuple(source.classes):
    raise UserError(
      f'{workdir} knows other classes than {config.data_dir}:'
      f' {", ".join(stored.info["classes"][:5])} …'
    )
  classifies = extractors.row(config.extractor).classifies
  if not classifies and len(stored.ensembles) != len(config.segments):
    raise UserError(
      f'{workdir / store.FOLDER} has {len(stored.ensembles)} ensembles, and'
      f' config.segments {len(config.segments)} lengths: it is of another'
      ' experiment'
    )


def _check_begun(config, workdir) -> None:
  """Raises `UserError` where a length of pieces has no classifiers yet."""
  if extractors.row(config.extractor).classifies:
    return
  for length in config.segments:
    folder = checkpoints_of(workdir, length)
    if not holds_any(folder):
      raise UserError(f'{folder} holds no checkpoint: train first')


def _written(workdir: Path, results: dict, other: str) -> dict:
  """Writes what an evaluation found, and returns what then lies there.

  Args:
    workdir: of the experiment.
    results: of the evaluation.
    other: the fingerprint of other data than the folder was scored on, which
      stand beside its results; '' of the same.
  """
  path = workdir / results_lib.FILE
  if other:
    path = workdir / 'evaluations' / f'{other}.json'
  elif path.exists():
    results = _merged(path, results)
  if hosts.is_first():
    files.write_json(path, results)
    logging.info('wrote %s', path)
    if not other and (workdir / store.FOLDER).exists():
      store.add_decisions(workdir, results['decisions'])
  return results


def _merged(path, results) -> dict:
  """Of finished results all that scoring again does not tell."""
  before = results_lib.read(path.parent)
  seconds = before.get('seconds', {}) | {'score': results['seconds']['score']}
  metrics = before.get('metrics', {}) | results['metrics']
  return before | results | {'seconds': seconds, 'metrics': metrics}


def _stored_part(
  config, source, ensemble: Ensemble, length: int, same: bool
) -> Part:
  """What the members of a bundle say of the clips that they may score.

  On other data than they were scored on, each scores all clips.
  """
  if same:
    members = source.members()
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
  checkpoints = Checkpoints(checkpoints_of(workdir, length))
  with contextlib.closing(checkpoints):
    return part_of(system, *restored(checkpoints, system))
