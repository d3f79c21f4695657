"""The AudioSet release's post-processing of embeddings: PCA and uint8.

Its inverse, up to the quantisation, is `aec_jax.input.batches.dequantise`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax.errors import UNREADABLE, UserError
from aec_jax.run import files

SIZE = 128
LIMIT = 2.0  # the release clips to [-2, 2]


class Pca(NamedTuple):
  """matrix (component, feature), with the whitening in it; means (feature,)."""

  matrix: np.ndarray
  means: np.ndarray


def load_pca(path: str) -> Pca:
  """Reads the released `vggish_pca_params.npz`.

  Raises:
    UserError: the file is missing, is no such .npz, or has other shapes.
  """
  files.check_file(path)
  try:
    with np.load(path, allow_pickle=False) as file:
      matrix, means = (
        np.asarray(file[name], np.float32)
        for name in ('pca_eigen_vectors', 'pca_means')
      )
  except KeyError as error:
    raise UserError(
      f'{path}: has no pca_eigen_vectors or no pca_means; is it'
      ' vggish_pca_params.npz?'
    ) from error
  except UNREADABLE as error:
    raise UserError(f'{path}: not a readable .npz file') from error
  if matrix.shape != (SIZE, SIZE) or means.shape not in ((SIZE, 1), (SIZE,)):
    raise UserError(
      f'{path}: pca_eigen_vectors {matrix.shape} and pca_means {means.shape}'
      f' must be ({SIZE}, {SIZE}) and ({SIZE}, 1) or ({SIZE},)'
    )
  return Pca(matrix, means.reshape(-1))


def postprocess(embeddings: jax.Array, pca: Pca) -> jax.Array:
  """Raw embeddings (…, 128) -> uint8 (…, 128), as AudioSet has them.

  PCA, clip to [-2, 2], and [-2, 2] to [0, 255] by truncation. Give it the
  output of a *linear* last layer: the PCA was fitted to that.
  """
  # Full precision, as an accelerator's default would move quantisation steps.
  x = jnp.matmul(
    embeddings - pca.means, pca.matrix.T, precision=lax.Precision.HIGHEST
  )
  x = jnp.clip(x, -LIMIT, LIMIT)
  return ((x + LIMIT) * (255 / (2 * LIMIT))).astype(jnp.uint8)
