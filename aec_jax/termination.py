"""SIGTERM and Ctrl-C: training saves before it exits, other stages take back.

A stopped command ends with 128 and the signal's number: 143 after SIGTERM.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator

import jax
from absl import logging

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def handle() -> None:
  """Makes the signals end this process in order, undoing what is unfinished."""
  for number in _SIGNALS:
    signal.signal(number, _exit)


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
  """Holds the signals back, if `handle` was called; exits at the end.

  Of several hosts they end each at once: it could not go on in step with the
  others until all have saved.

  Yields:
    The signals that have come, to be looked at between two steps.
  """
  came = []
  handled = signal.getsignal(signal.SIGTERM) is _exit
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
    _exit(came[0], None)


def _exit(number, _frame):
  logging.info(
    'stopped by %s: the same command goes on from here',
    signal.Signals(number).name,
  )
  sys.exit(128 + number)
