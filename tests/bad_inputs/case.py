"""A bad input, and what becomes of it."""

import dataclasses
import signal
from collections.abc import Callable

from aec_jax.errors import UserError

REFUSED, SKIPPED, READ = 'refused', 'skipped', 'read'
ANY = 'any'  # refused or read
LONGEST = 60  # seconds that one input may take


@dataclasses.dataclass(frozen=True)
class Case:
  """One bad input.

  Attributes:
    kind: 'wav', 'CSV', ….
    name: what is bad.
    wanted: `REFUSED`, `SKIPPED`, `READ` or `ANY`.
    run: tries it; returns the entries of what was skipped.
    says: what the one line, or the entry, must name.
  """

  kind: str
  name: str
  wanted: str
  run: Callable[[], list[dict]]
  says: str = ''


class Broken(AssertionError):
  """An input was not met as it should be."""


def outcome(case: Case) -> str:
  """Tries a case and returns what became of it.

  Raises:
    Broken: not what was wanted, a traceback, several lines, or no end.
  """

  def late(*_):
    raise TimeoutError(f'no end after {LONGEST} s')

  signal.signal(signal.SIGALRM, late)
  signal.alarm(LONGEST)
  try:
    skipped = case.run()
    found, lines = SKIPPED if skipped else READ, [str(e) for e in skipped]
  except UserError as error:
    found, lines = REFUSED, [str(error)]
    if '\n' in str(error) and 'newline' not in case.name:
      raise Broken(f'{case.kind}, {case.name}: {error!r}') from error
  except Exception as error:
    raise Broken(f'{case.kind}, {case.name}: {error!r}') from error
  finally:
    signal.alarm(0)
  wanted = (REFUSED, READ) if case.wanted == ANY else (case.wanted,)
  if found not in wanted or (lines and case.says not in ' '.join(lines)):
    raise Broken(f'{case.kind}, {case.name}: {found}, {lines}')
  return found
