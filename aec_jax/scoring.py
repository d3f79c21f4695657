"""From the models of an experiment to its scores.

A clip's values are the mean over lengths of pieces of the means over the
members that score it (§5.1, §5.2.3).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aec_jax import hierarchy, predictions
from aec_jax.bundle import decisions
from aec_jax.errors import UserError
from aec_jax.input import pieces
from aec_jax.input.folds import Member, fold_of_name
from aec_jax.objective import OBJECTIVES
from aec_jax.parts import Part, combine, models_of
from aec_jax.run import cache, hosts
from aec_jax.train.checkpoint import Checkpoints
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


def scorer(config, source, length: int, system: Classifiers) -> Classifiers:
  """The same members, who score each clip at all of `config.test_shifts`.

  Args:
    config, source: of the experiment.
    length: of the members' pieces.
    system: whom training and validation have.
  """
  if config.test_shifts == 1:
    return system
  return classifiers(config, source, length, system.members)


def classifiers(
  config, source, length: int, members: Sequence[Member]
) -> Classifiers:
  """Members that score clips at all of `config.test_shifts`.

  Args:
    config, source: of the experiment.
    length: of their pieces.
    members: as they score.
  """
  if config.test_shifts == 1:
    features = source.features(length)
  else:
    features = source.scored_features(length, members)
  return Classifiers(config, OBJECTIVES[config.objective], features, members)


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


def unseen_part(
  config, source, system, state, history: History, part: Part
) -> Part:
  """What members say of clips with labels that their training left out.

  They are predicted anew only where they are not scored and something asks for
  them: `examine_labels`, or `learned_ensembles` of several models.

  Args:
    config, source: of the experiment.
    system, state, history: of the members' training.
    part: what they say of the scored clips.
  """
  if source.scored_on == 'out-of-fold':
    return part
  asked = source.scored_on == 'test' and system.objective.single
  several = len(config.segments) * len({*models_of(system.members)}) > 1
  one = system.members[0]
  apart = not np.array_equal(one.validation, one.scored)
  if (asked or several) and apart:
    return part_of(system, state, history, 'validation')
  return part


def part_of_extractors(config, source, same: bool = True) -> Part:
  """Where extractors classify: the means of a clip's examples' probabilities
  (the challenge's system).

  On other data than they were trained for, each scores all clips.
  """
  objective, nothing = OBJECTIVES[config.objective], np.zeros(0, int)
  scored, members = source.scored_clips(), []
  held_out = [job.held_out is not None for job in source.jobs] if same else []
  of_folds = source.members() if any(held_out) else []
  for i, extractor in enumerate(source.extractors):
    mine = scored
    if same and held_out[i]:
      mine = next(m.scored for m in of_folds if m.extractor == i)
    members.append(Member(extractor.name, i, nothing, nothing, mine))
  outputs, offsets = source.outputs, source.offsets
  if config.test_shifts > 1:
    segments, cuts = source.shifted(members)
    order, offsets = pieces.by_clip(cuts)
    outputs = segments[:, order]
  values = [
    objective.example_means(outputs[m.extractor], offsets)[m.scored]
    for m in members
  ]
  return Part(members, values)


def unseen_of_extractors(config, source, part: Part) -> Part:
  """As `unseen_part`, where extractors classify.

  Where test clips are scored, each says something of the clips alone that it
  stopped by, as they are, at no shifts.

  Args:
    config, source: of the experiment.
    part: what they say of the scored clips.
  """
  if source.scored_on == 'out-of-fold':
    return part
  means = OBJECTIVES[config.objective].example_means
  members, values = [], []
  for member, job in zip(part.members, source.jobs, strict=True):
    members.append(dataclasses.replace(member, scored=job.validation))
    of_all = means(source.outputs[member.extractor], source.offsets)
    values.append(of_all[job.validation])
  return Part(members, values)


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
    **hierarchy.found(source.ontology, objective, labels, values, columns),
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
    mine = [
      part.only([fold_of_name(m.name) == fold for m in part.members])
      for part in parts
    ]
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
