"""What a config may not say, found before anything is read or claimed.

`run.fields` has the ranges; here stands what its fields mean for each other.
"""

from aec_jax import models, teachers, warm_start
from aec_jax.datasets import clip_record
from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.errors import UserError, check_choice
from aec_jax.input import shifts
from aec_jax.input.folds import EXTRACTOR_NAMES
from aec_jax.models import extractors
from aec_jax.run import devices, fields
from aec_jax.train import curves, step

# Segments of a piece: 16 minutes.
_LONGEST = 1000


def check_config(config, trains: bool = True) -> None:
  """Raises `UserError` for a field whose value makes no sense.

  Before the work folder is claimed, since afterwards the mended field would be
  refused as another setting.

  Args:
    config: resolved.
    trains: whether extractors may be trained, and need their first weights.
  """
  fields.check(config)
  devices.check_determinism(config.deterministic)
  models.classifier(config.model, classes=2)
  step.check(config)
  curves.profile_steps(config.profile_steps)
  _check_segments(config.segments)
  released = _check_released(config)
  if not released:
    _check_extractors(config, trains)
  frames = None if released else extractors.front_end(config.extractor).step
  shifts.check('config.test_shifts', config.test_shifts, frames)
  if trains:
    warm_start.check(config)


def _check_extractors(config, trains):
  step.check(config.extractor, 'config.extractor')
  extractors.check(config.extractor)
  if trains and not config.init_from:
    extractors.pretrained(config.extractor)
  if not config.extractors:
    raise UserError(
      f'config.extractors is empty; it takes {", ".join(EXTRACTOR_NAMES)}'
    )
  for name in config.extractors:
    check_choice('config.extractors', name, EXTRACTOR_NAMES)
  random = config.extractor.init == 'random' and not config.init_from
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
  if config.holdout and config.keep == 'last':
    raise UserError(
      f'config.holdout is {config.holdout}, of clips that choose the step, and'
      " config.keep is 'last', so that none is chosen: give config.keep=best,"
      ' or hold nothing out'
    )
  teachers.check(config)
  clip_record.check_range('config.float_range', config.float_range)
  return released
