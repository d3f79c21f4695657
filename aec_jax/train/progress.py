"""What training remembers, and what it tells while it goes on."""

import collections
import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from aec_jax.run import files, hosts, progress
from aec_jax.run.progress import duration

# So many dispatches say how fast it goes, at least and at most.
_FEW, _PACES = 3, 101


@dataclasses.dataclass
class History:
  """What training remembers beside the state; saved with every checkpoint.

  Attributes:
    evaluations: the metrics of each evaluation, with 'step' and 'loss', the
      mean training loss since the one before.
    loss_sum, loss_steps: the training loss since the last evaluation.
    seconds: spent in training and evaluation, over all runs.
    diverged: names of an ensemble's members that were left out.
    start: the metrics before the first step, which stop nothing early.
  """

  evaluations: list[dict] = dataclasses.field(default_factory=list)
  loss_sum: float = 0.0
  loss_steps: int = 0
  seconds: float = 0.0
  diverged: list[str] = dataclasses.field(default_factory=list)
  start: dict = dataclasses.field(default_factory=dict)

  def best(self, metric: str) -> dict | None:
    """The evaluation with the highest metric, the first of equals."""
    return max(self.evaluations, key=lambda e: e[metric], default=None)

  def kept(self, settings) -> dict | None:
    """The evaluation whose variables are scored in the end.

    Args:
      settings: `metric` and `keep`.
    """
    if settings.keep == 'last':
      return self.evaluations[-1] if self.evaluations else None
    return self.best(settings.metric)

  def since_best(self, metric: str) -> int:
    """How many evaluations have passed without a better one."""
    best = self.best(metric)
    if best is None:
      return 0
    return len(self.evaluations) - 1 - self.evaluations.index(best)


@dataclasses.dataclass(frozen=True, eq=False)
class Standing:
  """How far each member's early stop is, all (member,).

  Attributes:
    best: its best validation score, -inf before the first.
    at: the step of it.
    stopped: whether its patience has ended.
  """

  best: np.ndarray
  at: np.ndarray
  stopped: np.ndarray


def standing(evaluations: Sequence[dict], settings, members: int) -> Standing:
  """Replays the members' early stops, each by its own scores.

  Args:
    evaluations: of a `History`; their 'members' holds {metric: (member,)},
      None for a member that has diverged.
    settings: `metric`, `patience` and `keep`; where the last are kept, none
      stops and each evaluation takes the place of the one before.
    members: how many.
  """
  last = settings.keep == 'last'
  best = np.full(members, -np.inf)
  at, waited = np.zeros(members, int), np.zeros(members, int)
  stopped = np.zeros(members, bool)
  for entry in evaluations:
    scores = np.array(entry['members'][settings.metric], float)
    better = (last & ~np.isnan(scores)) | (scores > best) & ~stopped
    best[better], at[better] = scores[better], entry['step']
    waited = np.where(better, 0, waited + 1)
    stopped |= (waited >= settings.patience) & (not last)
  return Standing(best, at, stopped)


# At chance: no further above what a guess gets that does not listen, where the
# best possible is 1 (or, of a log-likelihood, 0).
_AT_CHANCE = 0.02


def warn_at_chance(config, history: History, chance: float | None) -> None:
  """Logs a warning of a metric that has stayed at chance.

  It is due once: at the first evaluation past a fifth of `max_steps`, or at
  the one that makes them half as many as `patience`, whichever comes first.

  Args:
    config: `metric`, `max_steps` and `patience`.
    history: up to now.
    chance: see `metrics.chance`; None warns of nothing.
  """
  due = [
    5 * entry['step'] >= config.max_steps or 2 * count >= config.patience
    for count, entry in enumerate(history.evaluations, 1)
  ]
  if chance is None or not due[-1] or any(due[:-1]):
    return
  best = max(entry[config.metric] for entry in history.evaluations)
  if best < chance + _AT_CHANCE:
    logging.warning(
      'after %s of at most %s steps the best validation %s is %.4f, and a guess'
      ' gets %.4f: look at the labels, the learning rate and the loss',
      f'{history.evaluations[-1]["step"]:,}', f'{config.max_steps:,}',
      config.metric, best, chance,
    )  # fmt: skip


