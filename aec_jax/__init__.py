"""Audio event classification in JAX."""

__version__ = '0.1.0'


def load(bundle, vggish=None, pca=None):
  """A bundle's `aec_jax.tagger.Tagger`; see `aec_jax.bundle.load`."""
  from aec_jax import bundle as bundle_lib  # `import aec_jax` stays cheap

  return bundle_lib.load(bundle, vggish, pca)
