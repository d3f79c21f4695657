"""Stride-1 "same" convolutions and 2×2 max pools that are fast everywhere.

On accelerators a convolution is `lax.conv_general_dilated`. XLA:CPU runs that
at a fraction of its matrix rate, so there a 3×3 convolution is Winograd's
(`winograd`), and its gradients too. It is in float32 whatever the operands are
to be rounded to: bfloat16 gains nothing, since laying out the tiles takes the
time, and would lose what F(4×4, 3×3) amplifies.

Where the processor has a matrix unit for bfloat16, four times as fast as
float32, those operands are multiplied as matrices of patches instead.
"""

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax.models.chunks import map_chunks, sum_chunks
from aec_jax.models.layers import bfloat16_operand, transposed
from aec_jax.models.winograd import TILE, winograd, winograd_kernel_gradient
from aec_jax.run import processor

# Below this many tiles, or with fewer channels, transforming costs more than
# it saves: with 32 channels 1 to 1.2 times the direct time, with 64 0.8. A
# kernel's gradient gains from 16 on, where it takes 0.7 of the time of patches.
_MIN_TILES = 32
_MIN_CHANNELS = 64
_MIN_CHANNELS_OF_GRADIENT = 16

# Values of a matrix of patches, few enough for it to stay in such a cache.
_PATCH_VALUES = 2**19


def convolve(
  x: jax.Array, w: jax.Array, dtype: str = 'float32', out: str = 'float32'
) -> jax.Array:
  """Correlates x with w, zero-padded to the same size ("same").

  Args:
    x: (batch, height, width, channel).
    w: (k, k, channel, feature), k odd.
    dtype: 'float32' or 'bfloat16', what operands are rounded to where that
      is faster. Sums are float32 (float64 for float64 operands and dtype
      'float32').
    out: what the sums are rounded to; 'bfloat16' only where `dtype` is.

  Returns:
    (batch, height, width, feature).
  """
  if out == 'bfloat16':
    # JAX's own gradients: of bfloat16 alone, for which cuDNN has kernels. With
    # float32 results XLA makes the operands float32 again.
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    dimensions = ('NHWC', 'HWIO', 'NHWC')
    return lax.conv_general_dilated(
      x, w, (1, 1), 'SAME', dimension_numbers=dimensions
    )
  return _convolve(x, w, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x, w, dtype):
  on_cpu = _kernel_on_cpu(x.shape, w.shape, dtype)
  if on_cpu is None:
    return _direct(x, w, dtype)
  return lax.platform_dependent(
    x,
    w,
    cpu=on_cpu,
    default=partial(_direct, dtype=dtype),
  )


def _kernel_on_cpu(
  x_shape, w_shape, dtype, matrix_unit: bool | None = None
) -> Callable | None:
  """What convolves on a CPU; None: XLA's own.

  Args:
    x_shape, w_shape, dtype: as `convolve` takes them.
    matrix_unit: for bfloat16; None: as this processor has.
  """
  if w_shape[:3] == (3, 3, 1):
    return _shifted_sum
  if not _winograd_pays(x_shape, w_shape, _MIN_CHANNELS):
    return None
  if dtype == 'bfloat16' and _matrix_unit(matrix_unit):
    return patch_products
  return winograd


def _gradient_on_cpu(
  x_shape, w_shape, dtype, matrix_unit: bool | None = None
) -> Callable:
  """As `_kernel_on_cpu`, of what gives the kernel's gradient."""
  matrix_unit = dtype == 'bfloat16' and _matrix_unit(matrix_unit)
  pays = _winograd_pays(x_shape, w_shape, _MIN_CHANNELS_OF_GRADIENT)
  if pays and not matrix_unit:
    return winograd_kernel_gradient
  return partial(
    _patch_kernel_gradient,
    size=w_shape[0],
    dtype=dtype,
    turn=transposed if matrix_unit else jnp.transpose,
  )


def _matrix_unit(given: bool | None) -> bool:
  return processor.has_bfloat16_matrix_unit() if given is None else given


def _convolve_forward(x, w, dtype):
  return _convolve(x, w, dtype), (x, w)


def _convolve_backward(dtype, residuals, grad):
  x, w = residuals
  turned = jnp.swapaxes(jnp.flip(w, (0, 1)), 2, 3)
  grad_x = _convolve(grad, turned, dtype)
  grad_w = lax.platform_dependent(
    x,
    grad,
    cpu=_gradient_on_cpu(x.shape, w.shape, dtype),
    default=partial(_direct_kernel_gradient, size=w.shape[0], dtype=dtype),
  )
  return grad_x, grad_w


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _winograd_pays(x_shape, w_shape, min_channels) -> bool:
  n, h, w, channels = x_shape
  return (
    w_shape[:2] == (3, 3)
    and h % TILE == 0
    and w % TILE == 0
    and n * h * w // TILE**2 >= _MIN_TILES
    and min(channels, w_shape[3]) >= min_channels
  )


