"""Fine-tuning, embedding and log-mels: this package's own steps and hosts.

  python -m launch.benchmarks.extractors [--device=gpu] [--widths=1,0.125] \
      [--dtypes=float32,bfloat16] [--parts=tuning,embedding,log_mel]

Fine-tuning is of batches of 41 clips, as many as there are classes, of
lengths as `launch.full_size` guesses them, with every augmentation but
`between_classes`, which mixup excludes: "alone" goes round one plan that is
there already, "with its plans" makes them ahead in a thread as training does,
and "plans" makes them and trains nothing; these two need TensorFlow, and are
left out where it is not installed. Embedding is that stage's own loop over 16
blocks of examples, from the host's memory and back. Log-mels are of clips of
10 s on the device. Weights and sounds are random; the peers of the networks are
in `vggish`, those of the log-mel in `audio`.

Each width is measured in float32 and, on a GPU, in bfloat16. "of the rate": the
operations of the examples that are no padding, forward and, of a step, three
times that, over the rate of large products of that type in the same run.
"""

import argparse
import itertools
from collections.abc import Iterator
from concurrent import futures
from functools import partial
from pathlib import Path
from unittest import mock

import jax
import numpy as np

from aec_jax import presets
from aec_jax.audio import FRONT_END, log_mel
from aec_jax.datasets.labels import Labels
from aec_jax.features import embeddings
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input.folds import Job
from aec_jax.models import convert, extractors
from aec_jax.run.console import table
from aec_jax.run.devices import replicate
from aec_jax.train.extractor import FineTuner
from aec_jax.train.start import of_file
from configs import dcase_l6, esc10_augmented
from launch import full_size
from launch.benchmarks import timing

CLIPS, CLASSES = 1_000, 41


def turns() -> tuple[int, int]:
  """Dispatches of a turn, and the steps of one.

  A turn of one would find its plan made in the others' turns.
  """
  return (8, 25) if timing.on_gpu() else (2, 1)


