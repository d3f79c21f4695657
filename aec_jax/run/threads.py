"""Work for several threads, whose results are wanted in order."""

import collections
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def over_files(
  function: Callable[[_Item], _Result], paths: Sequence[_Item]
) -> list[_Result]:
  """`map` of something short over many files.

  In threads, since on a network disk the wait for each file is what takes the
  time; some files together, since on a local one that is handing them over.
  """
  size = max(1, min(32, len(paths) // 32))
  parts = [paths[i : i + size] for i in range(0, len(paths), size)]
  with futures.ThreadPoolExecutor(8) as pool:
    found = pool.map(lambda part: [function(path) for path in part], parts)
    return [result for some in found for result in some]
