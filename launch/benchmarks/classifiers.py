"""Training steps of 3-level attention and the LSTM beside Keras and PyTorch.

  python -m launch.benchmarks.classifiers [--tables=attention,lstm,ensemble]

Needs `pip install torch keras`, PyTorch without Triton, which crashes beside
TensorFlow; about six minutes on two cores. Steps of 500 examples (10, 128), 527
classes, hidden layers of 600, Adam. Ours takes its batches from the balanced
plan over 22,160 packed examples, planning, gathering and decoding included. The
peers are given one batch of floats that is there already, and no masks. The
limit: the operations of a step's matrix products over the rate of large
products of the same precision, measured in the same run.

Then the 20 members of `dcase_l6`, trained as one program, beside 20 runs one
after another: one member's steps, twenty times.
"""

import argparse
import os
from functools import partial

os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import flax
import jax
import numpy as np
import torch
from torch import nn

from aec_jax import presets
from aec_jax.datasets.labels import Labels
from aec_jax.input import pieces
from aec_jax.input.batches import Features
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.run.console import table
from aec_jax.train.classifiers import Classifiers
from aec_jax.train.step import replicate
from configs import audioset_level123, audioset_lstm, dcase_l6
from launch.benchmarks import timing

CONFIGS = {
  'attention': presets.resolve(audioset_level123.get_config()),
  'lstm': presets.resolve(audioset_lstm.get_config()),
}
BATCH, SEGMENTS, CLASSES = 500, 10, 527
UNITS, DROPOUT, RATE = 600, 0.4, 1e-3
MEMBERS = 20  # 4 extractors × 5 folds
# Steps of one turn. Ours are those of one dispatch.
OURS, THEIRS = CONFIGS['lstm'].steps_per_dispatch, 2


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


def ours(config, features: Features):
  """(a turn's steps, the parameters' shapes) of an experiment."""
  everything = np.arange(len(features.ids))
  system = Classifiers(
    config,
    OBJECTIVES[config.objective],
    features,
    [Member('one', 0, everything, everything, everything)],
  )
  state = replicate(system.create_state())
  shapes = jax.tree.map(lambda x: x.shape[1:], state.members.params)

  def turn():
    nonlocal state
    start = int(state.step)
    for plan in system.plans([(start, start + OURS)]):
      state, losses = system.steps(state, plan)
      losses.block_until_ready()

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


def torch_peer(name: str, precision: str, compiled: bool):
  """PyTorch's layers, statement for statement what `name` is here."""

  class Hidden(nn.Module):
    def __init__(self, size):
      super().__init__()
      self.dense, self.norm = nn.Linear(size, UNITS), nn.BatchNorm1d(UNITS)
      self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):  # (row, unit)
      return self.dropout(torch.relu(self.norm(self.dense(x))))

  class Attention(nn.Module):
    def __init__(self):
      super().__init__()
      sizes = (128, UNITS, UNITS)
      self.hidden = nn.ModuleList(Hidden(size) for size in sizes)
      self.fv = nn.ModuleList(nn.Linear(UNITS, 2 * CLASSES) for _ in sizes)
      self.output = nn.Linear(len(sizes) * CLASSES, CLASSES)

    def forward(self, x):  # (example, segment, feature)
      pooled, shape = [], x.shape[:2]
      x = x.flatten(0, 1)
      for hidden, dense in zip(self.hidden, self.fv, strict=True):
        x = hidden(x)
        f, v = dense(x).unflatten(0, shape).chunk(2, -1)
        pooled.append((v.softmax(1) * f.relu()).sum(1))
      return self.output(torch.cat(pooled, -1))

  class LSTM(nn.Module):
    def __init__(self):
      super().__init__()
      self.lstm = nn.LSTM(128, UNITS, batch_first=True)
      self.norm, self.dropout = nn.BatchNorm1d(UNITS), nn.Dropout(DROPOUT)
      self.output = nn.Linear(UNITS, CLASSES)

    def forward(self, x):
      x = self.lstm(x)[0][:, -1]
      return self.output(self.dropout(self.norm(x)))

  module = {'attention': Attention, 'lstm': LSTM}[name]()
  apply = torch.compile(module) if compiled else module
  optimizer = torch.optim.Adam(module.parameters(), RATE)
  x, targets = map(torch.from_numpy, batch())

  def turn():
    for _ in range(THEIRS):
      optimizer.zero_grad()
      with torch.autocast('cpu', torch.bfloat16, precision == 'bfloat16'):
        logits = apply(x)
      loss = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets
      )
      loss.backward()
      optimizer.step()

  return turn


