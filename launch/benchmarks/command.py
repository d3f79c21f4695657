"""A whole training command: until its first steps, and how fast it goes on.

  python -m launch.benchmarks.command --name=cold --workdir=DIR \
      --config=configs/audioset_level3.py --config.max_steps=500 …

What is given beside `--name` is the command's. A row has the seconds from its
start until the first dispatch is done, and how many steps that has; the steps a
second from there to the last one, evaluations and checkpoints included; the
seconds in all; the first score of the results; and the first digits of the hash
of its bundle's weights, which are equal where the bits are.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from aec_jax.run.console import table

_STEP = re.compile(r'· step ([\d,]+)/([\d,]+)')


def stepped(lines: Iterable[str]) -> list[tuple[float, int]]:
  """When, and which step was done, of the lines that training says."""
  out = []
  for line in lines:
    print(line, end='', file=sys.stderr, flush=True)
    if found := _STEP.search(line):
      out.append((time.perf_counter(), int(found[1].replace(',', ''))))
  return out


def row(name: str, workdir: Path, command: Sequence[str]) -> tuple[str, ...]:
  """The cells of a command's row.

  Raises:
    SystemExit: it ends with another status than 0.
  """
  began = time.perf_counter()
  process = subprocess.Popen(
    command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True
  )
  assert process.stderr
  with process.stderr as lines:
    steps = stepped(lines)
  if process.wait() or not steps:
    raise SystemExit(f'{name}: exit status {process.returncode}')
  whole = time.perf_counter() - began
  (first, at), (last, end) = steps[0], steps[-1]
  results = json.loads((workdir / 'results.json').read_text())
  metric, score = next(iter(results['metrics'].items()))
  weights = hashlib.sha256((workdir / 'bundle/weights.npz').read_bytes())
  return (
    name, f'{first - began:.1f}', str(at),
    f'{(end - at) / (last - first):,.0f}' if end > at else '-',
    f'{whole:.1f}', f'{metric} {score}', weights.hexdigest()[:12],
  )  # fmt: skip


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--name', required=True)
  parser.add_argument('--workdir', required=True, type=Path)
  args, rest = parser.parse_known_args()
  given = f'--workdir={args.workdir}'
  cells = row(
    args.name,
    args.workdir,
    [sys.executable, '-m', 'aec_jax.main', given, *rest],
  )
  head = ('a command', 's to the first steps', 'of them',
          'steps/s from there', 's in all', 'score', 'weights')  # fmt: skip
  print(table([head, cells]))


if __name__ == '__main__':
  main()
