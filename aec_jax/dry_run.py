"""What an experiment would do: what was found, and the stages that are missing.

It trains nothing and writes nothing.
"""

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aec_jax.datasets.clips import Clips
from aec_jax.features import log_mels, packed
from aec_jax.input import folds, pieces
from aec_jax.models import extractors
from aec_jax.run import claim
from aec_jax.train import extractor

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
  else:
    yield from _recorded(config, cache_dir)
  yield (
    f'train {config.model.name}: at most {config.max_steps:,} steps of'
    f' {config.batch_size}, by {config.metric} every {config.eval_every:,}'
  )
  yield f'score, and write results, bundle and report to {workdir}'


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
  prepared = log_mels.prepared_already(config, clips, cache_dir)
  if prepared is None:
    count = _estimated(config, clips)
    yield f'prepare: {len(clips):,} clips, about {count:,} examples'
    yield (
      f'fine-tune {", ".join(config.extractors)}, and embed: exact once the'
      ' clips are prepared'
    )
    return
  yield f'prepare: done, {len(prepared.examples):,} examples'
  training = prepared.labels.select(prepared.split == 'train')
  if config.pitch_to:
    of, _ = pieces.shifts(
      training.ids, config.pitch_to, config.seed, training.offsets
    )
    yield f'pitch-shift: {len(of):,} copies'
  for job in folds.extractor_jobs(config, prepared):
    folder = extractor.folder_of(config, prepared, job, cache_dir)
    state = 'done' if folder.exists() else 'to be trained'
    section = config.extractor
    yield (
      f'fine-tune {job.title}: {state}; {len(job.training):,} clips, at most'
      f' {section.max_steps:,} steps of {section.batch_size} clips'
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
  if (clips.split == 'test').any():
    yield 'scored on the test clips'
  else:
    own = np.unique(clips.fold[clips.fold >= 0])
    count = len(own) if len(own) > 1 else config.folds
    which = "the data set's own" if len(own) > 1 else 'drawn'
    yield (
      f'no test clips: scored out of fold, {count} folds ({which}), and'
      f' {len(config.extractors)} × {count} extractors are trained'
    )
  reasons = collections.Counter(entry['reason'] for entry in clips.skipped)
  for reason, count in reasons.most_common():
    yield f'left out: {count:,} files: {reason}'


def _estimated(config, clips: Clips) -> int:
  """Examples, by the lengths that the files' headers say."""
  spec = extractors.front_end(config.extractor)
  seconds = np.nan_to_num(clips.seconds())
  return int(np.maximum(1, seconds // spec.seconds).sum())
