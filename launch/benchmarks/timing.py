"""What benchmarks share: fair timing, and the name of the hardware."""

import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Seconds(NamedTuple):
  """Wall time, and processor time summed over all threads."""

  wall: float
  processor: float


def interleaved(
  functions: Mapping[str, Callable[[], object]], runs: int = 5
) -> dict[str, Seconds]:
  """Median times of each function, after one run that doesn't count.

  The functions take turns, so that a busy spell of the machine hits all.
  """
  for function in functions.values():
    function()
  times = {name: [] for name in functions}
  for _ in range(runs):
    for name, function in functions.items():
      wall, processor = time.perf_counter(), time.process_time()
      function()
      wall = time.perf_counter() - wall
      times[name].append((wall, time.process_time() - processor))
  return {
    name: Seconds(*map(statistics.median, zip(*pairs, strict=True)))
    for name, pairs in times.items()
  }


def on_gpu() -> bool:
  """Whether JAX computes on a GPU."""
  import jax

  return jax.default_backend() == 'gpu'


def has(*packages: str) -> bool:
  """Whether all of some packages, of peers, are installed."""
  return all(importlib.util.find_spec(name) for name in packages)


def add_device(parser) -> None:
  """Adds `--device`, which `check_device` looks at."""
  parser.add_argument('--device', choices=('cpu', 'gpu'), default='cpu')


def check_device(device: str) -> None:
  """Has JAX compute on the device, before it looks for any.

  Raises:
    SystemExit: it is not there.
  """
  import jax

  if device == 'cpu':
    os.environ['JAX_PLATFORMS'] = 'cpu'
    jax.config.update('jax_platforms', 'cpu')
  elif not on_gpu():
    raise SystemExit('--device=gpu: JAX finds no GPU here')


def matrix_rates(runs: int = 5, size: int = 0) -> dict[str, int]:
  """What large products with float32 sums reach, in GFLOP/s by precision.

  On a GPU 'float32' is TF32, which is what JAX and, asked for it, PyTorch
  multiply float32 by.
  """
  import jax
  import jax.numpy as jnp

  size = size or (8192 if on_gpu() else 2048)
  dot = jax.jit(lambda a: jnp.dot(a, a, preferred_element_type=jnp.float32))

  def multiply(dtype):
    a = jnp.ones((size, size), dtype)
    return lambda: dot(a).block_until_ready()

  dtypes = ('float32', 'bfloat16')
  taken = interleaved({dtype: multiply(dtype) for dtype in dtypes}, runs)
  return {d: round(2e-9 * size**3 / s.wall) for d, s in taken.items()}


def hardware() -> str:
  """One line: processor model and number of cores; the GPU if JAX has one."""
  model = platform.processor() or platform.machine()
  if os.path.exists('/proc/cpuinfo'):
    with open('/proc/cpuinfo') as f:
      lines = [line for line in f if line.startswith('model name')]
    model = lines[0].split(':', 1)[1].strip() if lines else model
  cores = f'{model}, {os.cpu_count()} cores'
  if 'jax' in sys.modules and on_gpu():
    import jax

    return f'{jax.devices()[0].device_kind}; {cores}'
  return cores
