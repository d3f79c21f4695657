"""The training loop: plans, dispatches, evaluations, checkpoints, early stop.

It trains any `System`: classifiers, one or many, or an extractor.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from aec_jax.run import termination
from aec_jax.run.devices import on_cpu, replicate
from aec_jax.run.progress import Line, place
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.curves import Curves, Writer
from aec_jax.train.dispatch import planned, spans
from aec_jax.train.guards import check_losses, check_state, left
from aec_jax.train.progress import History, Progress, warn_at_chance

# Seconds of a dispatch from which on its state is kept back, and that it is
# given after a signal; the process has 8 in all, of which saving takes some.
_LONG, _PATIENCE = 1.0, 3.0


class System(Protocol):
  """Something to train.

  Attributes:
    settings: `max_steps`, `eval_every`, `checkpoint_every`, `batch_size`,
      `metric`, `patience`, `on_diverged`, `optimizer`, `profile_steps`.
    rate_field: the config's field to lower when training diverges.
    batch_of: what `batch_size` counts, 'examples' or 'clips'.
    most_steps: how many may go in one dispatch; see `dispatch.most_steps`.
  """

  settings: Any
  rate_field: str
  batch_of: str
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

  def evaluate(self, state, history: History) -> Callable[[], dict]:
    """Begins the evaluation of a state.

    Returns:
      What waits for it and gives the scores, of which 'members' holds {metric:
      [of each member]}. It begins nothing on a device, so that a thread may
      call it while the next steps run.
    """

  def keep_best(self, state, history: History, checkpoints) -> Any:
    """The state with what is best kept, after the evaluation of it."""

  def with_best_of(self, state, other) -> Any:
    """A state with what an earlier one has kept as the best."""

  def finished(self, step: int, history: History) -> bool:
    """Whether nothing is left to train."""

  def finite(self, state) -> np.ndarray:
    """(member,) whether all of its variables are."""

  def batch_ids(self, member: int, step: int) -> list[str]:
    """What a member trained on in a step."""


def fit(
  system: System,
  checkpoints: Checkpoints,
  writer: Writer,
  chance: float | None = None,
  progress: Path | None = None,
) -> History:
  """Trains from the latest checkpoint until patience or max_steps ends.

  When SIGTERM comes, the dispatch that is under way is done and saved before
  the process exits or, where that takes too long, what was before it; an
  evaluation is left, and made at the next start. See `termination`.

  Args:
    system: to train.
    checkpoints: where to go on from and to save to.
    writer: of its curves.
    chance: of the metric, for `warn_at_chance`.
    progress: the folder of progress.json; None: the checkpoints'.

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
  told = progress or checkpoints.folder
  run = _Run(system, checkpoints, curves, chance, history, state, told)
  with termination.held() as signals, curves:
    with contextlib.suppress(termination.Interrupted):
      run.train(signals)
    run.save_rest(signals)
  return history


@dataclasses.dataclass(eq=False)
class _Due:
  """What is to be scored, saved, or both.

  Attributes:
    step, state, history: as they were then; the state is a copy where the next
      steps do not wait.
    scores: waits for them; None where it is only saved.
    ready: whether `scores` would not wait.
  """

  step: int
  state: Any
  history: History
  scores: Callable[[], dict] | None = None
  ready: Callable[[], bool] = lambda: True


