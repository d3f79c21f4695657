"""Whether a run is saved and gone in time after SIGTERM, whatever it waits for.

  python -m tests.sigterms --signals=100 --workdir=DIR

Tiny experiments of both tasks, in turn, each get SIGTERM at a random moment,
again and again until they finish, and must then have the results of an unbroken
run. A run must have ended 10 s after the signal.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from aec_jax.run.console import table
from tests import faults

LIMIT = 10.0  # seconds


def terminated(
  experiment: faults.Experiment, run: Path, wait: float
) -> tuple[float, str] | None:
  """Starts a run and sends it SIGTERM after a wait.

  Returns:
    The seconds it took to end and what went wrong, '' if nothing; None where it
    had finished before.
  """
  process = experiment.start(run)
  try:
    process.wait(wait)
  except subprocess.TimeoutExpired:
    process.send_signal(signal.SIGTERM)
  sent = time.monotonic()
  try:
    process.wait(3 * LIMIT)
  except subprocess.TimeoutExpired:
    process.kill()
  _, err = process.communicate()
  took = time.monotonic() - sent
  if process.returncode == 0:
    return None
  # Python itself dies of a signal that comes before ours is set up.
  if process.returncode not in (143, -signal.SIGTERM):
    return took, f'exit status {process.returncode}: {err[-300:]}'
  return took, 'too late' if took > LIMIT else ''


def tried(
  found: list[faults.Experiment], folder: Path, signals: int, seed: int
) -> Iterator[tuple[str, str, float, str]]:
  """Yields (task, what, seconds to the end, what went wrong) of each try."""
  draw = random.Random(seed)
  runs = {one.task: one.fresh(folder / f'run-{one.task}') for one in found}
  for i in range(signals):
    one = found[i % len(found)]
    ended = terminated(one, runs[one.task], draw.uniform(0, one.seconds))
    if ended:
      yield one.task, 'SIGTERM', *ended
    else:
      loss = faults.compare(one, runs[one.task])
      yield one.task, 'the end', 0.0, loss
      runs[one.task] = one.fresh(runs[one.task])
  for one in found:
    yield one.task, 'the end', 0.0, faults.compare(one, runs[one.task])


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--signals', type=int, default=100)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--tasks', default='audioset,dcase')
  parser.add_argument('--workdir', type=Path, required=True)
  options = parser.parse_args()
  options.workdir.mkdir(parents=True)
  found = faults.experiments(options.workdir, options.tasks.split(','))
  rows = []
  for row in tried(found, options.workdir, options.signals, options.seed):
    rows.append(row)
    print(*row, flush=True)
  heading = ('task', 'signals', 'finished', 'longest', 'bad')
  summary = []
  for task in sorted({row[0] for row in rows}):
    mine = [row for row in rows if row[0] == task]
    took = [row[2] for row in mine if row[1] == 'SIGTERM']
    bad = sum(bool(row[3]) for row in mine)
    ended = len(took), len(mine) - len(took), f'{max(took, default=0):.1f} s'
    summary.append((task, *map(str, ended), str(bad)))
  print(table([heading, *summary]))
  return int(any(row[3] for row in rows))


if __name__ == '__main__':
  sys.exit(main())
