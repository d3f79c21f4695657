"""Freed memory is kept on processors alone."""

import types

import pytest

from aec_jax.run import memory


@pytest.mark.parametrize(
  ('platforms', 'plugins', 'kept'),
  [
    ('', (), True),
    ('', ('jax_plugins',), False),
    ('', ('libtpu',), False),
    ('cuda', ('jax_plugins',), False),
    ('cpu', ('jax_plugins', 'libtpu'), True),
  ],
)
def test_the_allocator_is_set_where_no_accelerator_may_be(
  platforms, plugins, kept, monkeypatch
):
  said = []
  library = types.SimpleNamespace(mallopt=lambda *what: said.append(what))
  monkeypatch.setattr(memory.ctypes, 'CDLL', lambda name: library)
  monkeypatch.setattr(
    memory.importlib.util, 'find_spec', lambda name: name in plugins or None
  )
  monkeypatch.setenv('JAX_PLATFORMS', platforms)
  memory.keep_freed()
  assert bool(said) == kept
  if kept:
    assert (-8, 1) in said  # one arena
