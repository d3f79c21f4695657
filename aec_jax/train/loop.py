"""The training loop: plans, dispatches, evaluations, checkpoints, early stop.

It trains any `System`: classifiers, one or many, or an extractor.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, Protocol

import jax
import numpy as np
from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import files, hosts, termination
from aec_jax.run.progress import Line, place
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.curves import Curves, Writer
from aec_jax.train.progress import History, Progress, warn_at_chance
from aec_jax.train.step import replicate

# Of which the plans are one tf.data pipeline.
_SPANS = 10_000
# What the plans of one dispatch may take of an accelerator's memory.
_PLANS_BYTES = 2**28


class System(Protocol):
  """Something to train.

  Attributes:
    settings: `max_steps`, `eval_every`, `checkpoint_every`,
      `batch_size`, `metric`, `patience`, `on_diverged`,
    `optimizer`, `profile_steps`.
    rate_field: what to lower when training diverges.
    most_steps: of a dispatch; see `most_steps`.
  """

  settings: Any
  rate_field: str
  most_steps: int

  @property
  def names(self) -> Sequence[str]:
    """Of its members, that are trained side by side; of one, its own."""

  def create_state(self) -> Any:
    """The state before the first step; its `step` counts them."""

  def plans(self, spans) -> Iterator[Any]:
    """What `steps` takes for each (start, stop) of steps."""

  def steps(self, state, plan) -> tuple[Any, dict[str, jax.Array]]:
    """The state after a plan's steps, and what `step.update` measured of each:
    {'loss', 'gradient_norm'}, all (step, member).
    """

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


def most_steps(
  settings, few: int, plan_bytes: int, backend: str | None = None
) -> int:
  """How many steps may go in one dispatch.

  `steps_per_dispatch` where it is given. Else few on a CPU, and as many on an
  accelerator, which would wait for the next, as there is memory for the plans.

  Args:
    settings: with `steps_per_dispatch`.
    few: on a CPU.
    plan_bytes: of what a step's plan takes on the device.
    backend: as JAX names it; None: the one in use.
  """
  if settings.steps_per_dispatch:
    return settings.steps_per_dispatch
  if on_cpu(backend):
    return few
  return max(1, _PLANS_BYTES // plan_bytes)


def on_cpu(backend: str | None = None) -> bool:
  """Whether a backend, as JAX names it, or the one in use is a processor."""
  return (backend or jax.default_backend()) == 'cpu'


def spans(start: int, settings, most: int) -> Iterator[tuple[int, int]]:
  """(start, stop) of each dispatch from step `start` to `max_steps`.

  A function of `start` alone wherever an evaluation or a checkpoint falls, so
  that a resumed run dispatches what the unbroken one did.
  """
  while start < settings.max_steps:
    stop = min(start + most, settings.max_steps)
    for every in (settings.eval_every, settings.checkpoint_every):
      stop = min(stop, (start // every + 1) * every)
    yield start, stop
    start = stop


def fit(
  system: System,
  checkpoints: Checkpoints,
  writer: Writer,
  chance: float | None = None,
) -> History:
  """Trains from the latest checkpoint until patience or max_steps ends.

  When SIGTERM comes, the dispatch that is under way is done, and saved, before
  the process exits; an evaluation is left, and made at the next start. See
  `termination`.

  Args:
    system: to train.
    checkpoints: where to go on from and to save to.
    writer: of its curves.
    chance: of the metric, for `warn_at_chance`.

  Raises:
    UserError: a loss or a parameter is not finite. Such a state is never saved.
  """
  Line().say('compiling …')
  history, state = History(), system.create_state()
  found = checkpoints.restore(state)
  if found:
    state, history = found[0], History(**found[1])
  step = int(state.step)
  owes = _owes_evaluation(system.settings, step, history)
  if system.finished(step, history) and not owes:
    return history
  if step:
    logging.info('%s', place(f'goes on from step {step:,}'))
  state = replicate(state)
  curves = Curves(writer, system)
  run = _Run(system, checkpoints, curves, chance, history, state)
  with termination.held() as signals, curves:
    with contextlib.suppress(termination.Interrupted):
      run.train(signals)
    run.save_rest()
  return history


class _Run:
  """A training under way; see `fit`.

  Attributes:
    state: at `step`, the last one that is done.
    saved: the last one that is saved.
  """

  def __init__(
    self, system: System, checkpoints, curves, chance, history, state
  ) -> None:
    self.system, self.checkpoints, self.curves = system, checkpoints, curves
    self.history, self.chance, self.state = history, chance, state
    self.settings = system.settings
    self.step = self.saved = int(state.step)
    self.progress = Progress(
      self.settings, self.step, history, checkpoints.folder
    )

  def train(self, signals: termination.Held) -> None:
    """Trains to the end, or until a signal comes between two steps.

    Raises:
      termination.Interrupted: one comes while something is waited for.
    """
    system, settings, history = self.system, self.settings, self.history
    if not self.step and not history.start:
      scores = signals.wait(lambda: system.evaluate(self.state, history))
      history.start = {'step': 0, **scores}
      self.curves.evaluated(history.start)
    if _owes_evaluation(settings, self.step, history):
      self._evaluate(signals)
      self._save(anew=True)
    todo: Iterable = spans(self.step, settings, system.most_steps)
    if system.finished(self.step, history):
      todo = ()
    for (start, stop), plan in _heard(_planned(system, todo), signals):
      self._advance(start, stop, plan)
      at_eval = _is_evaluated(settings, stop)
      if at_eval or stop % settings.checkpoint_every == 0:
        _check_state(system, stop, self.state, history, self.checkpoints)
        if at_eval:
          self._evaluate(signals)
        self._save()
      if signals or system.finished(stop, history):
        return

  def save_rest(self) -> None:
    """Saves the last step, if it is not yet."""
    if self.saved < self.step:
      _check_state(
        self.system, self.step, self.state, self.history, self.checkpoints
      )
      self._save()

  def _advance(self, start: int, stop: int, plan) -> None:
    history = self.history
    self.curves.begin(start, stop)
    self.state, found = self.system.steps(self.state, plan)
    self.step = stop
    losses = _check_losses(
      self.system, found['loss'], start, history, self.checkpoints
    )
    history.loss_sum += float(np.sum(losses, dtype=np.float64))
    history.loss_steps += stop - start
    self.progress.step(stop, float(losses.mean()))
    good, rate = left(self.system, history), self.progress.rate
    self.curves.stepped(stop, losses, found['gradient_norm'], good, rate)

  def _evaluate(self, signals) -> None:
    """Adds an evaluation to the history, and keeps the best of the state."""
    history = self.history
    scores = signals.wait(lambda: self.system.evaluate(self.state, history))
    loss = history.loss_sum / history.loss_steps
    entry = {'step': self.step, 'loss': loss, **scores}
    history.evaluations.append(entry)
    history.loss_sum, history.loss_steps = 0.0, 0
    self.curves.evaluated(entry)
    self.state = self.system.keep_best(self.state, history, self.checkpoints)
    self.progress.evaluated()
    warn_at_chance(self.settings, history, self.chance)

  def _save(self, anew: bool = False) -> None:
    self.history.seconds += self.progress.lap()
    history = dataclasses.asdict(self.history)
    self.checkpoints.save(self.step, self.state, history, anew)
    self.saved = self.step


def _is_evaluated(settings, step) -> bool:
  return step % settings.eval_every == 0 or step == settings.max_steps


def _owes_evaluation(settings, step, history) -> bool:
  """Whether a run was stopped after a step and before its evaluation."""
  done = history.evaluations[-1]['step'] if history.evaluations else 0
  return done < step and _is_evaluated(settings, step)


def _heard(plans, signals) -> Iterator:
  """What `_planned` makes, waited for so that a signal is heard.

  A thread makes the next plan while the steps of the last are under way.
  """
  following = termination.begin(lambda: next(plans, None))
  try:
    while (entry := signals.wait(following.result)) is not None:
      following = termination.begin(lambda: next(plans, None))
      yield entry
  finally:
    if not signals:  # whatever it takes its plans from is left in order
      futures.wait([following])


def _planned(system, todo):
  """Pairs of a span and its plan, however many steps `max_steps` allows."""
  todo = iter(todo)
  while some := list(itertools.islice(todo, _SPANS)):
    yield from zip(some, system.plans(some), strict=True)


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
