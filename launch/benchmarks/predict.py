"""One sound tagged, as a whole process, beside what imports alone take.

  python -m launch.benchmarks.predict --bundle=DIR/bundle SOUND

The first run compiles and doesn't count: the next find its programs in the
user's cache folder. Imports of a usual script for such a task are beside it.
"""

import resource
import statistics
import subprocess
import sys
import time

from aec_jax import console
from launch.benchmarks import timing


def seconds_of(command: list[str]) -> timing.Seconds:
  """Of a whole process."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  start = time.perf_counter()
  subprocess.run(command, check=True, capture_output=True)
  wall = time.perf_counter() - start
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  processor = after.ru_utime + after.ru_stime
  return timing.Seconds(wall, processor - before.ru_utime - before.ru_stime)


def main():
  parser = console.BundleParser(__doc__)
  parser.add_argument('sound')
  arguments = parser.parse_args()
  options = [f'--bundle={arguments.bundle}']
  for name in ('vggish', 'pca'):
    if value := getattr(arguments, name):
      options.append(f'--{name}={value}')
  commands = {
    'aec_jax.predict': ['-m', 'aec_jax.predict', *options, arguments.sound],
    'import jax, flax.linen': ['-c', 'import jax, flax.linen'],
    'import librosa, tensorflow': [
      '-c', 'import librosa.effects, tensorflow'
    ],
  }  # fmt: skip
  times = {name: [] for name in commands}
  for run in range(6):
    for name, command in commands.items():
      seconds = seconds_of([sys.executable, *command])
      if run:
        times[name].append(seconds)
  print(f'Medians of five interleaved processes on {timing.hardware()}.\n')
  print('| | wall s | processor s |\n|---|---|---|')
  for name, pairs in times.items():
    wall, processor = map(statistics.median, zip(*pairs, strict=True))
    print(f'| {name} | {wall:.2f} | {processor:.2f} |')
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
