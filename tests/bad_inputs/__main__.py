"""Hundreds of bad inputs, made here, and what becomes of each.

  python -m tests.bad_inputs [--fuzz_minutes=10]

An input is refused, with one line that names it; or skipped, and then counted
and named; or read, if it is only odd. `every_kind.KINDS` makes them all; the
suite tries each of them in process, and some through the real command line.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from absl import logging

from aec_jax.run import console
from tests.bad_inputs import every_kind, fuzz
from tests.bad_inputs.forging import make_bundle


def main() -> int:
  parser = argparse.ArgumentParser(
    prog='python -m tests.bad_inputs', description=__doc__.splitlines()[0]
  )
  parser.add_argument('--fuzz_minutes', type=float, default=0)
  options = parser.parse_args()
  console.configure_logging()
  logging.set_verbosity(logging.ERROR)  # else it tells of all that is skipped
  total, wrong = {}, []
  for kind in every_kind.KINDS:
    with tempfile.TemporaryDirectory() as folder:
      counts, more = every_kind.try_all(kind(Path(folder)))
    print(f'{kind.__name__.removesuffix("_cases")}: {counts}', flush=True)
    wrong += more
    total = {k: total.get(k, 0) + counts.get(k, 0) for k in total | counts}
  for line in wrong:
    print(f'wrong: {line}')
  print(
    f'tried: {sum(total.values()) + len(wrong)} · {total} · wrong: {len(wrong)}'
  )
  if options.fuzz_minutes:
    with tempfile.TemporaryDirectory() as folder:
      whole = make_bundle(Path(folder) / 'run')
      tried = fuzz.run(60 * options.fuzz_minutes, Path(folder), whole)
    print(f'fuzzed: {tried} · wrong: 0')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main())
