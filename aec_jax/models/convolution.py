"""Stride-1 "same" convolutions and 2×2 max pools that are fast everywhere.

On accelerators a convolution is `lax.conv_general_dilated`. XLA:CPU runs that
at a fraction of its matrix rate, so there a 3×3 convolution is Winograd's
F(4×4, 3×3) (Lavin and Gray 2016, arXiv:1509.09308): a 4×4 tile of the output is
linear in 36 sums of a 6×6 tile of the input, and each of the 36 is one
matrix product over all tiles, with 4 times fewer multiplications in all. The
gradients are Winograd's too. Examples go through in chunks, so that the 36
planes stay in the cache. It is in float32 whatever the operands are to be
rounded to: bfloat16 gains nothing, since laying out the tiles takes the time,
and would lose what F(4×4, 3×3) amplifies. The error is 3e-6 of the output's
deviation (root mean square; 3e-7 without Winograd).

Where the processor has a matrix unit for bfloat16, four times as fast as
float32, those operands are multiplied as matrices of patches instead.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax.models.layers import bfloat16_operand, transposed
from aec_jax.run import processor

# Rows of one matrix product, enough to run at speed and few enough for their
# 36 planes to stay in a cache of some MB.
_ROWS_PER_CHUNK = 1024

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
    and h % _TILE == 0
    and w % _TILE == 0
    and n * h * w // _TILE**2 >= _MIN_TILES
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
  return _map_chunks(chunk, x, _patches_at_once(x, size))


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

  total = _sum_chunks(chunk, (x, grad), _patches_at_once(x, size))
  return total.reshape(size, size, x.shape[-1], -1)


# Winograd's F(4×4, 3×3): a 4×4 tile of outputs from a 6×6 tile of inputs is
# Aᵀ [(G w Gᵀ) ⊙ (Bᵀ x B)] A, in the paper's letters.
_INPUT = np.array(  # Bᵀ
  [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ]
)
_KERNEL = np.array(  # G
  [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ]
)
_OUTPUT = np.array(  # Aᵀ
  [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ]
)
_TILE = len(_OUTPUT)
_PATCH = len(_INPUT)


def _mix(matrix, arrays):
  """matrix @ arrays, a list of arrays, without the zeros."""

  def weighted_sum(weights):
    terms = [
      a if c == 1 else c * a
      for c, a in zip(weights.tolist(), arrays, strict=True)
      if c
    ]
    return sum(terms[1:], terms[0])

  return [weighted_sum(weights) for weights in matrix]


def _mix_both(matrix, grid):
  """matrix @ grid @ matrix.T, a list of lists of arrays."""
  columns = [_mix(matrix, column) for column in zip(*grid, strict=True)]
  # One fusion of both would be slower, and 3 times as long to compile.
  columns = lax.optimization_barrier(columns)
  return [_mix(matrix, row) for row in zip(*columns, strict=True)]


def _rows(grid):
  return [a.reshape(-1, a.shape[-1]) for line in grid for a in line]


def _grid(arrays):
  return [arrays[i : i + _PATCH] for i in range(0, _PATCH**2, _PATCH)]


def _planes(x):
  """x (n, h, w, c) -> 36 arrays (n · h/4 · w/4, c), one row per tile."""
  h, w = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  lines = _mix(_INPUT, [x[:, i : i + h : _TILE] for i in range(_PATCH)])
  # Fused with what follows, each line would be worked out many times.
  lines = lax.optimization_barrier(lines)
  return _rows(
    _mix(_INPUT, [line[:, :, j : j + w : _TILE] for j in range(_PATCH)])
    for line in lines
  )


def winograd(x: jax.Array, w: jax.Array) -> jax.Array:
  """`convolve` for 3×3 kernels and sizes that 4 divides, by 36 products."""
  height, width = x.shape[1] // _TILE, x.shape[2] // _TILE
  kernels = _rows(_mix_both(_KERNEL, list(w)))  # (channel, feature) each

  def chunk(x):
    products = [
      jnp.dot(p, k).reshape(-1, height, width, w.shape[3])
      for p, k in zip(_planes(x), kernels, strict=True)
    ]
    tile = _mix_both(_OUTPUT, _grid(products))
    # Joined along the last axis first: stacked before it, XLA:CPU's loop over
    # chunks takes 7 times as long.
    lines = [jnp.concatenate(line, -1) for line in tile]
    y = jnp.stack(lines, 2)  # (n, h/4, 4, w/4, 4 · feature)
    return y.reshape(len(x), *x.shape[1:3], w.shape[3])

  return _map_chunks(chunk, x, _chunk_size(x))


def winograd_kernel_gradient(x: jax.Array, grad: jax.Array) -> jax.Array:
  """The gradient of `winograd` by its kernel, (3, 3, channel, feature)."""

  def chunk(x, grad):
    tile = [
      [grad[:, i::_TILE, j::_TILE] for j in range(_TILE)] for i in range(_TILE)
    ]
    outs = _rows(_mix_both(_OUTPUT.T, tile))
    return [jnp.dot(p.T, o) for p, o in zip(_planes(x), outs, strict=True)]

  sums = _sum_chunks(chunk, (x, grad), _chunk_size(x))
  grid = _mix_both(_KERNEL.T, _grid(sums))
  return jnp.stack([jnp.stack(line) for line in grid])


def _chunk_size(x) -> int:
  """How many examples of x (n, h, w, c) to take at once."""
  n, h, w, _ = x.shape
  most = max(1, _ROWS_PER_CHUNK // (h * w // _TILE**2))
  # One that leaves no rest if it is not much smaller: a rest is more code.
  return next((s for s in range(most, most // 2, -1) if n % s == 0), most)


def _split(x, size):
  """x as (chunk, size, …) and what is left over."""
  whole = len(x) - len(x) % size
  return x[:whole].reshape(-1, size, *x.shape[1:]), x[whole:]


def _map_chunks(f, x, size):
  """f(x) by chunks of `size` along the first axis."""
  if len(x) <= size:
    return f(x)
  chunks, rest = _split(x, size)
  y = lax.map(f, chunks)
  y = y.reshape(-1, *y.shape[2:])
  return jnp.concatenate([y, f(rest)]) if len(rest) else y


def _sum_chunks(f, args, size):
  """The sum of f(*args) over chunks of `size` along the first axis."""
  if len(args[0]) <= size:
    return f(*args)
  chunks, rest = zip(*(_split(a, size) for a in args), strict=True)

  def step(total, args):
    return jax.tree.map(jnp.add, total, f(*args)), None

  shapes = jax.eval_shape(f, *(c[0] for c in chunks))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  total, _ = lax.scan(step, zeros, chunks)
  return step(total, rest)[0] if len(rest[0]) else total


@jax.custom_vjp
def max_pool(x: jax.Array) -> jax.Array:
  """2×2 max pool of (batch, height, width, channel), even sizes.

  The gradient is shared between equal maxima. It is stated here since XLA:CPU
  takes many times as long over its own (select-and-scatter).
  """
  x = jnp.maximum(x[:, ::2], x[:, 1::2])
  return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])


def _max_pool_forward(x):
  y = max_pool(x)
  return y, (x, y)


def _max_pool_backward(residuals, grad):
  x, y = residuals
  at_max = [x[:, i::2, j::2] == y for i, j in np.ndindex(2, 2)]
  share = grad / sum(a.astype(grad.dtype) for a in at_max)
  spread = lambda a: jnp.repeat(jnp.repeat(a, 2, 1), 2, 2)
  return (jnp.where(x == spread(y), spread(share), 0),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)
