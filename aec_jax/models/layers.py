"""Layers shared by the classifiers: products, masked batch norm, dropout.

Each one gives the same result however the batch is cut over devices: batch
norm reduces over `axis_name`, and a dropout mask depends on an example's
position in the *global* batch.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import layout


@jax.custom_vjp
def _product_bfloat16(x, w):
  return jnp.dot(
    x.astype(jnp.bfloat16),
    w.astype(jnp.bfloat16),
    preferred_element_type=jnp.float32,
  )


def _product_forward(x, w):
  x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
  return jnp.dot(x, w, preferred_element_type=jnp.float32), (x, w)


def _product_backward(residuals, grad):
  x, w = residuals
  grad = grad.astype(jnp.bfloat16)
  grad_x = jnp.dot(grad, _transpose(w), preferred_element_type=jnp.float32)
  grad_w = jnp.dot(_transpose(x), grad, preferred_element_type=jnp.float32)
  return grad_x, grad_w


@jax.jit
def _transpose(x):
  """x.T, laid out anew on CPUs.

  XLA's fast bfloat16 CPU kernel takes row-major operands alone; a transposed
  view sends it to float32 on one thread, at a quarter of the speed.
  """
  if jax.default_backend() != 'cpu':
    return x.T
  return layout.with_layout_constraint(x.T, layout.Layout((0, 1)))


# JAX's own transpose rule would multiply the float32 cotangent with a bfloat16
# operand, which no matrix unit does: all three products are bfloat16 here.
_product_bfloat16.defvjp(_product_forward, _product_backward)


def product(x: jax.Array, w: jax.Array, dtype: str) -> jax.Array:
  """x @ w with operands rounded to `dtype`, accumulated in float32.

  Args:
    x: (…, unit).
    w: (unit, feature).
    dtype: 'float32' or 'bfloat16'.

  Returns:
    (…, feature), float32.
  """
  flat = x.reshape(-1, x.shape[-1])  # (row, unit): one large product
  if dtype == 'bfloat16':
    out = _product_bfloat16(flat, w)
  else:
    out = jnp.dot(flat, w, preferred_element_type=jnp.float32)
  return out.reshape(*x.shape[:-1], w.shape[-1])


class Dense(nn.Module):
  """A dense layer, (…, unit) -> (…, feature), with float32 parameters."""

  features: int
  dtype: str = 'float32'
  kernel_init: Callable = nn.initializers.glorot_uniform()
  bias_init: Callable = nn.initializers.zeros_init()

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel', self.kernel_init, (x.shape[-1], self.features)
    )
    bias = self.param('bias', self.bias_init, (self.features,))
    return product(x, kernel, self.dtype) + bias


class MaskedBatchNorm(nn.Module):
  """Batch normalisation (Ioffe and Szegedy 2015) over the valid positions.

  flax's own layer averages the devices' means without regard to how many
  valid positions each has; here the sums are reduced, so that the statistics
  are those of the global batch.
  """

  momentum: float = 0.9
  epsilon: float = 1e-3
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, mask, train: bool):
    """Normalises the last axis of x (…, unit); mask (…) is True where valid."""
    features = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones_init(), (features,))
    bias = self.param('bias', nn.initializers.zeros_init(), (features,))
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, features)
    running_var = self.variable('batch_stats', 'var', jnp.ones, features)
    if train:
      mean, var = self._moments(x, mask)
      if not self.is_initializing():
        m = self.momentum
        running_mean.value = m * running_mean.value + (1 - m) * mean
        running_var.value = m * running_var.value + (1 - m) * var
    else:
      mean, var = running_mean.value, running_var.value
    gain = scale * lax.rsqrt(var + self.epsilon)
    return x * gain + (bias - mean * gain)

  def _moments(self, x, mask):
    weight = mask.astype(x.dtype)[..., None]
    axes = tuple(range(x.ndim - 1))
    sums = (
      jnp.sum(weight),
      jnp.sum(x * weight, axes),
      jnp.sum(x * x * weight, axes),
    )
    if self.axis_name and not self.is_initializing():
      sums = lax.psum(sums, self.axis_name)
    count = jnp.maximum(sums[0], 1.0)
    mean = sums[1] / count
    return mean, jnp.maximum(sums[2] / count - mean * mean, 0.0)


def _hash(x):
  """A uint32 hash with full avalanche (Wellons's "lowbias32")."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)


def random_bits(
  key: jax.Array, first: jax.Array | int, shape: tuple[int, ...]
) -> jax.Array:
  """Uniform uint32 of `shape`, each a function of (key, its global index).

  The hash of a counter: on CPUs a tenth of the cost of threefry, fused into
  what uses it, and good enough to drop units by.

  Args:
    key: a JAX PRNG key.
    first: the global index of shape[0]'s first entry.
    shape: the shape of the local block; shape[0] counts examples.
  """
  words = jax.random.key_data(key).astype(jnp.uint32).reshape(-1)
  seed = _hash(words[0] ^ _hash(words[-1] + jnp.uint32(0x9E3779B9)))
  size = math.prod(shape[1:])
  example = lax.iota(jnp.uint32, shape[0]) + jnp.asarray(first, jnp.uint32)
  within = lax.iota(jnp.uint32, size)
  index = example[:, None] * jnp.uint32(size) + within
  return _hash(index ^ seed).reshape(shape)


class Dropout(nn.Module):
  """Dropout (Srivastava et al. 2014) by global example index.

  Takes the RNG stream 'dropout', whose key must be equal on all devices.
  """

  rate: float
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    if not train or self.rate == 0.0 or self.is_initializing():
      return x
    first: jax.Array | int = 0
    if self.axis_name:
      first = lax.axis_index(self.axis_name) * x.shape[0]
    bits = random_bits(self.make_rng('dropout'), first, x.shape)
    keep = bits >= jnp.uint32(self.rate * 2**32)
    return jnp.where(keep, x / (1 - self.rate), 0.0)