def _correlate(x, w, padding, dimensions, dtype):
  if dtype == 'bfloat16':
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
  return lax.conv_general_dilated(
    x,
    w,
    (1, 1),
    padding,
    dimension_numbers=dimensions,
    preferred_element_type=jnp.promote_types(x.dtype, jnp.float32),
  )


def _direct(x, w, dtype):
  return _correlate(x, w, 'SAME', ('NHWC', 'HWIO', 'NHWC'), dtype)


def _shifted_sum(x, w):
  """`convolve` of one channel: too thin for a product, 3 times as fast."""
  h, width = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  return sum(
    x[:, i : i + h, j : j + width] * w[i, j, 0] for i, j in np.ndindex(3, 3)
  )


def _direct_kernel_gradient(x, grad, size, dtype):
  """The (size, size, channel, feature) gradient: x correlated with grad."""
  half = size // 2
  padding = [(half, half)] * 2
  return _correlate(x, grad, padding, ('CHWN', 'IHWO', 'HWNC'), dtype)


def _patches(x, size):
  """x (n, h, w, c) -> (n · h · w, size · size · c), zero-padded."""
  h, w, c = x.shape[1:]
  half = size // 2
  x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
  shifts = [x[:, i : i + h, j : j + w] for i, j in np.ndindex(size, size)]
  return jnp.concatenate(shifts, -1).reshape(-1, size * size * c)


def _patches_at_once(x, size) -> int:
  """How many examples of x make a matrix of patches that a cache holds."""
  return max(1, _PATCH_VALUES // (x[0].size * size * size))


def patch_products(x: jax.Array, w: jax.Array) -> jax.Array:
  """`convolve` of bfloat16, by a matrix product over all patches."""
  size, features = w.shape[0], w.shape[3]
  flat = w.astype(jnp.bfloat16).reshape(-1, features)

  def chunk(x):
    y = jnp.dot(_patches(x, size), flat, preferred_element_type=jnp.float32)
    return y.reshape(*x.shape[:3], features)

  x = x.astype(jnp.bfloat16)
  return map_chunks(chunk, x, _patches_at_once(x, size))


def _patch_kernel_gradient(x, grad, size, dtype, turn=jnp.transpose):
  """As `_direct_kernel_gradient`, by a matrix product over all patches.

  XLA:CPU runs the correlation 100 times slower where it does not fold the
  unusual order of its dimensions into its operands, as in a whole step.
  `turn` transposes the patches.
  """

  def chunk(x, grad):
    patches = _patches(x, size)
    grad = grad.reshape(-1, grad.shape[-1])
    if dtype == 'bfloat16':
      patches, grad = bfloat16_operand(patches), bfloat16_operand(grad)
    kind = jnp.promote_types(grad.dtype, jnp.float32)
    return jnp.dot(turn(patches), grad, preferred_element_type=kind)

  total = sum_chunks(chunk, (x, grad), _patches_at_once(x, size))
  return total.reshape(size, size, x.shape[-1], -1)


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
  """2×2 max pool of (batch, height, width, channel), even sizes.

  The gradient is shared between equal maxima. It is stated here since XLA:CPU
  takes many times as long over its own (select-and-scatter).
  """
  x = jnp.maximum(x[:, ::2], x[:, 1::2])
  return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])


def _max_pool_forward(x):
  return max_pool(x), x


def _max_pool_backward(x, grad):
  # The four are held against each other, and not against the maximum that the
  # forward pass made: XLA may work x out anew here, with other rounding, and
  # then none would equal it.
  four = [x[:, i::2, j::2] for i, j in np.ndindex(2, 2)]
  at_max = [reduce(jnp.logical_and, (a >= b for b in four)) for a in four]
  share = grad / sum(a.astype(grad.dtype) for a in at_max)
  bits = sum(a.astype(jnp.uint8) << k for k, a in enumerate(at_max))
  spread = lambda a: jnp.repeat(jnp.repeat(a, 2, 1), 2, 2)
  height, width = np.indices(x.shape[1:3]) % 2
  of_own = (1 << (2 * height + width))[..., None].astype(np.uint8)
  return (jnp.where(spread(bits) & of_own, spread(share), 0),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)