class Progress:
  """The progress line: step, examples or clips/s, loss, best score, time left.

  The first dispatch and the first evaluation compile, so the pace is that of
  the steps after them, and there is no time left before there is a pace.

  `progress.json` in a folder holds the same, for those that watch many runs:
  {'step', 'max_steps', 'metric', 'best', 'best_step', 'seconds_left'}.

  Args:
    config: `max_steps`, `eval_every`, `batch_size`, `metric`.
    step: where training goes on from.
    history: that grows while it does.
    folder: of progress.json.
    batch_of: what a batch counts.
  """

  def __init__(
    self, config: Any, step: int, history: History, folder: Path, batch_of: str
  ) -> None:
    self.config, self.history = config, history
    self._batch_of = batch_of
    self.path = folder / 'progress.json'
    self._line = progress.Line()
    self._since: float | None = None  # the end of the last dispatch
    self._step, self._loss = step, 0.0
    # Seconds a step, of the dispatches since the first: their middle leaves out
    # those that compile, as for a batch of another size.
    self._paces: collections.deque[float] = collections.deque(maxlen=_PACES)
    self._evaluation = 0.0
    self._last_lap = time.monotonic()
    self._write(step)

  @property
  def rate(self) -> float | None:
    """Steps a second, None before there is a pace."""
    if len(self._paces) < _FEW:
      return None
    middle = statistics.median(self._paces)
    return 1 / middle if middle else None

  def step(self, step: int, loss: float) -> None:
    """A dispatch is done.

    Args:
      step: up to which.
      loss: its mean.
    """
    now = time.monotonic()
    if self._since is not None:
      self._paces.append((now - self._since) / (step - self._step))
    first = self._since is None
    self._since, self._step, self._loss = now, step, loss
    if first or self._line.due(now) or step == self.config.max_steps:
      self._line.say(self._words())
      self._write(step)
    if first:
      self._line.restart()

  def _words(self) -> str:
    config, rate = self.config, self.rate
    parts = [f'step {self._step:,}/{config.max_steps:,}']
    if rate is not None:
      parts.append(f'{rate * config.batch_size:,.0f} {self._batch_of}/s')
    parts.append(f'loss {self._loss:.5f}')
    if best := self.history.best(config.metric):
      score = score_words(config.metric, best[config.metric])
      parts.append(f'best validation {score} at {best["step"]:,}')
    if self._step < config.max_steps:
      parts += self._left_words()
    return ' · '.join(parts)

  def _left_words(self) -> list[str]:
    """At most, since it may stop early: of this one, of others like it in the
    stage, and of the run.
    """
    left, whole = self._seconds_left(self._step), self._seconds_left(0)
    if left is None or whole is None:
      return []
    words = f'at most {duration(left)} left'
    stage = left + progress.more() * whole
    if progress.more():
      words += f', {duration(stage)} for this stage'
    if later := progress.later():
      words += f', {duration(stage + later)} for the run'
    return [words]

  def evaluated(self, waited: bool = True) -> None:
    """An evaluation has been added to the history.

    Args:
      waited: whether the steps have waited for it.
    """
    now = time.monotonic()
    entry = self.history.evaluations[-1]
    if waited and self._since is not None:
      self._evaluation = now - self._since
      self._since = now
    best = self.history.best(self.config.metric)
    score = score_words(self.config.metric, entry[self.config.metric])
    if best is entry or entry['step'] == self.config.max_steps:
      logging.info(
        '%s', progress.place(f'step {entry["step"]:,}', f'validation {score}')
      )
    self._write(entry['step'])

  def _seconds_left(self, step) -> float | None:
    """Of the steps and the evaluations to come, None without a pace."""
    if self.rate is None:
      return None
    steps = self.config.max_steps - step
    evaluations = -(-steps // self.config.eval_every)
    return steps / self.rate + evaluations * self._evaluation

  def _write(self, step):
    if not hosts.is_first():
      return
    best = self.history.best(self.config.metric)
    files.write_json(
      self.path,
      {
        'step': step,
        'max_steps': self.config.max_steps,
        'metric': self.config.metric,
        'best': best and best[self.config.metric],
        'best_step': best and best['step'],
        'seconds_left': self._seconds_left(step),
      },
    )

  def lap(self) -> float:
    """Seconds since the last call."""
    now = time.monotonic()
    seconds, self._last_lap = now - self._last_lap, now
    return seconds


def score_words(metric: str, value: float) -> str:
  """'mAP 0.1234'; a log-likelihood as what it is: the loss."""
  if metric == 'log_likelihood':
    return f'loss {-value:.4f}'
  return f'{metric} {value:.4f}'
