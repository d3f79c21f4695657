"""Planned examples a second at AudioSet's size: 2 M clips, 527 classes.

  python -m launch.benchmarks.plan

The peer walks its classes one example at a time in Python, which is how the
sampler of the public AudioSet baselines works, stated here in our own words.
"""

import argparse
import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import numpy as np

from aec_jax.input.plan import Groups, Plan
from aec_jax.run.console import table
from launch.benchmarks import timing

CLIPS, CLASSES, LABELS, BATCH, STEPS = 2_084_320, 527, 4_200_000, 500, 1000


def groups(seed: int = 0) -> Groups:
  """Classes whose sizes follow Zipf's law, 2 labels a clip."""
  rng = np.random.default_rng(seed)
  share = 1 / np.arange(1, CLASSES + 1)
  sizes = np.maximum(59, LABELS * share / share.sum()).astype(np.int64)
  members = rng.integers(0, CLIPS, sizes.sum())
  return Groups.of_classes(members, np.concatenate([[0], np.cumsum(sizes)]))


def run_plan(plan: Plan):
  spans = [(start, start + 20) for start in range(0, STEPS, 20)]
  for _ in plan.dataset(spans):
    pass


def run_generator(of: Groups):
  """STEPS / 10 batches of a class-by-class generator."""
  rng = np.random.default_rng(0)
  lists = [
    rng.permutation(of.members[a:b])
    for a, b in zip(of.offsets[:-1], of.offsets[1:], strict=True)
  ]
  pointers, order = [0] * len(lists), []
  for _ in range(STEPS // 10):
    batch = []
    while len(batch) < BATCH:
      if not order:
        order = list(rng.permutation(len(lists)))
      k = order.pop()
      batch.append(lists[k][pointers[k]])
      pointers[k] += 1
      if pointers[k] == len(lists[k]):
        pointers[k] = 0
        rng.shuffle(lists[k])
    np.array(batch)


def main():
  argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
  of = groups()
  rows = {
    'plan': (BATCH * STEPS, lambda: run_plan(Plan(of, BATCH, 0))),
    'plan with mixup': (
      BATCH * STEPS,
      lambda: run_plan(Plan(of, BATCH, 0, mixup_alpha=0.2)),
    ),
    'generator in Python': (BATCH * STEPS // 10, lambda: run_generator(of)),
  }
  times = timing.interleaved({name: f for name, (_, f) in rows.items()})
  print(
    f'Balanced batches of {BATCH} from {CLIPS:,} clips in {CLASSES} classes.'
    f'\nMedians of five interleaved runs on {timing.hardware()}.\n'
  )
  out = [('balanced batches', 'examples/s', 'per processor second')]
  for name, seconds in times.items():
    wall, processor = (rows[name][0] / s for s in seconds)
    out.append((name, f'{wall:,.0f}', f'{processor:,.0f}'))
  print(table(out))


if __name__ == '__main__':
  main()
