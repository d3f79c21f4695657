"""What an experiment would do: what was found, and the stages that are missing.

It trains nothing and writes nothing.
"""

import collections
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aec_jax.datasets.clips import Clips
from aec_jax.features import embeddings, log_mels, packed
from aec_jax.input import folds, pieces
from aec_jax.models import extractors
from aec_jax.run import claim, rates
from aec_jax.train import classifiers, extractor

_NAMED = 12  # classes that are named


def lines(config, workdir: Path, cache_dir: Path, model: dict) -> Iterator[str]:
  """The lines to print.

  Args:
    config: resolved.
    workdir, cache_dir: as `experiment.run` takes them.
    model: the defaults of the model's own fields.

  Raises:
    UserError: the data set is not there, or is at fault.
  """
  yield f'{config.name}: {config.dataset}, {config.objective}'
  if claim.finished_results(config, workdir, model):
    yield f'{workdir} is finished: nothing would run'
    return
  if not config.data_dir:
    yield 'data: none given: a SYNTHETIC set would be made'
  elif config.dataset == 'audioset':
    yield from _released(config, cache_dir)
    if config.teacher:
      yield f'targets in part what is said by {config.teacher}'
  else:
    yield from _recorded(config, cache_dir)
  if not extractors.row(config.extractor).classifies:
    yield from _trained(config, cache_dir)
  yield f'score, and write results, bundle and report to {workdir}'


def _trained(config, cache_dir) -> Iterator[str]:
  members = config.members
  if config.dataset != 'audioset':
    members = len(config.extractors) * config.folds
  for length in config.segments:
    costs = classifiers.step_costs(config, members, length)
    time = rates.said(cache_dir, 'train', costs, config.max_steps)
    what = f' on pieces of {length}' if len(config.segments) > 1 else ''
    yield (
      f'train {config.model.name}{what}: at most {config.max_steps:,} steps of'
      f' {config.batch_size} ({time}), by {config.metric} every'
      f' {config.eval_every:,}'
    )


def _released(config, cache_dir) -> Iterator[str]:
  for split in (*config.train_splits, *config.eval_splits):
    count, found = packed.packed_already(config, split, cache_dir)
    if found is None:
      yield f'pack {split}: {count:,} files'
      continue
    missing = int(np.sum(found.labels.class_counts() == 0))
    yield (
      f'{split}: {len(found):,} clips, packed already; {missing} of'
      f' {len(found.classes)} classes without a clip'
    )


def _recorded(config, cache_dir) -> Iterator[str]:
  clips = log_mels.list_clips(config, cache_dir)
  yield from _found(config, clips)
  took = functools.partial(rates.said, cache_dir)
  spec = extractors.front_end(config.extractor)
  prepared = log_mels.prepared_already(config, clips, cache_dir)
  if prepared is None:
    count = _estimated(config, clips)
    time = took('prepare', spec, len(clips))
    yield f'prepare: {len(clips):,} clips, about {count:,} examples, {time}'
    labels = log_mels.labels_of(clips).select(clips.split == 'train')
  else:
    count = len(prepared.examples)
    yield f'prepare: done, {count:,} examples'
    labels = prepared.labels.select(prepared.split == 'train')
  if config.pitch_to:
    of, _ = pieces.shifts(
      labels.ids, config.pitch_to, config.seed, labels.offsets
    )
    time = took('pitch-shift', spec, len(of))
    yield f'pitch-shift: {len(of):,} copies, {time} unless they are there'
    count += len(of) * count // len(clips)
  each = took('embed', embeddings.step_costs(config.extractor), count)
  if prepared is None:
    yield (
      f'fine-tune {", ".join(config.extractors)}: {_steps(config, took)} each,'
      ' exact once the clips are prepared'
    )
  else:
    yield from _fine_tuned(config, prepared, cache_dir, took)
  yield f'embed about {count:,} examples, {each} an extractor'


def _fine_tuned(config, prepared, cache_dir, took) -> Iterator[str]:
  for job in folds.extractor_jobs(config, prepared):
    folder = extractor.folder_of(config, prepared, job, cache_dir)
    state = 'done' if folder.exists() else 'to be trained'
    yield (
      f'fine-tune {job.title}: {state}; {len(job.training):,} clips,'
      f' {_steps(config, took)}'
    )


def _steps(config, took) -> str:
  section = config.extractor
  steps = section.max_steps
  time = took('fine-tune', embeddings.step_costs(section), steps)
  return f'at most {steps:,} steps of {section.batch_size} clips ({time})'


def _found(config, clips: Clips) -> Iterator[str]:
  """What the data set holds, and what of it is odd."""
  names = ', '.join(clips.classes[:_NAMED])
  more = ', …' if len(clips.classes) > _NAMED else ''
  yield f'{len(clips.classes)} classes: {names}{more}'
  yield clips.describe()
  has = log_mels.labels_of(clips)
  for split in np.unique(clips.split):
    counts = has.select(clips.split == split).class_counts()
    if missing := [clips.classes[k] for k in np.flatnonzero(counts == 0)]:
      some = ', '.join(missing[:_NAMED])
      yield (
        f'{len(missing)} classes without a {split} clip: {some}'
        f'{", …" if len(missing) > _NAMED else ""}'
      )
  yield folds.scored_how(config, clips.split, clips.fold)
  reasons = collections.Counter(entry['reason'] for entry in clips.skipped)
  for reason, count in reasons.most_common():
    yield f'left out: {count:,} files: {reason}'


def _estimated(config, clips: Clips) -> int:
  """Examples, by the lengths that the files' headers say."""
  spec = extractors.front_end(config.extractor)
  seconds = np.nan_to_num(clips.seconds())
  whole = np.ceil if spec.tail == 'repeat' else np.floor
  return int(np.maximum(1, whole(seconds / spec.seconds)).sum())
