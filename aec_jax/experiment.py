"""One experiment: its task's stages, each skipped when its output is there."""

import contextlib
import math
from pathlib import Path

from aec_jax import audioset, cache, dcase, hosts
from aec_jax.errors import UserError, check_choice
from aec_jax.input.plan import SAMPLINGS

TASKS = {'audioset': audioset.run, 'dcase': dcase.run}

# The least and the most that a field may be.
_RANGES = (
  ('batch_size', 1, math.inf),
  ('max_steps', 1, math.inf),
  ('eval_every', 1, math.inf),
  ('patience', 1, math.inf),
  ('checkpoint_every', 1, math.inf),
  ('steps_per_dispatch', 1, math.inf),
  ('mixup_alpha', 0, math.inf),
  ('average', 0, 0.999999),
  ('seed', 0, 2**31 - 1),
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
  with contextlib.ExitStack() as stack:
    hosts.lead(lambda: stack.enter_context(cache.only_user(workdir)))
    return TASKS[config.task](config, Path(workdir), cache_dir, mode)


def check_config(config) -> None:
  """Raises `UserError` for a field whose value makes no sense."""
  check_choice('config.sampling', config.sampling, SAMPLINGS)
  for name, low, high in _RANGES:
    if not low <= config[name] <= high:
      raise UserError(
        f'config.{name} is {config[name]}; it must be {low} to {high}'
      )
