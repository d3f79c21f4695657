"""VGGish forward and training step beside its peers.

  python -m launch.benchmarks.vggish [--device=gpu] [--batches=1,32,256] \
      [--step_batches=32]

Prints patches/s of the full-width network (1.73 GFLOP a patch forward, three
times that a step) by: `aec_jax` in both precisions, the same layers as plain
Flax `nn.Conv`, PyTorch (channels last, which is faster than torchvggish as it
is; float32, and bfloat16 by autocast) and TensorFlow where they are installed.
On a GPU also PyTorch compiled, and no TensorFlow; float32 is TF32 there, and
batches rest on it. All share one process and take turns, with memory kept as
the commands keep it, which speeds the peers up too. A step is forward,
backward, and plain gradient descent on the cross-entropy of 41 classes.
"of the rate": those operations over the rate of large products of the row's
type in the same run; on a processor ours are Winograd's, which multiplies a
third as often. "processor" is patches per second of processor time times the
number of cores: what a busy machine would do idle.
"""

import argparse
import os
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from aec_jax.models.extractors import ExampleClassifier
from aec_jax.models.layers import activation_dtype
from aec_jax.models.vggish import CONVOLUTIONS, HIDDEN, VGGish
from aec_jax.run import memory
from aec_jax.run.console import table
from launch.benchmarks import timing

CLASSES = 41
RATE = 1e-4
GFLOP_PER_PATCH = 1.73


class PlainVGGish(nn.Module):
  """The same network of Flax's own layers, with the same parameter names."""

  @nn.compact
  def __call__(self, x):
    x = x[..., None]
    for block in CONVOLUTIONS:
      for name, features in block:
        x = nn.relu(nn.Conv(features, (3, 3), name=name)(x))
      x = nn.max_pool(x, (2, 2), (2, 2))
    x = x.reshape(x.shape[0], -1)
    for name, features in (*HIDDEN, ('fc2', 128)):
      x = nn.Dense(features, name=name)(x)
      x = x if name == 'fc2' else nn.relu(x)
    x = nn.relu(nn.Dense(100, name='hidden')(x))
    return nn.Dense(CLASSES, name='output')(x)


def jax_peer(module, params):
  """(forward, step, put) of a Flax module over a fixed set of parameters.

  As of the other peers, `put` brings a batch to where it is computed.
  """

  def loss(params, x, labels):
    logits = module.apply({'params': params}, x)
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels
    ).mean()

  def step(params, x, labels):
    value, grads = jax.value_and_grad(loss)(params, x, labels)
    return jax.tree.map(lambda p, g: p - RATE * g, params, grads), value

  forward = jax.jit(lambda params, x: module.apply({'params': params}, x))
  step = jax.jit(step, donate_argnums=0)
  state = [jax.tree.map(jnp.copy, params)]

  def run_forward(x, labels):
    del labels
    forward(state[0], x).block_until_ready()

  def run_step(x, labels):
    state[0], value = step(state[0], x, labels)
    value.block_until_ready()

  return run_forward, run_step, lambda *batch: jax.device_put(batch)


def tensorflow_peer(params):
  """(forward, step, put) of the release's layers as a TensorFlow graph."""
  import tensorflow as tf

  flat = {
    f'{layer}/{kind}': tf.Variable(value)
    for layer, kinds in params.items()
    for kind, value in kinds.items()
  }

  def dense(x, name):
    return tf.linalg.matmul(x, flat[f'{name}/kernel']) + flat[f'{name}/bias']

  def logits(x):
    x = x[..., None]
    for block in CONVOLUTIONS:
      for name, _ in block:
        x = tf.nn.conv2d(x, flat[f'{name}/kernel'], 1, 'SAME')
        x = tf.nn.relu(tf.nn.bias_add(x, flat[f'{name}/bias']))
      x = tf.nn.max_pool2d(x, 2, 2, 'SAME')
    x = tf.reshape(x, (tf.shape(x)[0], -1))
    for name in ('fc1_1', 'fc1_2', 'fc2', 'hidden'):
      x = dense(x, name)
      x = x if name == 'fc2' else tf.nn.relu(x)
    return dense(x, 'output')

  forward = tf.function(logits)

  @tf.function
  def step(x, labels):
    with tf.GradientTape() as tape:
      losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(x))
      loss = tf.reduce_mean(losses)
    variables = list(flat.values())
    for v, g in zip(variables, tape.gradient(loss, variables), strict=True):
      v.assign_sub(RATE * g)
    return loss

  return (
    lambda x, labels: forward(x).numpy(),
    lambda x, labels: step(x, labels).numpy(),
    lambda *batch: tuple(map(tf.constant, batch)),
  )


