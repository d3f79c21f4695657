"""Training steps of attention and the LSTM beside Keras and PyTorch.

  python -m launch.benchmarks.classifiers [--device=gpu] \
      [--tables=level3,attention,lstm,ensemble]

Needs `pip install torch keras`, PyTorch without Triton on a processor, where it
crashes beside TensorFlow; about six minutes on two cores. Steps of 500 examples
(10, 128), 527 classes, hidden layers of 600, Adam. Ours takes its batches from
the balanced plan over 22,160 packed examples, planning, gathering and decoding
included; "step alone" goes round one plan that is there already. The peers are
given one batch of floats that is there already, and no masks. The limit: the
operations of a step's matrix products over the rate of large products of the
same precision, measured in the same run.

On a GPU, PyTorch is there eager and compiled, and also with the batches that
the public baselines' generator makes on the host, and with the data resting on
the device, of which that generator then makes indices alone. What needs
TensorFlow, our plans and Keras, is left out where it is not installed. PyTorch
for GPUs brings Triton, which crashes beside TensorFlow: run `--who=ours` and
`--who=peers` apart there.

Then the 20 members of `dcase_l6`, trained as one program, beside 20 runs one
after another: one member's steps, twenty times.
"""

import argparse
import itertools
import os
from functools import partial

os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import flax
import jax
import numpy as np

from aec_jax import presets
from aec_jax.datasets.labels import Labels
from aec_jax.input import pieces
from aec_jax.input.batches import Features
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.run.console import table
from aec_jax.run.devices import replicate
from aec_jax.train.classifiers import Classifiers
from configs import (
  audioset_level3,
  audioset_level123,
  audioset_lstm,
  dcase_l6,
)
from launch.benchmarks import timing

CONFIGS = {
  'level3': presets.resolve(audioset_level3.get_config()),
  'attention': presets.resolve(audioset_level123.get_config()),
  'lstm': presets.resolve(audioset_lstm.get_config()),
}
BATCH, SEGMENTS, CLASSES = 500, 10, 527
UNITS, DROPOUT, RATE = 600, 0.4, 1e-3
MEMBERS = 20  # 4 extractors × 5 folds


def turns() -> tuple[int, int, int]:
  """Dispatches of a turn of ours and the steps of one; a peer's steps.

  Plans are made ahead, for some hundreds of steps: a turn of no more than those
  would find its own made in the others' turns.
  """
  return (10, 200, 50) if timing.on_gpu() else (1, 10, 2)


def synthetic_features(count: int = 22_160, seed: int = 0) -> Features:
  """Embeddings of the balanced set's size, two labels a clip."""
  rng = np.random.default_rng(seed)
  embeddings = rng.integers(0, 256, (1, count * SEGMENTS, 128), np.uint8)
  labels = np.arange(2 * count, dtype=np.int16).reshape(-1, 2) % CLASSES
  return Features(
    embeddings,
    pieces.padded(np.full(count, SEGMENTS), SEGMENTS),
    np.arange(count).astype('S'),
    Labels(np.sort(labels).ravel(), 2 * np.arange(count + 1), CLASSES),
  )


def released(config, features: Features | None = None) -> Classifiers:
  """What trains one classifier on all of the features."""
  features = features or synthetic_features()
  everything = np.arange(len(features.ids))
  return Classifiers(
    config,
    OBJECTIVES[config.objective],
    features,
    [Member('one', 0, everything, everything, everything)],
  )


def still_plan(system: Classifiers, steps: int) -> dict:
  """Random examples for some steps, as `Classifiers.plans` has them."""
  rng = np.random.default_rng(0)
  shape = 1, steps, len(system.members), system.size  # one device
  count = len(system.features.pieces)
  return {'first': rng.integers(0, count, shape, np.int32)}


