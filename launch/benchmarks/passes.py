"""What a training step moves through memory, by its program.

  python -m launch.benchmarks.passes [--device=gpu|h100] \\
      [--configs=audioset_level3,audioset_lstm] [--widths=1,0.125] \\
      [--largest=20]

Compiles some steps of each config, at full size on synthetic embeddings, with
float32 and with bfloat16 between layers; and of fine-tuning a VGGish of each
width, on 288 examples with all the augmentations that `extractors` has, whose
products are of that type, too. It runs nothing. `--device=h100` compiles for
one where there is none, which needs `pip install jax-cuda12-plugin
jax-cuda12-pjrt nvidia-cuda-nvcc-cu12` of JAX's version; products are then
cuBLAS's, not chosen by trial. A kernel is an instruction of the loop over
steps; what it moves are its operands and its result, of a table the rows that
are taken, whether or not they are in a cache. Those outside of the loop run
once a dispatch; what augmentations do is drawn there.
"""

import argparse
import importlib
import itertools
import os
from unittest import mock

import jax
import numpy as np

from aec_jax import presets
from aec_jax.input.rooms import Rooms
from aec_jax.run.console import table
from aec_jax.run.devices import AXIS
from aec_jax.train import example_steps, piece_steps
from launch.benchmarks import classifiers, extractors, hlo, timing

STEPS = 2  # more make no other loop
EXAMPLES = 288

# What XLA asks of an H100 80 GB that it does not see.
_H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000
  device_memory_size: 84929347584
  l2_cache_size: 52428800
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
}
"""


def h100():
  """A device to compile for, of a machine that has none.

  Raises:
    SystemExit: JAX's plugin for GPUs is not installed.
  """
  from jax.experimental import topologies

  # The plugin would look for CUDA's libraries, which compiling does without.
  os.environ['JAX_SKIP_CUDA_CONSTRAINTS_CHECK'] = '1'
  os.environ['XLA_FLAGS'] = ' '.join(
    [
      os.environ.get('XLA_FLAGS', ''),
      '--xla_gpu_enable_triton_gemm=false',
      '--xla_gpu_autotune_level=0',
    ]
  )
  if not timing.has('jax_cuda12_plugin'):
    raise SystemExit('--device=h100 needs jax-cuda12-plugin')
  jax.devices()  # finds the plugin
  found = topologies.get_topology_desc(
    '', 'cuda', target_config=_H100, topology='1x1x1'
  )
  return found.devices[0]


def program(device, steps, state, table, plan, *static) -> str:
  """The optimised HLO of some steps.

  Args:
    device: to compile for; None: those here.
    steps: pmapped.
    state, table, plan, static: what it takes, the state by its shapes.
  """
  if device is None:
    return steps.lower(state, table, plan, *static).compile().as_text()
  mesh = jax.sharding.Mesh(np.array([device]), (AXIS,))
  spec, shared = jax.sharding.PartitionSpec, jax.sharding.PartitionSpec()

  def shapes(tree, spec):
    sharding = jax.sharding.NamedSharding(mesh, spec)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )

  def alone(state, table, plan):
    # As `pmap` takes them: without the axis of the devices.
    plan = jax.tree.map(lambda x: x[0], plan)
    return steps.__wrapped__(state, table, plan, *static)

  mapped = jax.jit(
    jax.shard_map(
      alone,
      mesh=mesh,
      in_specs=(shared, shared, spec(AXIS)),
      out_specs=shared,
      check_vma=False,
    ),
    donate_argnums=0,
  )
  args = shapes(state, shared), shapes(table, shared), shapes(plan, spec(AXIS))
  with mock.patch.object(jax, 'default_backend', lambda: 'gpu'):
    return mapped.lower(*args).compile().as_text()


def classifier_program(name: str, activations: str, device) -> str:
  """Of a config's steps, with this type between layers."""
  config = importlib.import_module(f'configs.{name}').get_config()
  system = classifiers.released(presets.resolve(config))
  system.model = system.model.clone(activations=activations)
  plan = classifiers.still_plan(system, STEPS)
  state = jax.eval_shape(system.create_state)
  return program(
    device, piece_steps.make_steps(system), state, system.resident, plan,
    system.rows(plan),
  )  # fmt: skip


def tuning_program(width: str, activations: str, device) -> str:
  """Of fine-tuning's steps, with this type of products and between layers."""
  clips = extractors.synthetic_clips()
  tuner = extractors.tuner_of(float(width), activations, clips)
  # The device that it is for may be another than this process has.
  network = tuner.model.extractor.clone(activations=activations)
  tuner.model = tuner.model.clone(extractor=network)
  tuner.rooms = Rooms((EXAMPLES,), 1)  # of one size there is no branch
  plan = extractors.still_plan(tuner, STEPS)
  plan = {k: v[:, :, :EXAMPLES] for k, v in plan.items() if k != 'size'}
  state = jax.eval_shape(tuner.create_state)
  steps = example_steps.make_steps(tuner)
  return program(device, steps, state, tuner.resident, plan)


def _split(names: str) -> list[str]:
  return [name for name in names.split(',') if name]


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--configs', default='audioset_level3,audioset_lstm')
  parser.add_argument('--widths', default='', help='of VGGish, fine-tuned')
  parser.add_argument('--largest', type=int, default=0, help='of them to list')
  parser.add_argument('--device', choices=('cpu', 'gpu', 'h100'), default='cpu')
  args = parser.parse_args()
  timing.check_device('gpu' if args.device == 'gpu' else 'cpu')
  device = h100() if args.device == 'h100' else None
  print(f'Programs of jax {jax.__version__} for {device or timing.hardware()}.')
  rows = [('a step', 'between layers', 'products', 'others', 'MB moved',
           'of which products', 'outside the loop')]  # fmt: skip
  lists = []
  what = [(n, n, classifier_program) for n in _split(args.configs)]
  what += [
    (f'VGGish, width {w}', w, tuning_program) for w in _split(args.widths)
  ]
  for (name, given, compiled), activations in itertools.product(
    what, ('float32', 'bfloat16')
  ):
    text = compiled(given, activations, device)
    kernels = hlo.step_kernels(text)
    products = [k for k in kernels if k.product]
    rows.append(
      (
        name,
        activations,
        str(len(products)),
        str(len(kernels) - len(products)),
        f'{1e-6 * sum(k.moved for k in kernels):,.0f}',
        f'{1e-6 * sum(k.moved for k in products):,.0f}',
        str(len(hlo.dispatch_kernels(text))),
      )
    )
    lists += [
      f'{name} {activations}: {1e-6 * k.moved:.1f} MB'
      f' {k.instruction.shape} {k.instruction.name}'
      for k in kernels[: args.largest]
    ]
  print(table(rows))
  print('\n'.join(lists))


if __name__ == '__main__':
  main()
