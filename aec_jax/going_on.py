"""Whether training that other free settings have begun can go on by these.

`max_steps`, `patience` and `on_diverged` may change in a used work folder. What
has been done by the ones before must be what these would have done, too: else a
longer training would bear the name of a shorter one.
"""

from collections.abc import Mapping
from pathlib import Path

import ml_collections

from aec_jax import scoring
from aec_jax.errors import UserError
from aec_jax.train import checkpoint
from aec_jax.train.progress import standing


def check(config, workdir: Path, before: Mapping | None) -> None:
  """Lets pass what goes on as if it had begun with these settings.

  Args:
    config, workdir: of the experiment.
    before: the settings that it was last started with; None where they are
      not known any more.

  Raises:
    UserError: it would not, or a checkpoint is damaged.
  """
  for length in config.segments:
    found = checkpoint.latest_history(scoring.checkpoints_of(workdir, length))
    trouble = found and _trouble(config, before, *found)
    if trouble:
      raise UserError(f'{workdir} {trouble}, or use another --workdir')


def _trouble(config, before, step: int, history: dict) -> str:
  """What of a training these settings would not have done; '' for nothing."""
  if step > config.max_steps:
    return (
      f'is trained to step {step:,} already, and config.max_steps is'
      f' {config.max_steps:,}: give {step} or more'
    )
  if history.get('diverged') and config.on_diverged == 'error':
    return (
      f'has left out {", ".join(history["diverged"])}, which diverged, and'
      " config.on_diverged is 'error': give skip"
    )
  if before and before.get('patience', config.patience) != config.patience:
    then = ml_collections.ConfigDict(
      {name: config[name] for name in ('metric', 'keep')}
      | {'patience': before['patience']}
    )
    if _kept(history, then) != _kept(history, config):
      return (
        f'has kept what config.patience={then.patience} does of its members,'
        f' and {config.patience} keeps other steps: give {then.patience}'
      )
  return ''


def _kept(history: dict, settings) -> list[int]:
  """The step that is kept of each member."""
  evaluations = history['evaluations']
  if not evaluations:
    return []
  members = len(evaluations[0]['members'][settings.metric])
  return standing(evaluations, settings, members).at.tolist()
