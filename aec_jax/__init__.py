"""Audio event classification in JAX."""

__version__ = '0.1.0'


def load(bundle, vggish=None, pca=None):
  """A bundle's `aec_jax.tagger.Tagger`; see `aec_jax.bundle.load`."""
  from aec_jax.bundle import store as bundle_lib

  return bundle_lib.load(bundle, vggish, pca)
