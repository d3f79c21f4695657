"""Which devices the environment asks JAX for, without importing it."""

import os


def chosen() -> str:
  """Such as 'cpu' or 'cuda,cpu', as the environment says; '': JAX chooses."""
  names = 'JAX_PLATFORMS', 'JAX_PLATFORM_NAME'
  return next(filter(None, map(os.environ.get, names)), '')


def hides_gpus() -> bool:
  """Whether the environment keeps NVIDIA's GPUs from this process."""
  return os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