def keras_peer(name: str):
  """Keras's layers, run as a TensorFlow graph."""
  import keras
  from keras import layers, ops

  x = start = keras.Input((SEGMENTS, 128))
  if name == 'lstm':
    x = layers.LSTM(UNITS, unroll=True)(x)
    x = layers.Dropout(DROPOUT)(layers.BatchNormalization()(x))
  else:
    pooled = []
    for _ in range(3):
      x = layers.BatchNormalization()(layers.Dense(UNITS)(x))
      x = layers.Dropout(DROPOUT)(layers.ReLU()(x))
      f, v = ops.split(layers.Dense(2 * CLASSES)(x), 2, -1)
      pooled.append(ops.sum(ops.softmax(v, 1) * ops.relu(f), 1))
    x = layers.Concatenate()(pooled)
  model = keras.Model(start, layers.Dense(CLASSES)(x))
  model.compile(
    keras.optimizers.Adam(RATE),
    keras.losses.BinaryCrossentropy(from_logits=True),
    jit_compile=False,
  )
  x, targets = map(keras.ops.convert_to_tensor, batch())

  def turn():
    for _ in range(THEIRS):
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
  shape = 1, THEIRS, members, config.batch_size  # one device
  plan = {'first': rng.integers(0, len(cut), shape, np.int32)}

  def turn():
    nonlocal state
    state, losses = system.steps(state, plan)
    losses.block_until_ready()

  return turn


def time_ensembles(runs: int) -> str:
  """Both sizes of `dcase_l6`: FSDKaggle2018's, and of the synthetic set."""
  rows = [(f'{MEMBERS} members, s a step', 'one program', 'in turn', 'ratio')]
  for data_dir in ('FSDKaggle2018', ''):
    config = dcase_l6.get_config()
    config.data_dir = data_dir
    config = presets.resolve(config)
    taken = timing.interleaved(
      {count: ensemble(config, count) for count in (MEMBERS, 1)}, runs
    )
    together, one = (taken[count].wall / THEIRS for count in (MEMBERS, 1))
    rows.append(
      (
        f'hidden {config.model.hidden}, batch {config.batch_size}',
        f'{together:.3f}',
        f'{MEMBERS * one:.3f}',
        f'{MEMBERS * one / together:.2f}',
      )
    )
  return table(rows)


def batch() -> tuple[np.ndarray, np.ndarray]:
  """Embeddings (500, 10, 128) and targets (500, 527), float32."""
  rng = np.random.default_rng(0)
  x = rng.uniform(-2, 2, (BATCH, SEGMENTS, 128)).astype(np.float32)
  return x, (rng.random((BATCH, CLASSES)) < 0.004).astype(np.float32)


def peers(name: str) -> dict:
  """{row: a turn's steps} of the peers at their best.

  Keras compiled by XLA is a tenth to a fifth slower than its TensorFlow graph,
  and PyTorch's compiled bfloat16 no faster than the eager one.
  """
  return {
    'Keras float32': keras_peer(name),
    'PyTorch float32': torch_peer(name, 'float32', compiled=False),
    'PyTorch float32, compiled': torch_peer(name, 'float32', compiled=True),
    'PyTorch bfloat16': torch_peer(name, 'bfloat16', compiled=False),
  }


def time_steps(name: str, runs: int) -> str:
  """The table of a model of `CONFIGS`."""
  config, features, turns = CONFIGS[name], synthetic_features(), {}
  for precision in ('bfloat16', 'float32'):
    config.model.dtype = precision
    turns[f'aec_jax {precision}'], shapes = ours(config, features)
  taken = timing.interleaved(turns | peers(name), runs)
  rates = timing.matrix_rates(runs)
  print('\nGFLOP/s of large products:', rates)
  rows = [(name, 'examples/s', 'limit', 'of it')]
  for row, seconds in taken.items():
    steps = OURS if row.startswith('aec_jax') else THEIRS
    speed = steps * BATCH / seconds.wall
    limit = rates['bfloat16' if 'bfloat16' in row else 'float32']
    limit /= gflop(shapes)
    rows.append((row, f'{speed:,.0f}', f'{limit:,.0f}', f'{speed / limit:.0%}'))
  return table(rows)


TABLES = {
  'attention': partial(time_steps, 'attention'),
  'lstm': partial(time_steps, 'lstm'),
  'ensemble': time_ensembles,
}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--tables', default=','.join(TABLES))
  parser.add_argument('--runs', type=int, default=5)
  args = parser.parse_args()
  print(f'Medians of {args.runs} interleaved runs on {timing.hardware()}.')
  for name in args.tables.split(','):
    print(TABLES[name](args.runs), flush=True)


if __name__ == '__main__':
  main()
