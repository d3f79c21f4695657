"""Kills a sweep on purpose, and sees that its run is neither lost nor doubled.

  python -m tests.sweep_faults --workdir=DIR

After SIGKILL the run goes on, and the next sweep waits for it; after SIGHUP it
is ended, and the next sweep starts it again.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aec_jax.datasets import synthetic_audioset
from aec_jax.run import cache
from aec_jax.run.console import table
from tests import faults

NAME = 'audioset_dnn1'


def start(folder: Path, data: Path) -> subprocess.Popen:
  """A sweep of one tiny experiment."""
  listed = folder / 'one.py'
  folder.mkdir(exist_ok=True)
  listed.write_text(f'EXPERIMENTS = ({NAME!r},)\n')
  fields = {**faults.TINY, 'data_dir': data, 'train_splits': '("bal_train",)'}
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'launch.sweep', f'--sweep={listed}'),
      f'--workdir={folder}',
      *(f'--config.{k}={v}' for k, v in fields.items()),
    ],
    cwd=faults.ROOT,
    env=dict(os.environ, JAX_PLATFORMS='cpu'),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def killed(folder: Path, data: Path, number: signal.Signals) -> str:
  """Kills a sweep when its run has begun, and starts it again; the loss."""
  work = folder / NAME
  first = start(folder, data)
  while not (user := cache.user_of(work)):
    assert first.poll() is None, first.communicate()
    time.sleep(0.1)
  first.send_signal(number)
  first.communicate()
  goes_on = cache.user_of(work)
  second = start(folder, data)
  _, err = second.communicate()
  loss = []
  if bool(goes_on) != (number == signal.SIGKILL):
    loss.append(f'after {number.name} in use by {goes_on or "nobody"}')
  if goes_on and f'{NAME} goes on as {user}' not in err:
    loss.append(f'not adopted: {err[-300:]}')
  if second.returncode:
    loss.append(f'exit status {second.returncode}: {err[-300:]}')
  elif 'metrics' not in json.loads((work / 'results.json').read_text()):
    loss.append('no results')
  return '; '.join(loss)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', type=Path, required=True)
  folder = parser.parse_args().workdir
  folder.mkdir(parents=True)
  data = folder / 'data'
  synthetic_audioset.make(
    str(data), classes=5, train=90, unbalanced=0, evaluation=70
  )
  rows, lost = [('signal', 'survived')], 0
  for number in (signal.SIGKILL, signal.SIGHUP):
    loss = killed(folder / number.name, data, number)
    lost += bool(loss)
    rows.append((number.name, loss or 'yes'))
  print(table(rows))
  print(f'kills of a sweep: 2 · lost: {lost}')
  return int(bool(lost))


if __name__ == '__main__':
  sys.exit(main())
