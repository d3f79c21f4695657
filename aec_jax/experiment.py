"""One experiment: its task's stages, each skipped when its output is there."""

import contextlib
from pathlib import Path

from aec_jax import audioset, dcase, models
from aec_jax.audio import FRONT_END
from aec_jax.errors import UserError, check_choice, refusal
from aec_jax.input.plan import SAMPLINGS
from aec_jax.run import cache, hosts
from aec_jax.train import step

TASKS = {'audioset': audioset, 'dcase': dcase}

_LOSSES = {'audioset': 'binary', 'dcase': 'categorical'}

_ANY = 2**31 - 1
_TRAINING = (
  ('batch_size', 1, 2**24),
  ('max_steps', 1, _ANY),
  ('eval_every', 1, _ANY),
  ('patience', 1, _ANY),
  ('checkpoint_every', 1, _ANY),
  ('steps_per_dispatch', 1, 10_000),
  ('optimizer.learning_rate', 1e-12, 1e3),
  ('optimizer.b1', 0, 0.999999),
  ('optimizer.b2', 0, 0.999999),
  ('optimizer.momentum', 0, 0.999999),
  ('optimizer.l1', 0, 1e3),
  ('optimizer.l2', 0, 1e3),
)
# The least and the most that a field may be, where a config has it.
_RANGES = (
  *_TRAINING,
  *((f'extractor.{name}', low, high) for name, low, high in _TRAINING),
  ('seed', 0, _ANY),
  ('mixup_alpha', 0, 1e3),
  ('average', 0, 0.999999),
  ('model.dropout', 0, 0.999),
  ('model.bn_momentum', 0, 0.999999),
  ('folds', 2, 1000),
  ('pitch_to', 0, 1_000_000),
  ('synthetic.clips_per_class', 2, 10_000),
  ('synthetic.test_per_class', 0, 10_000),
  ('extractor.width', 0.001, 16),
  ('extractor.hidden', 1, 100_000),
  ('extractor.cosine_steps', 0, _ANY),
  ('extractor.augment.mixup_alpha', 0, 1e3),
  ('extractor.augment.mask_frames', 0, FRONT_END.frames),
  ('extractor.augment.mask_bands', 0, FRONT_END.bands),
)


def run(
  config, workdir: str | Path, cache_dir: str | Path, mode: str = 'train'
) -> dict:
  """Runs an experiment from wherever it stands to its results.

  Args:
    config: as one of `configs/` makes it.
    workdir: the experiment's own folder.
    cache_dir: of the stages shared between experiments.
    mode: 'train', or 'evaluate' to score the best checkpoint again, training
      nothing.

  Returns:
    What `workdir/results.json` holds.

  Raises:
    UserError: the input, the config or the work folder is at fault.
  """
  check_choice('config.task', config.task, TASKS)
  if config.task == 'dcase':
    config = dcase.resolve(config)
  check_config(config)
  try:
    with contextlib.ExitStack() as stack:
      hosts.lead(lambda: stack.enter_context(cache.only_user(workdir)))
      return TASKS[config.task].run(config, Path(workdir), cache_dir, mode)
  except Exception as error:
    reason = refusal(error)
    if isinstance(error, UserError) or not reason:
      raise
    raise UserError(
      f'{workdir} or {cache_dir}: {reason}; what was finished is kept, and the'
      ' same command goes on from there'
    ) from error


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense.

  Before the work folder is claimed, since afterwards the mended field would be
  refused as another setting.
  """
  check_choice('config.sampling', config.sampling, SAMPLINGS)
  check_choice('config.loss', config.loss, (_LOSSES[config.task],))
  for path, low, high in _RANGES:
    value = config
    for name in path.split('.'):
      value = None if value is None else value.get(name)
    if value is not None and not low <= value <= high:
      raise UserError(f'config.{path} is {value}; it must be {low} to {high}')
  models.classifier(config.model, classes=2)
  step.optimizer(config.optimizer)
  step.check_shares(config)
  TASKS[config.task].check_config(config)
