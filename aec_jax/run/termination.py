"""SIGTERM and Ctrl-C: training saves before it exits, other stages take back.

A stopped command ends with 128 and the signal's number: 143 after SIGTERM.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

import jax

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_AGAIN = 2.0  # seconds, enough to undo what is unfinished


class Stopped(SystemExit):
  """A signal has come; what is unfinished is undone on its way up."""

  code: int


def handle() -> None:
  """Makes the signals raise `Stopped`."""
  for number in _SIGNALS:
    signal.signal(number, _stop)


def run(command: Callable[[], int]) -> NoReturn:
  """Ends the process with a command's exit status, and in order by a signal."""
  handle()
  try:
    sys.exit(command())
  except Stopped as stopped:
    # Python may crash in clearing up while threads of XLA are at work.
    os._exit(stopped.code)
  except Exception:
    if not jax.distributed.is_initialized():
      raise
    # In order, it would first wait minutes for hosts that wait for it.
    traceback.print_exc()
    os._exit(1)
  finally:
    for number in _SIGNALS:  # there is nothing left to stop
      signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
  """Holds the signals back, if they are handled; raises `Stopped` at the end.

  Of several hosts they end each at once: it could not go on in step with the
  others until all have saved.

  Yields:
    The signals that have come, to be looked at between two steps.
  """
  came: list[int] = []
  handled = signal.getsignal(signal.SIGTERM) is _stop
  if not handled or jax.process_count() > 1:
    yield came
    return
  for number in _SIGNALS:
    signal.signal(number, lambda number, _: came.append(number))
  try:
    yield came
  finally:
    handle()
  if came:
    _stop(came[0], None)


def _stop(number, _frame):
  name = signal.Signals(number).name
  # Past the buffers, of which one may be in the middle of a write.
  os.write(2, f'stopped by {name}: the same command goes on\n'.encode())
  _end(128 + number)


def _end(code):
  """Raises `Stopped`, now and until the process has ended.

  It is lost where Python can't raise: in a destructor, or in what the garbage
  collector calls.
  """
  signal.signal(signal.SIGALRM, lambda *_: _end(code))
  signal.setitimer(signal.ITIMER_REAL, _AGAIN)
  raise Stopped(code)
