"""Whole commands: seconds to the first training step and to the first tag.

  python -m launch.benchmarks.startup --data_dir=AUDIOSET --bundle=DIR/bundle \
      [--audioset=DIR/bundle --vggish=vggish.npz --pca=vggish_pca_params.npz] \
      SOUND

Every command is a process of its own; its first run compiles and doesn't
count, the next find its programs in a cache folder. `--bundle` is of an
experiment on clips. With a bundle of an AudioSet experiment, VGGish and its PCA
there is a row of the same work as the peer's (`torch_vggish`, in float32 and in
bfloat16, which needs `pip install torch`). Memory is the largest resident size.
Packages are to be compiled to bytecode, as pip leaves them.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from aec_jax.run.console import table
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
  said = []
  with process.stderr as lines:
    for line in lines:
      said.append(line)
      if until and until in line:
        process.kill()
        break
  _, process.returncode, usage = os.wait4(process.pid, 0)
  if process.returncode != (signal.SIGKILL if until else 0):
    raise SystemExit(b''.join(said).decode())
  return time.perf_counter() - start, usage.ru_maxrss / 1024


def commands(args, folder: str) -> dict[str, list[str]]:
  """{name: arguments}, in which {i} is the run's number."""
  train = [
    '-m', 'aec_jax.main', '--config=configs/audioset_level3.py',
    f'--workdir={folder}/run{{i}}', f'--cache_dir={folder}/cache',
    f'--config.data_dir={args.data_dir}', '--config.train_splits=bal_train',
    '--config.max_steps=1',
  ]  # fmt: skip
  predict = ['-m', 'aec_jax.predict', args.sound]
  found = {
    'first training step, `audioset_level3`': train,
    'tag 10 s': [*predict, f'--bundle={args.bundle}'],
  }
  if args.audioset:
    peer = [
      '-m', 'launch.benchmarks.torch_vggish', args.vggish, args.pca, args.sound
    ]  # fmt: skip
    found |= {
      'tag 10 s, VGGish of full width': [
        *predict, f'--bundle={args.audioset}', f'--vggish={args.vggish}',
        f'--pca={args.pca}',
      ],
      'embed 10 s, PyTorch, full width': peer,
      'embed 10 s, PyTorch, full width, bfloat16': [*peer, '--dtype=bfloat16'],
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
  parser.add_argument('--vggish')
  parser.add_argument('--pca')
  parser.add_argument('sound')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    os.environ['XDG_CACHE_HOME'] = folder
    rows = commands(args, folder)
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
