"""How long a unit of work takes, as earlier runs have left it in the cache.

`rates.json` holds seconds a unit by what they depend on; the latest stands.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aec_jax.run import devices, files
from aec_jax.run.cache import digest
from aec_jax.run.progress import duration

_FILE = 'rates.json'
# Of fewer units most of the time went into starting: programs are compiled.
_FEWEST = 50


def leave(
  cache_dir: str | Path, what: str, about: Any, seconds: float, units: float
) -> None:
  """Remembers that so many units took so many seconds.

  Args:
    cache_dir: of the stages.
    what: was done, such as 'fine-tune'.
    about: what a unit's time depends on beside the devices, JSON-able.
    seconds, units: of what was done; too few are not remembered.
  """
  if units < _FEWEST:
    return
  path = Path(cache_dir) / _FILE
  found = _read(path) | {_key(what, about): seconds / units}
  files.write_json(path, found)


@contextlib.contextmanager
def timed(
  cache_dir: str | Path, what: str, about: Any, units: float
) -> Iterator[None]:
  """Leaves what the work inside takes; arguments as of `leave`."""
  start = time.monotonic()
  yield
  leave(cache_dir, what, about, time.monotonic() - start, units)


def expected(
  cache_dir: str | Path, what: str, about: Any, units: float
) -> float | None:
  """Seconds that so many units will take; None where that is not known."""
  if not units:
    return 0.0
  each = _read(Path(cache_dir) / _FILE).get(_key(what, about))
  return None if each is None else each * units


def words(seconds: float | None) -> str:
  """'about 5 min' or 'time unknown'."""
  return 'time unknown' if seconds is None else f'about {duration(seconds)}'


def _key(what, about) -> str:
  return f'{what}, {devices.described()}, {digest(about)}'


def _read(path) -> dict:
  """What is there; nothing where it is absent or damaged."""
  if not os.path.isfile(path):  # a pipe would be waited for
    return {}
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}
