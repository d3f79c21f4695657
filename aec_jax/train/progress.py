"""What training remembers, and what it tells while it goes on."""

import dataclasses
import time

import numpy as np
from absl import logging

from aec_jax.run import files, hosts
from aec_jax.run.progress import duration


@dataclasses.dataclass
class History:
  """What training remembers beside the state; saved with every checkpoint.

  Attributes:
    evaluations: the metrics of each evaluation, with 'step' and 'loss', the
      mean training loss since the one before.
    loss_sum, loss_steps: the training loss since the last evaluation.
    seconds: spent in training and evaluation, over all runs.
    diverged: names of an ensemble's members that were left out.
  """

  evaluations: list[dict] = dataclasses.field(default_factory=list)
  loss_sum: float = 0.0
  loss_steps: int = 0
  seconds: float = 0.0
  diverged: list[str] = dataclasses.field(default_factory=list)

  def best(self, metric: str) -> dict | None:
    """The evaluation with the highest metric, the first of equals."""
    return max(self.evaluations, key=lambda e: e[metric], default=None)

  def since_best(self, metric: str) -> int:
    """How many evaluations have passed without a better one."""
    best = self.best(metric)
    if best is None:
      return 0
    return len(self.evaluations) - 1 - self.evaluations.index(best)


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
      'after %s of at most %s steps the best %s is %.4f, and a guess gets %.4f:'
      ' look at the labels, the learning rate and the loss',
      f'{history.evaluations[-1]["step"]:,}', f'{config.max_steps:,}',
      config.metric, best, chance,
    )  # fmt: skip


class Progress:
  """The progress line: step, examples/s, loss, best metric, time left.

  `progress.json` in a folder holds the same, for those that watch many runs:
  {'step', 'max_steps', 'metric', 'best', 'best_step', 'seconds_left'}.
  """

  def __init__(self, config, step, history, folder, every_seconds=10.0):
    self.config, self.history, self.every = config, history, every_seconds
    self.path = folder / 'progress.json'
    self.rate = None
    self.last_lap = time.monotonic()
    self._restart(step)
    self._write(step)

  def _restart(self, step):
    self.since, self.since_step = time.monotonic(), step

  def step(self, step, losses):
    now = time.monotonic()
    if now - self.since < self.every and step < self.config.max_steps:
      return
    self.rate = (step - self.since_step) / (now - self.since)
    best = self.history.best(self.config.metric)
    logging.info(
      'step %s/%s · %s examples/s · loss %.5f · best %s %s · %s left',
      f'{step:,}',
      f'{self.config.max_steps:,}',
      f'{self.rate * self.config.batch_size:,.0f}',
      float(np.mean(losses)),
      self.config.metric,
      f'{best[self.config.metric]:.4f} at {best["step"]:,}' if best else '-',
      duration(self._seconds_left(step)),
    )
    self._restart(step)
    self._write(step)

  def evaluated(self):
    """Leaves an evaluation's time out of the rate."""
    entry = self.history.evaluations[-1]
    self._restart(entry['step'])
    self._write(entry['step'])

  def _seconds_left(self, step):
    return (self.config.max_steps - step) / self.rate

  def _write(self, step):
    if not hosts.is_first():
      return
    best = self.history.best(self.config.metric)
    progress = {
      'step': step,
      'max_steps': self.config.max_steps,
      'metric': self.config.metric,
      'best': best and best[self.config.metric],
      'best_step': best and best['step'],
      'seconds_left': self.rate and self._seconds_left(step),
    }
    files.write_json(self.path, progress)

  def lap(self) -> float:
    """Seconds since the last call."""
    now = time.monotonic()
    seconds, self.last_lap = now - self.last_lap, now
    return seconds
