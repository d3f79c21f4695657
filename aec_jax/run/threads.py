"""Work for several threads, whose results are wanted in order."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import TypeVar

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def map_in_order(
  function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int
) -> Iterator[_Result]:
  """`map` in threads, a few items ahead of the consumer, for memory's sake.

  Where the consumer stops, what has not begun is never done.
  """
  with futures.ThreadPoolExecutor(threads) as pool:
    pending: collections.deque[futures.Future] = collections.deque()
    try:
      for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > 2 * threads:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:
      for future in pending:
        future.cancel()