def ours(config, features: Features, planned: bool):
  """(a turn's steps, the parameters' shapes) of an experiment.

  Args:
    config: resolved.
    features: of all clips.
    planned: by the sampler; else one plan is gone round.
  """
  system = released(config, features)
  state = replicate(system.create_state())
  shapes = jax.tree.map(lambda x: x.shape[1:], state.members.params)
  dispatches, steps, _ = turns()
  if planned:
    spans = ((at, at + steps) for at in itertools.count(0, steps))
    plans = system.plans(list(itertools.islice(spans, 200 * dispatches)))
  else:
    plans = itertools.repeat(jax.device_put(still_plan(system, steps)))

  def turn():
    nonlocal state
    for _ in range(dispatches):
      state, measured = system.steps(state, next(plans))
    measured['loss'].block_until_ready()

  return turn, shapes


def gflop(shapes: dict) -> float:
  """Of the matrix products of one example's step.

  Forward, gradient of the kernel and, past the first layer, of the input.
  """
  total = 0
  for path, shape in flax.traverse_util.flatten_dict(shapes).items():
    if len(shape) == 2:
      rows = 1 if path[0] == 'output' else SEGMENTS
      products = 2 if path[0] in ('hidden1', 'input') else 3
      total += products * rows * 2 * np.prod(shape)
  return total * 1e-9


def keras_peer(name: str):
  """Keras's layers, run as a TensorFlow graph."""
  import keras
  from keras import layers, ops

  levels = CONFIGS[name].model.get('levels')
  x = start = keras.Input((SEGMENTS, 128))
  if name == 'lstm':
    x = layers.LSTM(UNITS, unroll=True)(x)
    x = layers.Dropout(DROPOUT)(layers.BatchNormalization()(x))
  else:
    pooled = []
    for level in (1, 2, 3):
      x = layers.BatchNormalization()(layers.Dense(UNITS)(x))
      x = layers.Dropout(DROPOUT)(layers.ReLU()(x))
      if level in levels:
        f, v = ops.split(layers.Dense(2 * CLASSES)(x), 2, -1)
        pooled.append(ops.sum(ops.softmax(v, 1) * ops.relu(f), 1))
    x = ops.concatenate(pooled, -1)
  model = keras.Model(start, layers.Dense(CLASSES)(x))
  model.compile(
    keras.optimizers.Adam(RATE),
    keras.losses.BinaryCrossentropy(from_logits=True),
    jit_compile=False,
  )
  x, targets = map(keras.ops.convert_to_tensor, batch())

  def turn():
    for _ in range(turns()[2]):
      model.train_on_batch(x, targets)

  return turn


def ensemble(config, members: int):
  """A turn's steps of so many members, on 2,000 clips of random embeddings."""
  rng = np.random.default_rng(0)
  clips, classes, extractors = 2_000, 41, 4
  cut = pieces.cut(np.cumsum([0, *rng.integers(1, 15, clips)]), 6)
  everything = np.arange(clips)
  features = Features(
    rng.standard_normal((extractors, cut.segments.max() + 1, 128), np.float32),
    cut,
    everything.astype('S'),
    Labels.of_one(everything % classes, classes),
  )
  system = Classifiers(
    config,
    OBJECTIVES[config.objective],
    features,
    [
      Member(str(m), m % extractors, everything, everything, everything)
      for m in range(members)
    ],
  )
  state = replicate(system.create_state())
  plan = still_plan(system, turns()[2])

  def turn():
    nonlocal state
    state, measured = system.steps(state, plan)
    measured['loss'].block_until_ready()

  return turn


def time_ensembles(runs: int, who: str) -> str:
  """Both sizes of `dcase_l6`: FSDKaggle2018's, and of the synthetic set."""
  del who  # there are no peers
  rows = [(f'{MEMBERS} members, s a step', 'one program', 'in turn', 'ratio')]
  precisions = ('float32', 'bfloat16') if timing.on_gpu() else ('float32',)
  for data_dir, precision in itertools.product(
    ('FSDKaggle2018', ''), precisions
  ):
    config = dcase_l6.get_config()
    config.data_dir, config.model.dtype = data_dir, precision
    config = presets.resolve(config)
    taken = timing.interleaved(
      {count: ensemble(config, count) for count in (MEMBERS, 1)}, runs
    )
    steps = turns()[2]
    together, one = (taken[count].wall / steps for count in (MEMBERS, 1))
    rows.append(
      (
        f'hidden {config.model.hidden}, batch {config.batch_size}, {precision}',
        f'{together:.4f}',
        f'{MEMBERS * one:.4f}',
        f'{MEMBERS * one / together:.2f}',
      )
    )
  return table(rows)


