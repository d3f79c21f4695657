"""One meter of progress, on a terminal and in a log file."""

import sys
import time

from absl import logging

# Seconds between two lines of a log file, and between two on a terminal.
_EVERY, _REDRAW = 10.0, 0.2


def duration(seconds: float) -> str:
  """'45 s', '12 min', '3 h 05 min'."""
  if seconds < 60:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  if minutes < 60:
    return f'{minutes} min'
  return f'{minutes // 60} h {minutes % 60:02d} min'


class Meter:
  """How far something is: a line that is rewritten on a terminal.

  Args:
    what: is being done.
    total: of whatever `advance` counts.
    logged: whether it is said in a log as well, at times and at the end,
      where stderr is no terminal.
  """

  def __init__(self, what: str, total: float, logged: bool = False):
    self.what, self.total, self.done = what, total, 0.0
    self.shown = sys.stderr.isatty() and total > 0
    self.logged = logged and not self.shown
    self.start = self.last = time.monotonic()

  def advance(self, amount: float) -> None:
    self.done = min(self.done + amount, self.total)
    now = time.monotonic()
    if self.shown and now - self.last > _REDRAW:
      self._draw(now)
    ended = self.done == self.total
    if self.logged and (ended or now - self.last > _EVERY):
      self.last, rate = now, self.done / max(now - self.start, 1e-9)
      logging.info(
        '%s %s/%s · %.1f/s · %s left',
        self.what, f'{self.done:,.0f}', f'{self.total:,.0f}', rate,
        duration((self.total - self.done) / rate),
      )  # fmt: skip
    if ended:
      self.clear()

  def _draw(self, now):
    self.last, share = now, self.done / self.total
    left = (now - self.start) * (1 / max(share, 1e-3) - 1)
    marks = '#' * round(30 * share)
    line = f'{self.what} [{marks:<30}] {share:4.0%} · {duration(left)} left'
    print(f'\r{line:<78}', end='', file=sys.stderr, flush=True)

  def clear(self) -> None:
    """Wipes the line, before something else is printed."""
    if self.shown:
      print(f'\r{"":<78}\r', end='', file=sys.stderr, flush=True)
