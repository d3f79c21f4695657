"""Audio event classification in JAX."""

import os
import sys
from typing import TYPE_CHECKING

from aec_jax.run import starting

if TYPE_CHECKING:
  from aec_jax.bundle.tagger import Tagger

__version__ = '0.2.0'

# As it is until Python has found the module of `python -m aec_jax.…`.
if sys.argv[:1] == ['-m']:
  starting.end_by_ctrl_c()


def load(
  bundle: str | os.PathLike,
  vggish: str | os.PathLike | None = None,
  pca: str | os.PathLike | None = None,
  test_shifts: int | None = None,
) -> 'Tagger':
  """The tagger of a bundle; see `aec_jax.bundle.store.load`."""
  from aec_jax.bundle import store

  return store.load(bundle, vggish, pca, test_shifts)
