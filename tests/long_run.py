"""A long training, watched: memory, threads and open files must stay flat.

  python -m tests.long_run --hours=2 --workdir=DIR

Trains a small attention model on a synthetic set, with an evaluation and a
checkpoint every second or so, and notes what the process holds after each. From
the second evaluation on (the first compiles) resident memory may not grow by
3 %, and threads and open files not at all in the second half.

TensorStore (0.1.86) never frees the strings of what `KvStore.Spec.to_json`
gives, and orbax asks for that of each array, at each save. This is measured
apart, printed, and taken off: it is neither the project's, nor to be mended in
it. Nor are the workers of its pool counted, which takes another whenever all
are busy: the sixth came within 20 evaluations.
"""

import argparse
import contextlib
import csv
import gc
import os
import sys
import time
import tracemalloc
from pathlib import Path

import jax
import numpy as np

from aec_jax import presets
from aec_jax.datasets import synthetic_audioset
from aec_jax.objective import OBJECTIVES
from aec_jax.run import memory
from aec_jax.sources import Released
from aec_jax.train import loop
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.curves import Writer

COLUMNS = ('hours', 'evaluations', 'MB', 'threads', 'files')
GROWTH = 0.03
SAVES = 20
_WORKER = 'ts_pool_worker'


class Enough(Exception):
  """The time is up."""


def held() -> tuple[float, int, int]:
  """Resident memory in MB, threads and open files of this process (Linux)."""
  status = Path('/proc/self/status').read_text()
  fields = dict(line.split(':', 1) for line in status.splitlines())
  files = len(os.listdir('/proc/self/fd'))
  return int(fields['VmRSS'].split()[0]) / 1024, threads(), files


def threads() -> int:
  """Of this process, but for TensorStore's."""
  names = []
  for task in Path('/proc/self/task').iterdir():
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended
      names.append((task / 'comm').read_text().strip())
  return len(names) - names.count(_WORKER)


def lost_to_specs(state, folder: Path) -> float:
  """MB that each save of a state leaves in the specs that orbax makes."""
  of_specs = tracemalloc.Filter(True, '*/tensorstore_utils.py')
  with contextlib.closing(Checkpoints(folder)) as checkpoints:
    tracemalloc.start()
    for step in range(SAVES):
      checkpoints.save(step, state, {'evaluations': []})
    gc.collect()
    left = tracemalloc.take_snapshot().filter_traces([of_specs])
    tracemalloc.stop()
  return sum(trace.size for trace in left.traces) / SAVES / 2**20


def run(seconds: float, workdir: Path) -> tuple[list[tuple], float]:
  """Trains for so long.

  Returns:
    A row of `COLUMNS` for each evaluation, which `held.csv` in the work folder
    has from the first one on; and what `lost_to_specs` finds.
  """
  synthetic_audioset.make(str(workdir / 'data'), unbalanced=0)
  config = presets.audioset()
  config.train_splits = ('bal_train',)
  config.data_dir = str(workdir / 'data')
  config.model.hidden = (64, 64, 64)
  config.batch_size = 100
  config.max_steps = config.patience = 2**31 - 1
  config.eval_every = config.checkpoint_every = 20
  config = presets.resolve(config)
  source = Released(config, workdir)
  system = Classifiers(
    config, OBJECTIVES[config.objective], source.features(10), source.members()
  )
  evaluate = system.evaluate
  (workdir / 'held.csv').write_text(','.join(COLUMNS) + '\n')
  start, rows = time.monotonic(), []

  def evaluated(state, history):
    found = evaluate(state, history)
    passed = time.monotonic() - start
    rows.append((passed / 3600, len(rows) + 1, *held()))
    with open(workdir / 'held.csv', 'a', newline='') as file:
      csv.writer(file).writerow(rows[-1])
    if passed > seconds:
      raise Enough
    return found

  system.evaluate = evaluated
  with (
    contextlib.closing(Checkpoints(workdir / 'checkpoints')) as checkpoints,
    Writer(workdir, config) as writer,
  ):
    try:
      loop.fit(system, checkpoints, writer)
    except Enough:
      return rows, lost_to_specs(system.create_state(), workdir / 'lost')


def grown(rows: list[tuple], lost: float) -> list[str]:
  """What is higher at the end than after the first evaluations.

  Args:
    rows: as `run` gives them.
    lost: MB for each evaluation that are not held against it.

  The medians of the last tenth are held against an earlier one's, since
  checkpoints are saved by threads that come and go: of memory the first tenth
  after the first evaluation; of threads and files the first of the second half,
  for a pool takes another thread when all that it has are busy at once.
  """
  table = np.array(rows[1:], float)
  table[:, 2] -= lost * table[:, 1]
  table = table[:, 2:]
  share = max(1, len(table) // 10)
  begins = (0, len(table) // 2, len(table) // 2)
  first = [
    np.median(column[at : at + share])
    for column, at in zip(table.T, begins, strict=True)
  ]
  last = np.median(table[-share:], 0)
  allowed = (1 + GROWTH, 1, 1)
  return [
    f'{name} from {before:,.0f} to {after:,.0f}'
    for name, before, after, most in zip(
      COLUMNS[2:], first, last, allowed, strict=True
    )
    if after > before * most
  ]


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--hours', type=float, default=2)
  parser.add_argument('--workdir', type=Path, required=True)
  options = parser.parse_args()
  options.workdir.mkdir(parents=True)
  jax.config.update('jax_platforms', 'cpu')
  memory.keep_freed()  # as the command does
  rows, lost = run(3600 * options.hours, options.workdir)
  for name, row in (('first', rows[1]), ('last', rows[-1])):
    print(name, *(f'{n} {x:,.4g}' for n, x in zip(COLUMNS, row, strict=True)))
  print(f'lost by TensorStore: {1024 * lost:.1f} kB a save')
  found = grown(rows, lost)
  print(f'grown: {", ".join(found) or "nothing"}')
  return int(bool(found))


if __name__ == '__main__':
  sys.exit(main())