def torch_peer(params, precision='float32', compiled=False):
  """(forward, step, put) of the same layers in PyTorch."""
  import torch
  from torch import nn

  from launch.benchmarks import torch_vggish

  device = 'cuda' if timing.on_gpu() else 'cpu'
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  flat = {
    f'{layer}/{kind}': value
    for layer, kinds in params.items()
    for kind, value in kinds.items()
  }
  head = (nn.Linear(128, 100), nn.ReLU(), nn.Linear(100, CLASSES))
  net = nn.Sequential(torch_vggish.network(flat), *head).to(device)
  optimizer = torch.optim.SGD(net.parameters(), RATE)
  apply = torch.compile(net) if compiled else net

  def logits(x):
    with torch.autocast(device, torch.bfloat16, precision == 'bfloat16'):
      return apply(x).float()

  def forward(x, labels):
    del labels
    with torch.inference_mode():
      logits(x)
    wait()

  def step(x, labels):
    optimizer.zero_grad()
    nn.functional.cross_entropy(logits(x), labels).backward()
    optimizer.step()
    wait()

  def wait():
    if device == 'cuda':
      torch.cuda.synchronize()

  def put(x, labels):
    x = torch.from_numpy(x)[:, None].to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    return x, torch.from_numpy(labels).long().to(device)

  return forward, step, put


def peers():
  """{name: (forward, step, put)}, all from the same parameters."""
  module = ExampleClassifier(VGGish(), CLASSES)
  example = jnp.zeros((1, 96, 64))
  params = jax.jit(module.init)(jax.random.key(0), example)['params']
  layers = {**params['extractor'], 'hidden': params['hidden']}
  layers['output'] = params['output']
  bfloat16 = {'dtype': 'bfloat16'}
  half = VGGish(activations=activation_dtype('bfloat16'), **bfloat16)
  table = {
    'aec_jax float32': jax_peer(module, params),
    'aec_jax bfloat16': jax_peer(
      ExampleClassifier(half, CLASSES, **bfloat16), params
    ),
    'Flax nn.Conv': jax_peer(PlainVGGish(), layers),
  }
  others = {
    'PyTorch': torch_peer,
    'PyTorch bfloat16': partial(torch_peer, precision='bfloat16'),
  }
  if timing.on_gpu():
    for row, peer in list(others.items()):
      others[f'{row}, compiled'] = partial(peer, compiled=True)
  else:
    others['TensorFlow'] = tensorflow_peer
  for name, peer in others.items():
    try:
      table[name] = peer(jax.device_get(layers))
    except ImportError:
      print(f'{name} is not installed: left out')
  return table


def report(title, functions, batch, flop, rates, runs) -> str:
  """A table of one measurement, ratios to the last row.

  Args:
    title: of the first column.
    functions: by row.
    batch: patches of a turn.
    flop: GFLOP of a patch.
    rates: of `timing.matrix_rates`.
    runs: of each row.
  """
  taken = timing.interleaved(functions, runs)
  base = taken[list(taken)[-1]]
  rows = [
    (title, 'patches/s', 'ratio', 'GFLOP/s', 'of the rate', 'processor',
     'ratio')
  ]  # fmt: skip
  for name, seconds in taken.items():
    rate = rates['bfloat16' if 'bfloat16' in name else 'float32']
    rows.append(
      (
        name,
        f'{batch / seconds.wall:.1f}',
        f'{base.wall / seconds.wall:.2f}',
        f'{batch * flop / seconds.wall:.0f}',
        f'{batch * flop / seconds.wall / rate:.0%}',
        f'{batch * os.cpu_count() / seconds.processor:.1f}',
        f'{base.processor / seconds.processor:.2f}',
      )
    )
  return table(rows)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--batches', default='1,32,256', help='forward')
  parser.add_argument('--step_batches', default='32', help='training step')
  parser.add_argument('--runs', type=int, default=5)
  timing.add_device(parser)
  args = parser.parse_args()
  timing.check_device(args.device)
  memory.keep_freed()
  print(timing.hardware())
  rates = timing.matrix_rates(args.runs)
  print('GFLOP/s of large products:', rates, flush=True)
  functions = peers()
  rng = np.random.default_rng(0)
  for kind, batches in enumerate((args.batches, args.step_batches)):
    for batch in map(int, filter(None, batches.split(','))):
      x = rng.standard_normal((batch, 96, 64), np.float32)
      labels = rng.integers(0, CLASSES, batch, np.int32)
      bound = {
        name: partial(peer[kind], *peer[2](x, labels))
        for name, peer in functions.items()
      }
      title = ('forward', 'step')[kind] + f', batch {batch}'
      flop = GFLOP_PER_PATCH * (1, 3)[kind]
      found = report(title, bound, batch, flop, rates, args.runs)
      print('\n' + found, flush=True)


if __name__ == '__main__':
  main()
