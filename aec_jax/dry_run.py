"""What an experiment would do: what was found, and the stages that are missing.

It trains nothing and writes nothing.
"""

import collections
import functools
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aec_jax import going_on, leavings, sources, teachers, timetable, warm_start
from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.clips import Clips
from aec_jax.datasets.labels import Labels
from aec_jax.features import log_mels, packed
from aec_jax.input import folds
from aec_jax.models import extractors
from aec_jax.run import claim, rates
from aec_jax.timetable import Sizes
from aec_jax.train import extractor

_NAMED = 12  # classes that are named


def lines(config, workdir: Path, cache_dir: Path, model: dict) -> Iterator[str]:
  """The lines to print.

  Args:
    config: resolved.
    workdir, cache_dir: as `experiment.run` takes them.
    model: the defaults of the model's own fields.

  Raises:
    UserError: the data set is not there, or is at fault, or the work folder is
      another experiment's.
  """
  goes_on = functools.partial(going_on.check, config, workdir)
  claim.check(config, workdir, model, None, goes_on)
  yield f'{config.name}: {config.dataset}, {config.objective}'
  finished = claim.finished_results(config, workdir, model)
  if finished and not leavings.lacks(workdir):
    yield f'{workdir} is finished: nothing would run'
    return
  sizes = None
  if not config.data_dir:
    yield 'data: none given: a SYNTHETIC set would be made'
  elif config.dataset == 'audioset':
    sizes = yield from _released(config, cache_dir)
  else:
    sizes = yield from _recorded(config, cache_dir)
  if not extractors.row(config.extractor).classifies:
    yield from _trained(config, sizes, cache_dir)
  if sizes:
    took = timetable.seconds(config, sizes, cache_dir)
    yield f'time until scoring: {timetable.in_all(took)}'
  yield f'score, and write results, bundle and report to {workdir}'


def _trained(config, sizes: Sizes | None, cache_dir) -> Iterator[str]:
  for length in config.segments:
    took = sizes and timetable.of_members(config, sizes, length, cache_dir)
    what = f' on pieces of {length}' if len(config.segments) > 1 else ''
    yield (
      f'train {config.model.name}{what}: at most {config.max_steps:,} steps of'
      f' {config.batch_size} ({rates.words(took)}), by {config.metric} every'
      f' {config.eval_every:,}'
    )


def _released(config, cache_dir) -> Generator[str, None, Sizes]:
  for splits in (config.eval_splits, config.train_splits):
    packed.check_splits(splits)
  classes = audioset_tfrecord.read_classes(config.data_dir)
  unpacked, training = 0, []
  for split in (*config.train_splits, *config.eval_splits):
    count, found = packed.packed_already(config, split, cache_dir)
    if found is None:
      unpacked += count
      yield f'pack {split}: {count:,} files'
      continue
    training += [found] * (split in config.train_splits)
    missing = int(np.sum(found.labels.class_counts() == 0))
    yield (
      f'{split}: {len(found):,} clips, packed already; {missing} of'
      f' {len(found.classes)} classes without a clip'
    )
  if len(training) == len(config.train_splits):  # all are at hand
    sources.released.held_out(config, training)
  if sources.released.ontology_of(config) and config.pass_up:
    yield 'targets have the classes above the labels, by the ontology'
  if finished := warm_start.of(config):
    yield f'hidden layers start from {finished}'
  if teachers.read(config, classes):
    yield f'targets in part what is said by {config.teacher}'
  return timetable.of_embeddings(config, len(classes), unpacked)


def _recorded(config, cache_dir) -> Generator[str, None, Sizes]:
  clips = log_mels.list_clips(config, cache_dir)
  has = log_mels.labels_of(clips)
  # Refuses extractors that the clips don't allow.
  folds.extractor_jobs(
    config, _Folded(has, clips.split, clips.fold, clips.group)
  )
  yield from _found(config, clips)
  prepared = log_mels.prepared_already(config, clips, cache_dir)
  if prepared is None:
    sizes, count = _estimated(config, clips)
    time = rates.words(timetable.of_clips(config, sizes, cache_dir))
    yield f'prepare: {len(clips):,} clips, about {count:,} examples, {time}'
  else:
    start = warm_start.extractors_of(config)
    sizes = timetable.of_prepared(config, prepared, start, cache_dir)
    yield f'prepare: done, {len(prepared.examples):,} examples'
  if config.pitch_to:
    time = rates.words(timetable.of_copies(config, sizes, cache_dir))
    yield f'pitch-shift: {sizes.copies:,} copies, {time} unless they are there'
  steps = _steps(config, cache_dir)
  if finished := warm_start.of(config):
    yield f'extractors and hidden layers start from {finished}'
  if prepared is None:
    yield (
      f'fine-tune {", ".join(config.extractors)}: {steps} each, exact once the'
      ' clips are prepared'
    )
  else:
    yield from _fine_tuned(config, prepared, start, cache_dir, steps)
  each = timetable.of_embedding(config, sizes.examples, cache_dir)
  yield (
    f'embed about {sizes.examples:,} examples, {rates.words(each)} an extractor'
  )
  return sizes


class _Folded(NamedTuple):
  """Clips that are not prepared, as `folds.Folded`."""

  labels: Labels
  split: np.ndarray
  fold: np.ndarray
  group: np.ndarray


def _fine_tuned(
  config, prepared, start, cache_dir, steps: str
) -> Iterator[str]:
  for job in folds.extractor_jobs(config, prepared):
    if job.sampling == 'none':
      yield f'extractor {folds.in_words(job.title)}: taken as it is'
      continue
    folder = extractor.folder_of(config, prepared, job, start, cache_dir)
    state = 'done' if folder.exists() else 'to be trained'
    yield (
      f'fine-tune {folds.in_words(job.title)}: {state};'
      f' {len(job.training):,} clips, {steps}'
    )


def _steps(config, cache_dir) -> str:
  section = config.extractor
  time = rates.words(timetable.of_extractors(config, 1, cache_dir))
  return (
    f'at most {section.max_steps:,} steps of {section.batch_size} clips'
    f' ({time})'
  )


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
    yield f'left out: {count:,} file{"s" * (count > 1)}: {reason}'


def _estimated(config, clips: Clips) -> tuple[Sizes, int]:
  """By the lengths that the files' headers say; and the clips' examples."""
  spec = extractors.front_end(config.extractor)
  seconds = np.nan_to_num(clips.seconds())
  whole = np.ceil if spec.tail == 'repeat' else np.floor
  examples = np.maximum(1, whole(seconds / spec.seconds)).astype(int)
  labels = log_mels.labels_of(clips).select(clips.split == 'train')
  sizes = timetable.of_recordings(
    config, labels, clips.split, clips.fold, examples, len(clips.classes)
  )
  return sizes, int(examples.sum())
