"""Processes that work for this one, and end with it, however it ends."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from multiprocessing import context, resource_tracker


class _Process(context.SpawnProcess):
  """One that Ctrl-C, which a terminal sends to all, does not reach.

  The process that it works for hears it, and ends it.
  """

  def start(self) -> None:
    resource_tracker.ensure_running()  # it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
      super().start()  # which inherits what is blocked
    finally:
      signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(context.SpawnContext):
  Process = _Process


def pool(count: int) -> concurrent.futures.ProcessPoolExecutor:
  """Some processes that import nothing but what they are given to do.

  The executor's own would wait for work for ever after this one was killed, and
  have a traceback each for Ctrl-C.
  """
  return concurrent.futures.ProcessPoolExecutor(
    count, _Context(), initializer=_end_with_parent
  )


def _end_with_parent() -> None:
  threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None  # it is called in a process of `pool`
  parent.join()
  os._exit(1)
