"""The models of a work folder, scored again: what `--mode=evaluate` does."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax import learned_ensembles, presets, scoring, sources
from aec_jax.bundle import store
from aec_jax.bundle.network import Ensemble
from aec_jax.errors import UserError
from aec_jax.input.folds import Member
from aec_jax.models import extractors
from aec_jax.parts import Part, models_of
from aec_jax.run import cache, claim, fields, files, hosts
from aec_jax.run import results as results_lib
from aec_jax.run.clock import Clock
from aec_jax.train.checkpoint import Checkpoints, holds_any


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
  bundle = workdir / store.FOLDER
  stored = store.read(bundle) if hosts.lead(bundle.exists) else None
  if stored:
    config = _rounded_as(config, stored)
  source = sources.open_source(config, cache_dir, scoring=True)
  fingerprint = cache.digest(source.scored_fingerprints)
  same = started.get('scored_fingerprint', fingerprint) == fingerprint
  clock.lap('prepare')
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
  beside = hosts.lead(
    lambda: _beside(config, workdir, started, fingerprint, same)
  )
  results = started | ({} if same else scoring.about_data(source))
  results |= _of_shifts(config, started)
  name = f'evaluations/{beside}.npz' if beside else 'predictions.npz'
  results |= scoring.score(config, workdir, source, parts, name)
  if same:
    unseen = _unseen(config, source, stored, parts)
    results |= learned_ensembles.found(config, source, parts, unseen)
  clock.lap('score')
  results['seconds'] = clock.seconds
  return _written(workdir, results, beside)


def _rounded_as(config, stored: store.Stored):
  """The config with a bundle's dtypes, from which 'auto' may have gone on."""
  config = config.copy_and_resolve_references()
  for name in ('extractor', 'model'):
    dtype = (stored.info[name] or {}).get('dtype')
    if dtype:
      config[name].dtype = dtype
  return config


def _beside(
  config, workdir: Path, started: dict, fingerprint: str, same: bool
) -> str:
  """The name of an evaluation that stands beside a folder's results.

  Args:
    config, workdir: of the evaluation.
    started: the folder's claim.
    fingerprint: of the data.
    same: whether they are those that the folder was scored on.

  Returns:
    '' of one that takes their place: on the same data, at as many shifts.
  """
  before = started
  if (workdir / results_lib.FILE).exists():
    before = results_lib.read(workdir, 'config')
  own, now = _shifts_of(before), config.test_shifts
  if same and now == own:
    return ''
  differs = [] if same else ['these are not the data that it was scored on']
  if now != own:
    differs.append(f'it was scored with config.test_shifts={own}, not {now}')
  logging.warning(
    '%s: %s: its results.json stays as it is', workdir, ', and '.join(differs)
  )
  return fingerprint if now == own else f'{fingerprint}-test_shifts-{now}'


def _shifts_of(results: Mapping) -> int:
  """Of what was scored; older records lack them."""
  default = fields.FIELDS['test_shifts'].default
  return results['config'].get('test_shifts', default)


def _of_shifts(config, started: dict) -> dict:
  """What results.json has another of than the claim: the shifts, in `config`.

  Nothing where they are as many.
  """
  now = config.test_shifts
  if _shifts_of(started) == now:
    return {}
  return {'config': started['config'] | {'test_shifts': now}}


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
    return [scoring.part_of_extractors(config, source, same)]
  if not stored:
    return [_latest_part(config, workdir, source, n) for n in config.segments]
  # In the order of the config's lengths. An ensemble's own is in doubt: the
  # longest of clips that were left whole may have as many segments as pieces.
  return [
    _stored_part(config, source, ensemble, length, same)
    for ensemble, length in zip(stored.ensembles, config.segments, strict=True)
  ]


def _unseen(config, source, stored, parts) -> list[Part]:
  """What members say of clips that their training left out, for several models.

  Of AudioSet, whose training clips are not read again, and of models that are
  not finished it is not asked.
  """
  if source.scored_on == 'out-of-fold':
    return parts
  several = len(parts) * len({*models_of(parts[0].members)}) > 1
  if source.scored_on != 'test' or not (stored and several):
    return []
  if extractors.row(config.extractor).classifies:
    return [scoring.unseen_of_extractors(config, source, parts[0])]
  once = config.copy_and_resolve_references()
  once.test_shifts = 1  # as after training
  return [
    _stored_part(once, source, ensemble, length, True, 'validation')
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
    folder = scoring.checkpoints_of(workdir, length)
    if not holds_any(folder):
      raise UserError(f'{folder} holds no checkpoint: train first')


def _written(workdir: Path, results: dict, beside: str) -> dict:
  """Writes what an evaluation found, and returns what then lies there.

  Args:
    workdir: of the experiment.
    results: of the evaluation.
    beside: its name as of `_beside`.
  """
  path = workdir / results_lib.FILE
  if beside:
    path = workdir / 'evaluations' / f'{beside}.json'
  elif path.exists():
    results = _merged(path, results)
  if hosts.is_first():
    files.write_json(path, results)
    logging.info('wrote %s', path)
    if not beside and (workdir / store.FOLDER).exists():
      store.add_decisions(workdir, results['decisions'])
  return results


def _merged(path, results) -> dict:
  """Of finished results all that scoring again does not tell."""
  before = results_lib.read(path.parent)
  seconds = before.get('seconds', {}) | {'score': results['seconds']['score']}
  metrics = before.get('metrics', {}) | results['metrics']
  return before | results | {'seconds': seconds, 'metrics': metrics}


def _stored_part(
  config, source, ensemble: Ensemble, length: int, same: bool, on='scored'
) -> Part:
  """What the members of a bundle say of the clips that they may score.

  On other data than they were scored on, each scores all clips. `on` is as of
  `scoring.part_of`.
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
  chosen = [dataclasses.replace(m, scored=getattr(m, on)) for m in chosen]
  system = scoring.classifiers(config, source, length, chosen)
  values = system.clip_values(ensemble.variables, [m.scored for m in chosen])
  return Part(chosen, values)


def _latest_part(config, workdir, source, length) -> Part:
  """What the best so far of an unfinished training says."""
  system = scoring.classifiers(config, source, length, source.members())
  checkpoints = Checkpoints(scoring.checkpoints_of(workdir, length))
  with contextlib.closing(checkpoints):
    return scoring.part_of(system, *scoring.restored(checkpoints, system))
