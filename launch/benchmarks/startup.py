"""Whole commands: seconds to the first training step and to the first tag.

  python -m launch.benchmarks.startup --data_dir=AUDIOSET --bundle=DIR/bundle \
      [--audioset=DIR/bundle --pca=vggish_pca_params.npz] SOUND

Every command is a process of its own; its first run compiles and doesn't
count, the next find its programs in a cache folder. `--bundle` is of an
experiment on clips. `--audioset` and `--pca` add a row of the same work as the
peer's, VGGish at full width with random weights (`torch_vggish`, which needs
`pip install torch`). Memory is the largest resident size, of Linux.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from aec_jax.console import table
from aec_jax.models import convert
from launch.benchmarks import timing

RUNS = 5
# The line that training says after its first step, and before it evaluates.
FIRST_STEP = b'step 1/1 '


def seconds_of(command: list[str], until: bytes = b'') -> tuple[float, float]:
  """Seconds of a process, or those till it says `until`; and its peak in MB."""
  start = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, *command],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )
  said = b''
  for line in process.stderr:
    said += line
    if until and until in line:
      seconds = time.perf_counter() - start
      process.send_signal(signal.SIGKILL)
      break
  _, status, usage = os.wait4(process.pid, 0)
  if not until:
    seconds = time.perf_counter() - start
    if status:
      raise SystemExit(said.decode())
  elif until not in said:
    raise SystemExit(said.decode())
  return seconds, usage.ru_maxrss / 1024


def commands(args, folder: Path) -> dict[str, list[str]]:
  """{name: arguments}, in which {i} is the run's number."""
  weights, code = str(folder / 'vggish.npz'), '-m'
  train = [
    code, 'aec_jax.main', '--config=configs/audioset_level3.py',
    f'--workdir={folder}/run{{i}}', f'--cache_dir={folder}/cache',
    f'--config.data_dir={args.data_dir}', '--config.train_splits=bal_train',
    '--config.max_steps=1',
  ]  # fmt: skip
  predict = [code, 'aec_jax.predict']
  found = {
    'first training step, `audioset_level3`': train,
    'tag 10 s': [*predict, f'--bundle={args.bundle}', args.sound],
  }
  if args.audioset:
    rng = np.random.default_rng(0)
    convert.save(
      weights,
      {
        name: 0.02 * rng.standard_normal(shape, np.float32)
        for name, shape in convert.shapes().items()
      },
    )
    found |= {
      'tag 10 s, VGGish of full width': [
        *predict, f'--bundle={args.audioset}', f'--vggish={weights}',
        f'--pca={args.pca}', args.sound,
      ],
      'embed 10 s, PyTorch, full width': [
        code, 'launch.benchmarks.torch_vggish', weights, args.pca, args.sound,
      ],
    }  # fmt: skip
  imports = ('jax', 'flax.linen', 'tensorflow', 'torch', 'librosa.effects')
  return found | {
    f'import {name}': ['-c', f'import {name}'] for name in imports
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--bundle', required=True)
  parser.add_argument('--audioset')
  parser.add_argument('--pca')
  parser.add_argument('sound')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    os.environ['XDG_CACHE_HOME'] = folder
    rows = commands(args, Path(folder))
    measured = {name: [] for name in rows}
    for run in range(RUNS + 1):
      for name, command in rows.items():
        until = FIRST_STEP if 'step' in name else b''
        numbered = [part.replace('{i}', str(run)) for part in command]
        found = seconds_of(numbered, until)
        if run:
          measured[name].append(found)
  print(f'Medians of {RUNS} interleaved processes on {timing.hardware()}.\n')
  out = [('whole process', 's', 'MB')]
  for name, pairs in measured.items():
    seconds, megabytes = map(statistics.median, zip(*pairs, strict=True))
    out.append((name, f'{seconds:.2f}', f'{megabytes:.0f}'))
  print(table(out))


if __name__ == '__main__':
  main()
