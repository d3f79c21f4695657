"""Stride-1 "same" convolutions and 2×2 max pools that are fast everywhere.

On accelerators a convolution is `lax.conv_general_dilated`. XLA:CPU runs that
at a fraction of its matrix rate, so there a 3×3 convolution is Winograd's
F(2×2, 3×3) (Lavin and Gray 2016, arXiv:1509.09308): a 2×2 tile of the output is
linear in 16 sums of a 4×4 tile of the input, and each of the 16 is one
matrix product over all tiles, with 2.25 times fewer multiplications in all.
The gradients are Winograd's too. Examples go through in chunks, so that the
16 planes stay in the cache.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# Rows of one matrix product, enough to run at speed and few enough for their
# 16 planes to stay in a cache of some MB.
_ROWS_PER_CHUNK = 1024

# Below this many tiles, or with fewer channels, transforming costs more than
# it saves: at 16 channels 1.3 times the direct time, at 32 as much, at 64 0.8.
_MIN_ROWS = 128
_MIN_CHANNELS = 32


# Values of a matrix of patches, few enough for it to stay in such a cache.
_PATCH_VALUES = 2**19


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: jax.Array, w: jax.Array, dtype: str = 'float32') -> jax.Array:
  """Correlates x with w, zero-padded to the same size ("same").

  Args:
    x: (batch, height, width, channel).
    w: (k, k, channel, feature), k odd.
    dtype: 'float32' or 'bfloat16', what operands are rounded to. Sums are
      float32 (float64 for float64 operands and dtype 'float32').

  Returns:
    (batch, height, width, feature).
  """
  if not _winograd_pays(x.shape, w.shape):
    return _direct(x, w, dtype)
  return lax.platform_dependent(
    x,
    w,
    cpu=partial(winograd, dtype=dtype),
    default=partial(_direct, dtype=dtype),
  )


def _convolve_forward(x, w, dtype):
  return convolve(x, w, dtype), (x, w)


def _convolve_backward(dtype, residuals, grad):
  x, w = residuals
  turned = jnp.swapaxes(jnp.flip(w, (0, 1)), 2, 3)
  grad_x = convolve(grad, turned, dtype)
  size = w.shape[0]
  on_cpu = partial(_patch_kernel_gradient, size=size, dtype=dtype)
  if _winograd_pays(x.shape, w.shape):
    on_cpu = partial(winograd_kernel_gradient, dtype=dtype)
  grad_w = lax.platform_dependent(
    x,
    grad,
    cpu=on_cpu,
    default=partial(_direct_kernel_gradient, size=size, dtype=dtype),
  )
  return grad_x, grad_w


convolve.defvjp(_convolve_forward, _convolve_backward)


def _winograd_pays(x_shape, w_shape) -> bool:
  n, h, w, channels = x_shape
  return (
    w_shape[:2] == (3, 3)
    and h % 2 == 0
    and w % 2 == 0
    and n * h * w // 4 >= _MIN_ROWS
    and min(channels, w_shape[3]) >= _MIN_CHANNELS
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


def _direct_kernel_gradient(x, grad, size, dtype):
  """The (size, size, channel, feature) gradient: x correlated with grad."""
  half = size // 2
  padding = [(half, half)] * 2
  return _correlate(x, grad, padding, ('CHWN', 'IHWO', 'HWNC'), dtype)


def _patch_kernel_gradient(x, grad, size, dtype):
  """As `_direct_kernel_gradient`, by a matrix product over all patches.

  XLA:CPU runs the correlation 100 times slower where it does not fold the
  unusual order of its dimensions into its operands, as in a whole step.
  """
  h, w, c = x.shape[1:]
  half = size // 2

  def chunk(x, grad):
    x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
    shifts = [x[:, i : i + h, j : j + w] for i, j in np.ndindex(size, size)]
    patches = jnp.concatenate(shifts, -1).reshape(-1, size * size * c)
    grad = grad.reshape(-1, grad.shape[-1])
    if dtype == 'bfloat16':
      patches, grad = (a.astype(jnp.bfloat16) for a in (patches, grad))
    return _dot(patches.T, grad)

  chunk_size = max(1, _PATCH_VALUES // (h * w * c * size * size))
  total = _sum_chunks(chunk, (x, grad), chunk_size)
  return total.reshape(size, size, c, -1)


# Winograd. The four matrices of the algorithm, each as sums along one axis.


def _mix_input(a, b, c, d):
  return a - c, b + c, c - b, b - d


def _mix_kernel(a, b, c):
  even = (a + c) / 2
  return a, even + b / 2, even - b / 2, c


def _mix_output(a, b, c, d):
  return a + b + c, b - c - d


def _unmix_output(a, b):
  return a, a + b, a - b, -b


def _unmix_kernel(a, b, c, d):
  even = (b + c) / 2
  return a + even, (b - c) / 2, even + d


def _along_both(mix, grid):
  """Applies `mix` to the columns and then to the rows of a grid of arrays."""
  columns = [mix(*column) for column in zip(*grid, strict=True)]
  return [mix(*row) for row in zip(*columns, strict=True)]


def _planes(x, dtype):
  """x (n, h, w, c) -> 16 arrays (n · h/2 · w/2, c), one row per tile."""
  h, w = x.shape[1:3]
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  grid = [
    [x[:, i : i + h : 2, j : j + w : 2] for j in range(4)] for i in range(4)
  ]
  return _rows(_along_both(_mix_input, grid), dtype)


def _rows(grid, dtype):
  rows = [a.reshape(-1, a.shape[-1]) for line in grid for a in line]
  if dtype == 'bfloat16':
    rows = [a.astype(jnp.bfloat16) for a in rows]
  return rows


def _dot(a, b):
  kind = jnp.promote_types(a.dtype, jnp.float32)
  return jnp.dot(a, b, preferred_element_type=kind)


def winograd(x: jax.Array, w: jax.Array, dtype: str) -> jax.Array:
  """`convolve` for 3×3 kernels and even sizes, as 16 matrix products."""
  height, width = x.shape[1] // 2, x.shape[2] // 2
  kernels = _rows(_along_both(_mix_kernel, list(w)), dtype)  # (c, o) each

  def chunk(x):
    planes = _planes(x, dtype)
    out = [
      _dot(p, k).reshape(-1, height, width, w.shape[3])
      for p, k in zip(planes, kernels, strict=True)
    ]
    grid = _along_both(_mix_output, [out[i : i + 4] for i in range(0, 16, 4)])
    lines = [jnp.stack(line, 3) for line in grid]  # (n, h/2, w/2, 2, o)
    y = jnp.stack(lines, 2)  # (n, h/2, 2, w/2, 2, o)
    return y.reshape(-1, 2 * height, 2 * width, w.shape[3])

  return _map_chunks(chunk, x, _chunk_size(x))


def winograd_kernel_gradient(
  x: jax.Array, grad: jax.Array, dtype: str
) -> jax.Array:
  """The gradient of `winograd` by its kernel, (3, 3, channel, feature)."""

  def chunk(x, grad):
    grid = [[grad[:, i::2, j::2] for j in range(2)] for i in range(2)]
    outs = _rows(_along_both(_unmix_output, grid), dtype)
    return [_dot(p.T, o) for p, o in zip(_planes(x, dtype), outs, strict=True)]

  sums = _sum_chunks(chunk, (x, grad), _chunk_size(x))
  return jnp.stack(
    [
      jnp.stack(line)
      for line in _along_both(
        _unmix_kernel, [sums[i : i + 4] for i in range(0, 16, 4)]
      )
    ]
  )


def _chunk_size(x) -> int:
  """How many examples of x (n, h, w, c) to take at once."""
  n, h, w, _ = x.shape
  most = max(1, _ROWS_PER_CHUNK // (h * w // 4))
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
  window = (1, 2, 2, 1)
  return lax.reduce_window(x, -jnp.inf, lax.max, window, window, 'VALID')


def _max_pool_forward(x):
  y = max_pool(x)
  return y, (x, y)


def _max_pool_backward(residuals, grad):
  x, y = residuals
  n, h, w, c = y.shape
  tiles = x.reshape(n, h, 2, w, 2, c)
  at_max = tiles == y[:, :, None, :, None]
  share = grad / jnp.sum(at_max, (2, 4), dtype=grad.dtype)
  return (jnp.where(at_max, share[:, :, None, :, None], 0).reshape(x.shape),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)