def synthetic_clips() -> ClipExamples:
  """Random log-mels of clips of guessed lengths."""
  spec, rng = FRONT_END, np.random.default_rng(0)
  seconds = full_size.seconds(CLIPS, 0)
  frames = (seconds * 100).astype(int)
  counts = np.maximum(1, frames // spec.frames)
  shape = int(counts.sum()), spec.frames, spec.bands
  none = np.full(CLIPS, '')
  return ClipExamples(
    examples=rng.standard_normal(shape, np.float32).astype(np.float16),
    offsets=np.concatenate([[0], np.cumsum(counts)]),
    ids=np.arange(CLIPS).astype(str),
    labels=Labels.of_one(np.arange(CLIPS) % CLASSES, CLASSES),
    fold=np.full(CLIPS, -1),
    verified=np.ones(CLIPS, bool),
    split=np.full(CLIPS, 'train'),
    usage=none,
    group=none,
    source=np.arange(CLIPS, dtype=np.int32),
    classes=tuple(map(str, range(CLASSES))),
    skipped=[],
    notes=[],
    fingerprint='',
    folder=Path('memory'),
  )


def config_of(width: float, dtype: str):
  """Of `dcase_l6`, with all that may be done to examples together."""
  config = dcase_l6.get_config()
  config.data_dir = 'FSDKaggle2018'
  config.extractor.init = 'random'
  config.extractor.width = width
  config.extractor.batch_norm = width < 1
  config.extractor.batch_size = CLASSES
  config.extractor.dtype = dtype
  augment = esc10_augmented.get_config().extractor.augment
  augment.speed, augment.gain = 1.25, 6.0
  config.extractor.augment = augment
  return presets.resolve(config)


def ahead(plans: Iterator) -> Iterator:
  """The same, each made by a thread while the last one is used."""
  with futures.ThreadPoolExecutor(1) as thread:
    while True:
      following = thread.submit(next, plans)
      yield following.result()


def gflop(width: float) -> float:
  """Of the products of one example, forward."""
  places = {'conv1': 96 * 64, 'conv2': 48 * 32, 'conv3': 24 * 16, 'conv4': 96}
  operations = (
    2 * np.prod(shape) * places.get(name[:5], 1)
    for name, shape in convert.shapes(width).items()
    if name.endswith('kernel')
  )
  return 1e-9 * sum(operations)


def tuner_of(width: float, dtype: str, clips: ClipExamples) -> FineTuner:
  """What fine-tunes VGGish of a width on all of the clips."""
  config, everything = config_of(width, dtype), np.arange(len(clips))
  job = Job('all', 'unbalanced', everything, everything[:CLASSES])
  return FineTuner(config, clips, job, of_file(config.extractor))


def still_plan(tuner: FineTuner, steps: int) -> dict:
  """Random clips for some steps, as `FineTuner.plans` has them."""
  rng = np.random.default_rng(0)
  clips = rng.integers(0, len(tuner.clips), (steps, CLASSES), np.int32)
  with mock.patch.object(tuner, 'plan') as plan:
    plan.spans.return_value = [{'first': clips}]
    return next(tuner.plans([(0, steps)]))


def tuning(networks, runs: int) -> str:
  """Steps a second of each width and type."""
  clips, rows, flop = synthetic_clips(), {}, {}
  dispatches, steps = turns()
  planned = timing.has('tensorflow')

  def plans_of(tuner):
    spans = ((at, at + steps) for at in itertools.count(0, steps))
    return tuner.plans(list(itertools.islice(spans, dispatches * (runs + 2))))

  def turn_of(tuner, plans):
    state = [replicate(tuner.create_state())]

    def turn():
      for _ in range(dispatches):
        state[0], measured = tuner.steps(state[0], next(plans))
      measured['loss'].block_until_ready()

    return turn

  for width, dtype in networks:
    tuner = tuner_of(width, dtype, clips)
    there = still_plan(tuner, steps)
    name = f'width {width:g}, {dtype}'
    flop[name] = 3 * gflop(width) * there['mask'].sum() / steps
    there = itertools.repeat(jax.device_put(there))
    rows[f'{name}, alone'] = turn_of(tuner, there)
    if planned:
      made = ahead(plans_of(tuner))
      rows[f'{name}, with its plans'] = turn_of(tuner, made)
  if planned:
    alone = plans_of(tuner)
    rows['plans'] = lambda: list(itertools.islice(alone, dispatches))
  taken = timing.interleaved(rows, runs)
  head = 'fine-tuning, 41 clips a step'
  return rated(head, 'steps/s', dispatches * steps, taken, flop, runs)


def rated(head, unit, count, taken, flop, runs) -> str:
  """The table of what was timed.

  Args:
    head: of the first column.
    unit: of the second.
    count: of units that a row has done.
    taken: of `timing.interleaved`, rows named 'width W, DTYPE' and on.
    flop: GFLOP of a unit, by 'width W, DTYPE'.
    runs: of measuring the rate.
  """
  rates = timing.matrix_rates(runs)
  print('\nGFLOP/s of large products:', rates)
  out = [(head, unit, 'of processor time', 'of the rate')]
  for name, seconds in taken.items():
    wall, processor = (count / s for s in seconds)
    share = '-'
    if network := next((n for n in flop if name.startswith(n)), None):
      share = f'{wall * flop[network] / rates[network.split()[-1]]:.0%}'
    out.append((name, f'{wall:,.2f}', f'{processor:,.2f}', share))
  return table(out)


def embedding(networks, runs: int) -> str:
  """Examples a second of each width and type, of the stage's own loop."""
  size = embeddings.block_size(10**6, jax.local_device_count())
  shape = size * (16 if timing.on_gpu() else 1), FRONT_END.frames
  rng, rows, flop = np.random.default_rng(0), {}, {}
  examples = rng.standard_normal((*shape, FRONT_END.bands), np.float32)
  examples = examples.astype(np.float16)
  for width, dtype in networks:
    section = config_of(width, dtype).extractor
    module = extractors.embedder(section)
    example = examples[:1].astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), example)
    name = f'width {width:g}, {dtype}'
    flop[name] = gflop(width)
    rows[name] = partial(
      lambda *what: [*embeddings.embedded(*what)], module, variables, examples
    )
  taken = timing.interleaved(rows, runs)
  return rated('embedding', 'segments/s', len(examples), taken, flop, runs)


def log_mels(networks, runs: int) -> str:
  """Seconds of sound a second."""
  del networks
  clips = 1024 if timing.on_gpu() else 64
  rng = np.random.default_rng(0)
  x = jax.device_put(rng.standard_normal((clips, 160_000), np.float32))
  turn = lambda: log_mel.log_mel(x).block_until_ready()
  (seconds,) = timing.interleaved({'ours': turn}, runs).values()
  what = f'log-mel, {clips:,} × 10 s'
  return table(
    [(what, 's of sound/s'), ('ours', f'{10 * clips / seconds[0]:,.0f}')]
  )


PARTS = {'tuning': tuning, 'embedding': embedding, 'log_mel': log_mels}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--widths', default='1,0.125', help='of VGGish')
  parser.add_argument('--dtypes', help='float32,bfloat16; CPU: float32')
  parser.add_argument('--parts', default=','.join(PARTS))
  parser.add_argument('--runs', type=int, default=5)
  timing.add_device(parser)
  args = parser.parse_args()
  timing.check_device(args.device)
  print(f'Medians of {args.runs} interleaved runs on {timing.hardware()}.')
  widths = [float(width) for width in args.widths.split(',')]
  both = 'float32,bfloat16' if timing.on_gpu() else 'float32'
  dtypes = (args.dtypes or both).split(',')
  networks = [*itertools.product(widths, dtypes)]
  for name in args.parts.split(','):
    print('\n' + PARTS[name](networks, args.runs), flush=True)


if __name__ == '__main__':
  main()