class _Run:
  """A training under way; see `fit`.

  On an accelerator what falls due is scored and saved while the next steps run,
  on a copy of the state; where it then turns out that training was over, what
  they gave is dropped. A processor has no hands free for that, and several
  hosts must all do the same at the same time: there, steps wait.

  Attributes:
    state: at `step`, the last one that is done.
    checked: the last one whose state is known to be finite.
    saved: the last one that is saved.
    due: what is being scored or is to be saved.
    under_way: whether a dispatch is, so that `state` is already what it gives.
    kept: the state that it began with; None where it is not kept back.
  """

  def __init__(
    self, system: System, checkpoints, curves, chance, history, state, told
  ) -> None:
    self.system, self.checkpoints, self.curves = system, checkpoints, curves
    self.history, self.chance, self.state = history, chance, state
    self.settings = system.settings
    self.step = self.saved = self.checked = int(state.step)
    self.progress = Progress(
      self.settings, self.step, history, told, system.batch_of
    )
    self.ahead = not on_cpu() and jax.process_count() == 1
    self.due: _Due | None = None
    self.under_way, self.kept = False, None
    self._took = 0.0  # seconds of the last dispatch

  def train(self, signals: termination.Held) -> None:
    """Trains to the end, or until a signal comes between two steps.

    Raises:
      termination.Interrupted: one comes while something is waited for.
    """
    system, settings, history = self.system, self.settings, self.history
    if not self.step and not history.start:
      scores = signals.wait(lambda: system.evaluate(self.state, history)())
      history.start = {'step': 0, **scores}
      self.curves.evaluated(history.start)
    if _owes_evaluation(settings, self.step, history):
      self._fall_due(scored=True)
      self._settle(signals, anew=True)
    todo: Iterable = spans(self.step, settings, system.most_steps)
    if system.finished(self.step, history):
      todo = ()
    for (start, stop), plan in planned(system, todo, signals):
      self._advance(start, stop, plan, signals)
      if self.step == stop:
        self._stop_over(signals)
      if signals or system.finished(self.step, history):
        break
    if self.due and not signals:
      self._settle(signals)

  def save_rest(self, signals: termination.Held) -> None:
    """Saves the last step, if it is not yet, or what was due before it."""
    if due := self.due:
      if due.ready():
        self._settle(signals)
      lost = self.under_way and self.kept is None
      if self.due or lost:
        self._go_back_to(due)
    if self.under_way:
      self.state = self.kept
    if self.saved < self.step:
      self._check()
      self._save(self.step, self.state, self.history)

  def _advance(self, start: int, stop: int, plan, signals) -> None:
    """Makes the steps of a dispatch; none where training was over before."""
    system, history = self.system, self.history
    self.curves.begin(start, stop)
    self.kept, began = self._kept_back(signals), time.monotonic()
    self.under_way = True
    self.state, found = system.steps(self.state, plan)
    # At the latest before another evaluation; the steps are under way.
    if self.due and (self.due.ready() or _is_evaluated(self.settings, stop)):
      self._settle(signals)
      if system.finished(self.step, history):
        return
    losses = self._losses(found, signals)
    self._took = time.monotonic() - began
    if self.due and not np.isfinite(losses).all():
      self._settle(signals)  # it may have been over before they were so
      if system.finished(self.step, history):
        return
    self.step, self.under_way = stop, False
    losses = check_losses(system, losses, start, history, self.checkpoints)
    history.loss_sum += float(np.sum(losses, dtype=np.float64))
    history.loss_steps += stop - start
    self.progress.step(stop, float(losses.mean()))
    good, rate = left(system, history), self.progress.rate
    self.curves.stepped(stop, losses, found['gradient_norm'], good, rate)

  def _kept_back(self, signals) -> Any:
    """The state on the host, if the next dispatch may outlast a signal's time.

    The dispatch takes the state that it begins with; without this copy, all
    since the last checkpoint would be lost.
    """
    if not signals.handled or self._took < _LONG:
      return None
    self._check()
    return jax.tree.map(np.array, self.state)

  def _losses(self, found, signals) -> np.ndarray:
    """(step, member), once the steps of a dispatch are done.

    Raises:
      termination.Interrupted: a signal comes, and they are not in time.
    """
    if self.kept is None:
      return np.asarray(found['loss'])
    return signals.wait(lambda: np.asarray(found['loss']), _PATIENCE)

  def _stop_over(self, signals) -> None:
    """Scores and saves, or lets fall due, what a step asks for."""
    settings, step = self.settings, self.step
    scored = _is_evaluated(settings, step)
    # What is scored meanwhile is soon saved with its scores.
    saved = step % settings.checkpoint_every == 0 and not self.due
    if scored or saved:
      self._check()
      self._fall_due(scored)
      if not self.ahead:
        self._settle(signals)

  def _fall_due(self, scored: bool) -> None:
    system, history = self.system, self.history
    then = dataclasses.replace(
      history,
      evaluations=[*history.evaluations],
      diverged=[*history.diverged],
    )
    state = _copied(self.state) if self.ahead else self.state
    due = _Due(self.step, state, then)
    if scored and self.ahead:
      done = termination.begin(system.evaluate(state, then))
      due.scores, due.ready = done.result, done.done
    elif scored:
      due.scores = lambda: system.evaluate(state, then)()
      due.ready = lambda: False
    self.due = due
    if scored:
      history.loss_sum, history.loss_steps = 0.0, 0

  def _settle(self, signals, anew: bool = False) -> None:
    """Scores and saves what is due, and goes back to it where that is the end.

    Raises:
      termination.Interrupted: a signal comes before its scores.
    """
    due, system = self.due, self.system
    assert due is not None
    if due.scores:
      scores = due.scores() if due.ready() else signals.wait(due.scores)
      self._add_scores(due, scores)
    self.due = None
    if not self.ahead or system.finished(due.step, due.history):
      self._go_back_to(due)
    else:
      self.state = system.with_best_of(self.state, due.state)
      if self.kept is not None:
        self.kept = system.with_best_of(self.kept, due.state)
    self._save(due.step, due.state, due.history, anew)

  def _add_scores(self, due: _Due, scores: dict) -> None:
    """Adds an evaluation to the history, and keeps the best of the state."""
    then = due.history
    entry = {'step': due.step, 'loss': then.loss_sum / then.loss_steps}
    entry |= scores
    for history in (then, self.history):
      history.evaluations.append(entry)
    then.loss_sum, then.loss_steps = 0.0, 0
    self.curves.evaluated(entry)
    due.state = self.system.keep_best(due.state, then, self.checkpoints)
    self.progress.evaluated(waited=not self.ahead)
    warn_at_chance(self.settings, then, self.chance)

  def _go_back_to(self, due: _Due) -> None:
    self.due, self.state, self.step = None, due.state, due.step
    self.under_way = False
    vars(self.history).update(vars(due.history))

  def _check(self) -> None:
    """Leaves members out that are not finite, or stops; see `guards`."""
    if self.checked < self.step:
      check_state(
        self.system, self.step, self.state, self.history, self.checkpoints
      )
      self.checked = self.step

  def _save(self, step: int, state, history: History, anew=False) -> None:
    self.history.seconds += self.progress.lap()
    history.seconds = self.history.seconds
    self.checkpoints.save(step, state, dataclasses.asdict(history), anew)
    self.saved = step


@jax.jit
def _copied(state):
  """A state of its own, whatever becomes of the other's memory."""
  return jax.tree.map(jnp.copy, state)


def _is_evaluated(settings, step) -> bool:
  return step % settings.eval_every == 0 or step == settings.max_steps


def _owes_evaluation(settings, step, history) -> bool:
  """Whether a run was stopped after a step and before its evaluation."""
  done = history.evaluations[-1]['step'] if history.evaluations else 0
  return done < step and _is_evaluated(settings, step)
