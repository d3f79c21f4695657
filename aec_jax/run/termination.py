"""SIGTERM, SIGHUP, Ctrl-C: training saves before it ends, and others take back.

A stopped command ends with 128 and the signal's number: 143 after SIGTERM.
Python hears signals when its main thread is back from whatever it waits for.
So what may take long in there is done by another thread while the main one
listens, and a third ends the process if all the same nothing has come of it.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NoReturn, TypeVar

import jax

# A terminal that is closed sends SIGHUP; `nohup` has it ignored.
_HEARD = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
_SIGNALS = (signal.SIGTERM, signal.SIGINT, *[signal.SIGHUP] * _HEARD)
_AGAIN = 2.0  # seconds, enough to undo what is unfinished
_AT_MOST = 8.0  # seconds from the first signal to the end of the process
_LOOK = 0.1  # seconds between two looks for a signal

_Result = TypeVar('_Result')


class Stopped(SystemExit):
  """A signal has come; what is unfinished is undone on its way up."""

  code: int


class Interrupted(Exception):
  """A signal has come while `Held.wait` waited."""


class Held(list[int]):
  """The signals that have come, to be looked at between two steps.

  Attributes:
    handled: whether they are held at all.
  """

  handled: bool = True

  def wait(self, call: Callable[[], _Result], patience: float = 0.0) -> _Result:
    """What a call returns that has no effects, waited for with open ears.

    Args:
      call: to make.
      patience: seconds that it has after a signal.

    Raises:
      Interrupted: a signal comes first; the call goes on, to nobody's use.
    """
    if not self.handled:
      return call()
    done = begin(call)
    while not self:
      if futures.wait([done], _LOOK).done:
        return done.result()
    if futures.wait([done], patience).done:
      return done.result()
    raise Interrupted


def begin(call: Callable[[], _Result]) -> 'futures.Future[_Result]':
  """Makes a call in a thread; what it returns is the future's result."""
  done: futures.Future = futures.Future()
  # Not of a pool, for whose threads Python waits at its end.
  threading.Thread(target=_call, args=(call, done), daemon=True).start()
  return done


def _call(call, done) -> None:
  try:
    done.set_result(call())
  except BaseException as error:  # to be raised where it is waited for
    done.set_exception(error)


def handle() -> None:
  """Makes the signals raise `Stopped`."""
  for number in _SIGNALS:
    signal.signal(number, _stop)


def run(command: Callable[[], int]) -> NoReturn:
  """Ends the process with a command's exit status, and in order by a signal."""
  handle()
  _watch()
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
def held() -> Iterator[Held]:
  """Holds the signals back, if they are handled; raises `Stopped` at the end.

  Of several hosts they end each at once: it could not go on in step with the
  others until all have saved.

  Yields:
    The signals that have come, to be looked at between two steps.
  """
  came = Held()
  handled = signal.getsignal(signal.SIGTERM) is _stop
  if not handled or jax.process_count() > 1:
    came.handled = False
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


def _watch() -> None:
  """Has the process end in time after a signal that its main thread may miss.

  What it has saved until then is whole, as after a SIGKILL.
  """
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  # Written to at once, whatever the main thread is doing.
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  threading.Thread(target=_end_in_time, args=(reader,), daemon=True).start()


def _end_in_time(reader) -> None:
  number = 0
  while number not in _SIGNALS:
    number = os.read(reader, 1)[0]
  time.sleep(_AT_MOST)
  if signal.getsignal(number) is signal.SIG_IGN:  # it ends by itself
    return
  name = signal.Signals(number).name
  os.write(
    2, f'ended after {name}, which could not be obeyed in time\n'.encode()
  )
  os._exit(128 + number)


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