def batch() -> tuple[np.ndarray, np.ndarray]:
  """Embeddings (500, 10, 128) and targets (500, 527), float32."""
  rng = np.random.default_rng(0)
  x = rng.uniform(-2, 2, (BATCH, SEGMENTS, 128)).astype(np.float32)
  return x, (rng.random((BATCH, CLASSES)) < 0.004).astype(np.float32)


def peers(name: str, features: Features) -> dict:
  """{row: a turn's steps} of the peers that are installed, at their best.

  On a processor Keras compiled by XLA is a tenth to a fifth slower than its
  TensorFlow graph, and PyTorch's compiled bfloat16 no faster than the eager
  one.
  """
  table = {}
  if timing.has('keras', 'tensorflow') and not timing.on_gpu():
    table['Keras float32'] = keras_peer(name)
  if not timing.has('torch'):
    return table
  import torch

  from launch.benchmarks import torch_classifiers

  device = 'cuda' if timing.on_gpu() else 'cpu'
  there = itertools.repeat([torch.as_tensor(a, device=device) for a in batch()])
  make = partial(
    torch_classifiers.trainer, name, steps=turns()[2], device=device
  )
  for precision in ('float32', 'bfloat16'):
    table[f'PyTorch {precision}'] = make(there, precision=precision)
    if precision == 'float32' or timing.on_gpu():
      table[f'PyTorch {precision}, compiled'] = make(
        there, precision=precision, compiled=True
      )
  if timing.on_gpu():
    embeddings = features.embeddings.reshape(-1, SEGMENTS, 128)
    data = embeddings, features.labels.multi_hot(), BATCH
    for row, batches in (
      ('usual generator', torch_classifiers.usual_batches(*data)),
      ('data resident', torch_classifiers.resident_batches(*data, device)),
    ):
      table[f'PyTorch bfloat16, {row}'] = make(batches, precision='bfloat16')
  return table


def time_steps(name: str, runs: int, who: str) -> str:
  """The table of a model of `CONFIGS`."""
  config, features, rows = CONFIGS[name], synthetic_features(), {}
  for precision in ('bfloat16', 'float32'):
    config.model.dtype = precision
    row = f'aec_jax {precision}'
    if timing.has('tensorflow') and who != 'peers':
      rows[row], _ = ours(config, features, planned=True)
    rows[f'{row}, step alone'], shapes = ours(config, features, planned=False)
  if who != 'ours':
    rows |= peers(name, features)
  taken = timing.interleaved(rows, runs)
  rates = timing.matrix_rates(runs)
  print('\nGFLOP/s of large products:', rates)
  dispatches, each, theirs = turns()
  out = [(name, 'examples/s', 'steps/s', 'limit', 'of it')]
  for row, seconds in taken.items():
    own = row.startswith('aec_jax')
    steps = (dispatches * each if own else theirs) / seconds.wall
    limit = rates['bfloat16' if 'bfloat16' in row else 'float32']
    limit /= gflop(shapes)
    speed = steps * BATCH
    out.append(
      (row, f'{speed:,.0f}', f'{steps:,.1f}', f'{limit:,.0f}',
       f'{speed / limit:.0%}')
    )  # fmt: skip
  return table(out)


TABLES = {
  'level3': partial(time_steps, 'level3'),
  'attention': partial(time_steps, 'attention'),
  'lstm': partial(time_steps, 'lstm'),
  'ensemble': time_ensembles,
}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tables', default='attention,lstm,ensemble')
  parser.add_argument('--runs', type=int, default=5)
  parser.add_argument('--who', choices=('all', 'ours', 'peers'), default='all')
  timing.add_device(parser)
  args = parser.parse_args()
  timing.check_device(args.device)
  print(f'Medians of {args.runs} interleaved runs on {timing.hardware()}.')
  for name in args.tables.split(','):
    print(TABLES[name](args.runs, args.who), flush=True)


if __name__ == '__main__':
  main()
