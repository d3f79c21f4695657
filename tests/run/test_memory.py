"""Freed memory is kept on processors alone."""

import subprocess
import sys
import types

import pytest

from aec_jax.run import memory


@pytest.mark.parametrize(
  ('environment', 'plugins', 'kept'),
  [
    ({}, (), True),
    ({}, ('jax_plugins',), False),
    ({}, ('libtpu',), False),
    ({'JAX_PLATFORMS': 'cuda'}, ('jax_plugins',), False),
    ({'JAX_PLATFORMS': 'cpu'}, ('jax_plugins', 'libtpu'), True),
    ({'JAX_PLATFORM_NAME': 'cpu'}, ('jax_plugins', 'libtpu'), True),
    ({'CUDA_VISIBLE_DEVICES': ''}, ('jax_plugins',), True),
    ({'CUDA_VISIBLE_DEVICES': '-1'}, ('jax_plugins',), True),
    ({'CUDA_VISIBLE_DEVICES': '0'}, ('jax_plugins',), False),
    ({'CUDA_VISIBLE_DEVICES': ''}, ('jax_plugins', 'libtpu'), False),
  ],
)
def test_the_allocator_is_set_where_no_accelerator_may_be(
  environment, plugins, kept, monkeypatch
):
  said = []
  library = types.SimpleNamespace(mallopt=lambda *what: said.append(what))
  monkeypatch.setattr(memory.ctypes, 'CDLL', lambda name: library)
  monkeypatch.setattr(
    memory.importlib.util, 'find_spec', lambda name: name in plugins or None
  )
  for name in ('JAX_PLATFORMS', 'JAX_PLATFORM_NAME', 'CUDA_VISIBLE_DEVICES'):
    monkeypatch.delenv(name, raising=False)
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  memory.keep_freed()
  assert bool(said) == kept
  if kept:
    assert (-8, 1) in said  # one arena


def test_jax_is_not_imported():
  # What is kept is kept for threads that JAX starts afterwards.
  code = 'import sys; import aec_jax.run.memory; sys.exit("jax" in sys.modules)'
  subprocess.run([sys.executable, '-c', code], check=True)
