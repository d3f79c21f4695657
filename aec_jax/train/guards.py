"""What becomes of training that diverges: it stops, or leaves a member out."""

import numpy as np
from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import files, hosts
from aec_jax.train.progress import History


def left(system, history: History) -> np.ndarray:
  """The indices of the members that have not diverged."""
  return np.flatnonzero(~np.isin(list(system.names), history.diverged))


def check_losses(
  system, losses: np.ndarray, start: int, history: History, checkpoints
) -> np.ndarray:
  """(step, member) -> (step,): means over the members that are left.

  Args:
    system: whose they are.
    losses: of a dispatch.
    start: its first step.
    history: gets the names of those that are left out.
    checkpoints: beside which the batch is written.

  Raises:
    UserError: one is not finite, and its member may not be left out.
  """
  losses = np.asarray(losses)
  for member in np.flatnonzero(~np.isfinite(losses).all(0)):
    step = np.flatnonzero(~np.isfinite(losses[:, member]))[0]
    what = f'the loss{_of(system, member)} is {losses[step, member]}'
    _lose(system, member, what, start + step, history, checkpoints)
  return losses[:, left(system, history)].mean(1)


def check_state(
  system, step: int, state, history: History, checkpoints
) -> None:
  """The same of the state after `step` steps."""
  for member in np.flatnonzero(~system.finite(state)):
    what = f'the parameters{_of(system, member)} are not finite'
    _lose(system, member, what, step - 1, history, checkpoints)


def _of(system, member):
  return f' of {system.names[member]}' if len(system.names) > 1 else ''


def _lose(system, member, what, step, history, checkpoints) -> None:
  """Leaves a member out, or stops, as `on_diverged` says."""
  name = system.names[member]
  if name in history.diverged:
    return
  error = _diverged(system, member, what, step, checkpoints)
  last = len(history.diverged) == len(system.names) - 1
  if system.settings.on_diverged == 'error' or last:
    raise error
  logging.warning('left out: %s', error)
  history.diverged.append(name)


def _diverged(system, member, what, step, checkpoints) -> UserError:
  """The error that names a step, counted from 0, and what it trained on.

  All ids of its batch go to `diverged.json` beside the checkpoints.
  """
  ids = system.batch_ids(member, step)
  path = checkpoints.folder / 'diverged.json'
  step = int(step) + 1
  if hosts.is_first():
    files.write_json(path, {'what': what, 'step': step, 'examples': ids})
  return UserError(
    f'{what} at step {step:,}, in the batch of {", ".join(ids[:3])}'
    f' (all {len(ids)} in {path}): try a lower {system.rate_field}; the last'
    f' good checkpoint is in {checkpoints.folder}'
  )
