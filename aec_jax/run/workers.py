"""Processes that work for this one, and end with it, however it ends."""

import concurrent.futures
import multiprocessing
import os
import threading


def pool(count: int) -> concurrent.futures.ProcessPoolExecutor:
  """Some processes that import nothing but what they are given to do.

  The executor's own would wait for work for ever after this one was killed.
  """
  context = multiprocessing.get_context('spawn')
  return concurrent.futures.ProcessPoolExecutor(
    count, context, initializer=_end_with_parent
  )


def _end_with_parent() -> None:
  threading.Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
  parent = multiprocessing.parent_process()
  assert parent is not None  # it is called in a process of `pool`
  parent.join()
  os._exit(1)
