"""The training loop: plans, dispatches, evaluations, checkpoints, early stop.

It trains any `System`: classifiers, one or many, or an extractor.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import files, hosts, termination
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.progress import History, Progress, warn_at_chance
from aec_jax.train.step import replicate

# Of which the plans are one tf.data pipeline.
_SPANS = 10_000


class System(Protocol):
  """Something to train.

  Attributes:
    settings: `max_steps`, `eval_every`, `checkpoint_every`,
      `steps_per_dispatch`, `batch_size`, `metric`, `patience`, `on_diverged`.
    rate_field: what to lower when training diverges.
  """

  settings: Any
  rate_field: str

  @property
  def names(self) -> Sequence[str]:
    """Of its members, that are trained side by side; of one, its own."""

  def create_state(self) -> Any:
    """The state before the first step; its `step` counts them."""

  def plans(self, spans) -> Iterator[Any]:
    """What `steps` takes for each (start, stop) of steps."""

  def steps(self, state, plan) -> tuple[Any, jax.Array]:
    """The state after a plan's steps, and the losses (step, member)."""

  def evaluate(self, state, history: History) -> dict:
    """The scores of a state.

    'members' among them holds {metric: [of each member]}.
    """

  def keep_best(self, state, history: History, checkpoints) -> Any:
    """The state with what is best kept, after the evaluation of it."""

  def finished(self, step: int, history: History) -> bool:
    """Whether nothing is left to train."""

  def finite(self, state) -> np.ndarray:
    """(member,) whether all of its variables are."""

  def batch_ids(self, member: int, step: int) -> list[str]:
    """What a member trained on in a step."""


def spans(start: int, settings) -> Iterator[tuple[int, int]]:
  """(start, stop) of each dispatch from step `start` to `max_steps`.

  A function of `start` alone wherever an evaluation or a checkpoint falls, so
  that a resumed run dispatches what the unbroken one did.
  """
  while start < settings.max_steps:
    stop = min(start + settings.steps_per_dispatch, settings.max_steps)
    for every in (settings.eval_every, settings.checkpoint_every):
      stop = min(stop, (start // every + 1) * every)
    yield start, stop
    start = stop


def fit(
  system: System,
  checkpoints: Checkpoints,
  writer,
  chance: float | None = None,
) -> History:
  """Trains from the latest checkpoint until patience or max_steps ends.

  When SIGTERM comes, the dispatch or evaluation that is under way is done,
  and saved, before the process exits; see `termination`.

  Args:
    system: to train.
    checkpoints: where to go on from and to save to.
    writer: a clu MetricWriter.
    chance: of the metric, for `warn_at_chance`.

  Raises:
    UserError: a loss or a parameter is not finite. Such a state is never saved.
  """
  settings = system.settings
  history, state = History(), system.create_state()
  found = checkpoints.restore(state)
  if found:
    state, history = found[0], History(**found[1])
  step = int(state.step)
  if step and not system.finished(step, history):
    logging.info('goes on from step %s', f'{step:,}')
  state = replicate(state)
  progress = Progress(settings, step, history, checkpoints.folder)
  todo = () if system.finished(step, history) else spans(step, settings)
  with termination.held() as signals:
    for (start, step), plan in _planned(system, todo):
      state, found = system.steps(state, plan)
      losses = _check_losses(system, found, start, history, checkpoints)
      history.loss_sum += float(np.sum(losses, dtype=np.float64))
      history.loss_steps += step - start
      progress.step(step, losses)
      stopping = bool(signals)
      at_eval = step % settings.eval_every == 0 or step == settings.max_steps
      saving = at_eval or stopping or step % settings.checkpoint_every == 0
      if saving:
        _check_state(system, step, state, history, checkpoints)
      if at_eval:
        state = _evaluate(system, step, state, history, checkpoints, writer)
        progress.evaluated()
        warn_at_chance(settings, history, chance)
      if saving:
        history.seconds += progress.lap()
        checkpoints.save(step, state, dataclasses.asdict(history))
      if stopping or system.finished(step, history):
        break
  return history


def _planned(system, todo):
  """Pairs of a span and its plan, however many steps `max_steps` allows."""
  todo = iter(todo)
  while some := list(itertools.islice(todo, _SPANS)):
    yield from zip(some, system.plans(some), strict=True)


def _evaluate(system, step, state, history, checkpoints, writer):
  """Adds an evaluation to the history; the state with its best kept."""
  loss = history.loss_sum / history.loss_steps
  entry = {'step': step, 'loss': loss, **system.evaluate(state, history)}
  history.evaluations.append(entry)
  history.loss_sum, history.loss_steps = 0.0, 0
  scalars = {k: v for k, v in entry.items() if k not in ('step', 'members')}
  writer.write_scalars(step, scalars)
  return system.keep_best(state, history, checkpoints)


def left(system: System, history: History) -> np.ndarray:
  """The indices of the members that have not diverged."""
  return np.flatnonzero(~np.isin(list(system.names), history.diverged))


def _check_losses(system, losses, start, history, checkpoints) -> np.ndarray:
  """(step, member) -> (step,): means over the members that are left."""
  losses = np.asarray(losses)
  for member in np.flatnonzero(~np.isfinite(losses).all(0)):
    step = np.flatnonzero(~np.isfinite(losses[:, member]))[0]
    what = f'the loss{_of(system, member)} is {losses[step, member]}'
    _lose(system, member, what, start + step, history, checkpoints)
  return losses[:, left(system, history)].mean(1)


def _check_state(system, step, state, history, checkpoints) -> None:
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
