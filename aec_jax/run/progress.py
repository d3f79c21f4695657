"""What is under way, on a terminal and in a log file.

`within` says whereabouts in the whole run something happens. What is under way
is one `Line`, which a terminal rewrites and a log has now and then; a `Meter`
counts on it.
"""

import contextlib
import logging as std_logging
import math
import shutil
import sys
import time
from collections.abc import Iterator

from absl import logging

# Seconds between two lines of a log, at least, and between two on a terminal.
_EVERY, _REDRAW = 10.0, 0.2
# What has taken long is said seldom: a line each time it took a fifth longer.
_SPARSE = 5

# Whereabouts, from the whole run inwards; how many of a kind come after this.
_place: list[str] = []
_more: list[int] = [0]
# Seconds that what comes after the stage under way takes, where that is known.
_later: list[float | None] = [None]
# Whether a terminal shows a line that is to be wiped before another is printed.
_drawn = False


def duration(seconds: float) -> str:
  """'45 s', '12 min', '3 h 05 min'."""
  if seconds < 60:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  if minutes < 60:
    return f'{minutes} min'
  return f'{minutes // 60} h {minutes % 60:02d} min'


@contextlib.contextmanager
def within(
  *words: str, more: int = 0, later: float | None = None
) -> Iterator[None]:
  """Says whereabouts all is that happens inside.

  Args:
    words: such as 'stage 2 of 6', 'fine-tuning'.
    more: how many of the same kind, and about as long, come after this one.
    later: seconds of the whole run after it, where the words are of a stage and
      that is known.
  """
  before = len(_place)
  _place.extend(words)
  _more.append(more)
  _later.append(_later[-1] if later is None else later)
  try:
    yield
  finally:
    del _place[before:]
    _more.pop()
    _later.pop()


def place(*words: str) -> str:
  """'stage 2 of 6 · fine-tuning · …' and more words."""
  return ' · '.join([*_place, *filter(None, words)])


def more() -> int:
  """How many of the innermost kind come after what is under way."""
  return _more[-1]


def later() -> float | None:
  """Seconds of the run after the stage under way; None where not known."""
  return _later[-1]


def wipe() -> None:
  """Wipes the line that a terminal shows, before something else is printed."""
  global _drawn
  if _drawn:
    print(f'\r{"":<{_width()}}\r', end='', file=sys.stderr, flush=True)
    _drawn = False


def make_way(record: std_logging.LogRecord) -> bool:
  """A filter of log records: the line gives way to each of them."""
  del record
  wipe()
  return True


def _width() -> int:
  return shutil.get_terminal_size((79, 24)).columns - 1


class Line:
  """One line: rewritten on a terminal, sparse in a log.

  Args:
    logged: whether it is said in a log, where stderr is no terminal.
  """

  def __init__(self, logged: bool = True) -> None:
    self.shown = sys.stderr.isatty()
    self._logged = logged and not self.shown
    self._start = time.monotonic()
    self._last = self._start
    # Whether a log has heard of it.
    self.said = False

  def restart(self) -> None:
    """Begins anew: what came before went into beginning."""
    self._start = self._last = time.monotonic()

  def due(self, now: float) -> bool:
    """Whether to `say` something again."""
    if self.shown:
      return now - self._last > _REDRAW
    wait = max(_EVERY, (self._last - self._start) / _SPARSE)
    return self._logged and now - self._last > wait

  def say(self, *words: str) -> None:
    """Shows words, behind those of `place`, whether it is due or not."""
    global _drawn
    self._last = time.monotonic()
    text = place(*words)
    if self.shown:
      width = _width()
      text = text if len(text) <= width else f'…{text[1 - width :]}'
      print(f'\r{text:<{width}}', end='', file=sys.stderr, flush=True)
      _drawn = True
    elif self._logged:
      self.said = True
      logging.info('%s', text)


class Meter:
  """How far something is that is counted.

  Args:
    what: is being done.
    total: of whatever `advance` counts.
    logged: whether it is said in a log as well, where it takes its time.
    unit: what the log counts in, such as 1e6 for MB of bytes.
  """

  def __init__(
    self, what: str, total: float, logged: bool = False, unit: float = 1.0
  ) -> None:
    self.what, self.total, self.done, self.unit = what, total, 0.0, unit
    self._line = Line(logged)
    self.shown = self._line.shown and total > 0
    # Whether anybody hears of it.
    self.told = total > 0 and (self._line.shown or logged)
    # When how much was done first: what came before went into beginning.
    self._first: tuple[float, float] | None = None

  def advance(self, amount: float) -> None:
    """Counts on."""
    self.done = min(self.done + amount, self.total)
    now = time.monotonic()
    first = self._first is None
    self._first = self._first or (now, self.done)
    ended = self.done == self.total
    if self.total and (self._line.due(now) or (ended and self._line.said)):
      self._line.say(self._words(now))
    if first:
      self._line.restart()
    if ended:
      self.clear()

  def _words(self, now) -> str:
    share = self.done / self.total
    left = self._left(now)
    after = '' if math.isnan(left) else f' · {duration(left)} left'
    if self.shown:
      marks = '#' * round(30 * share)
      return f'{self.what} [{marks:<30}] {share:4.0%}{after}'
    done, total = self.done / self.unit, self.total / self.unit
    return f'{self.what} {done:,.0f}/{total:,.0f}{after}'

  def _left(self, now) -> float:
    """Seconds, by the pace since the first was done; NaN before that."""
    assert self._first is not None
    start, before = self._first
    if self.done <= before or now <= start:
      return math.nan
    return (self.total - self.done) * (now - start) / (self.done - before)

  def clear(self) -> None:
    """Wipes the line, before something else is printed."""
    if self.shown:
      wipe()
