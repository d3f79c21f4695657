"""How this process takes memory from the system."""

import ctypes
import importlib.util

from aec_jax.run import platforms

# What JAX finds accelerators by: the namespace in which plugins of CUDA, ROCm
# and others lie, and TPUs' library.
_GPUS, _TPUS = 'jax_plugins', 'libtpu'


def keep_freed() -> None:
  """Has glibc keep what is freed; elsewhere it does nothing.

  A step's arrays of many MB would go back to the kernel after each use, and
  come again as zeros, page by page: a tenth to a quarter of the time of VGGish
  on a processor. To be called before JAX starts its threads. Where an
  accelerator may be used it does nothing: the one arena that it leaves to all
  threads made XLA's compilation for a GPU take 50 s longer.
  """
  if _may_accelerate():
    return
  mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  if mallopt:
    M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def _may_accelerate() -> bool:
  """Whether JAX may find an accelerator; it is not asked, that takes long."""
  if platforms.chosen().startswith('cpu'):
    return False
  plugins = (_TPUS,) if platforms.hides_gpus() else (_GPUS, _TPUS)
  return any(importlib.util.find_spec(name) for name in plugins)
