"""On which devices it computes, what JAX is told of them and keeps."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import platforms

# A file for each GPU that NVIDIA's driver has found.
_DRIVER = '/proc/driver/nvidia/gpus'
_DETERMINISTIC = '--xla_gpu_deterministic_ops=true'


# The axis of `pmap` over the devices.
AXIS = 'device'


def on_cpu(backend: str | None = None) -> bool:
  """Whether a backend, as JAX names it, or the one in use is a processor.

  Nowhere else is it asked, but for what a program does on each kind of device
  (`lax.platform_dependent`).
  """
  return (backend or jax.default_backend()) == 'cpu'


def processor() -> jax.Device | None:
  """The host's own; None where JAX is told to leave it alone."""
  try:
    return jax.local_devices(backend='cpu')[0]
  except RuntimeError:
    return None


def replicate(tree, devices: Sequence[jax.Device] | None = None):
  """Puts a tree on every device once, as `pmap` takes what it broadcasts.

  Each host gives its own copy, equal to the others'.

  Args:
    tree: of arrays.
    devices: those of `pmap`; None: all of all hosts.
  """
  mesh = jax.sharding.Mesh(np.array(devices or jax.devices()), (AXIS,))
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  if everywhere.is_fully_addressable:
    return jax.device_put(tree, everywhere)

  # device_put would send all of it to the other hosts, to compare.
  def put(x):
    x = np.asarray(x)
    return jax.make_array_from_process_local_data(everywhere, x, x.shape)

  return jax.tree.map(put, tree)


def announce() -> None:
  """Logs the devices, and warns of a GPU that JAX does not see."""
  logging.info('devices: %s', described())
  if warning := overlooked(_DRIVER):
    logging.warning('%s', warning)


def described() -> str:
  """Such as '8 × NVIDIA H100 80GB HBM3', '1 × cpu (16 cores)'."""
  kind = jax.devices()[0].device_kind
  cores = ''
  if on_cpu():
    cores = f' ({len(os.sched_getaffinity(0))} cores)'
  hosts = jax.process_count()
  where = f' on {hosts} hosts' if hosts > 1 else ''
  return f'{jax.device_count()} × {kind}{cores}{where}'


def overlooked(driver: str) -> str:
  """What to do about NVIDIA GPUs that JAX does not see; '' where all is well.

  Also where the environment chooses the processor.

  Args:
    driver: the folder in which NVIDIA's driver lists its GPUs.
  """
  if not on_cpu() or platforms.chosen() or platforms.hides_gpus():
    return ''
  found = []
  for path in sorted(Path(driver).glob('*/information')):
    model = re.search(r'Model:\s*(.+)', path.read_text(errors='replace'))
    found.append(model[1].strip() if model else 'NVIDIA GPU')
  if not found:
    return ''
  return (
    f'JAX does not see the {len(found)} × {found[0]} of this machine, and'
    " computes on the processor: pip install 'jax[cuda12]' (or cuda13; see"
    ' README, Install), or say JAX_PLATFORMS=cpu'
  )


def ask_for_determinism() -> None:
  """Has XLA take only kernels on GPUs that give the same bits every time.

  It then chooses kernels by rule and not by time taken, and so is slower. To
  be called before JAX looks at its devices.
  """
  flags = os.environ.get('XLA_FLAGS', '').split()
  if _DETERMINISTIC not in flags:
    os.environ['XLA_FLAGS'] = ' '.join([*flags, _DETERMINISTIC])


def check_determinism(wanted: bool, backend: str | None = None) -> None:
  """Raises `UserError` where it is wanted and was not asked for.

  Args:
    wanted: `config.deterministic`.
    backend: as JAX names it; None: the one in use.
  """
  if not wanted or _DETERMINISTIC in os.environ.get('XLA_FLAGS', '').split():
    return
  if (backend or jax.default_backend()) == 'gpu':
    raise UserError(
      'config.deterministic is True, and JAX was started without it: set the'
      f' environment variable XLA_FLAGS={_DETERMINISTIC} before Python starts'
    )


def keep_programs(folder: Path, small: bool = False) -> None:
  """Keeps compiled programs for other runs, unless the environment says where.

  For GPUs also, in the same folder, which kernels were fastest: JAX keeps
  that beside the programs (`jax_persistent_cache_enable_xla_caches`).

  Args:
    folder: where they are kept.
    small: whether a processor's, too, that take less than JAX's own second to
      compile; accelerators have many, and keep them in any case.
  """
  if not jax.config.values['jax_compilation_cache_dir']:
    jax.config.update('jax_compilation_cache_dir', str(folder))
  given = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS' in os.environ
  if not given and (small or not on_cpu()):
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
