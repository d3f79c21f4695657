"""Audio event classification in JAX."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from aec_jax.bundle.tagger import Tagger

__version__ = '0.2.0'


def load(
  bundle: str | os.PathLike,
  vggish: str | os.PathLike | None = None,
  pca: str | os.PathLike | None = None,
  test_shifts: int | None = None,
) -> 'Tagger':
  """The tagger of a bundle; see `aec_jax.bundle.store.load`."""
  from aec_jax.bundle import store

  return store.load(bundle, vggish, pca, test_shifts)
