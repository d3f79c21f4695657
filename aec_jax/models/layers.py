"""Layers shared by the classifiers: products, masked batch norm, dropout.

Each one gives the same result however the batch is cut over devices: batch
norm reduces over `axis_name`, and a dropout mask depends on an example's
position in the *global* batch.
"""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import layout

from aec_jax.run import processor
from aec_jax.run.devices import on_cpu


def product_dtype(dtype: str, backend: str | None = None) -> str:
  """Operand precision of the products; nowhere else is 'auto' decided.

  'auto' is float32 on processors, where bfloat16 gains little, and bfloat16 on
  accelerators. It is decided where a module is built: a config or a bundle
  says 'auto' on whatever machine it was made.

  Args:
    dtype: one of `fields.DTYPES`.
    backend: as JAX names it; None: the one in use.

  Returns:
    'float32' or 'bfloat16'.
  """
  if dtype != 'auto':
    return dtype
  return 'float32' if on_cpu(backend) else 'bfloat16'


def activation_dtype(dtype: str, backend: str | None = None) -> str:
  """The type of what a layer hands on to the next; nowhere else is it decided.

  On accelerators layers wait for memory, so that with bfloat16 products what
  lies between them is bfloat16 too, rounded from float32 sums. On a CPU it is
  float32. Sums of batch norm, softmax, losses and log-mel are float32 anywhere.

  Args:
    dtype, backend: as of `product_dtype`.
  """
  return 'float32' if on_cpu(backend) else product_dtype(dtype, backend)


def bfloat16_operand(x: jax.Array) -> jax.Array:
  """x as an operand of a product that rounds to bfloat16.

  On a processor without instructions for those, float32 of bfloat16's values:
  XLA would turn bfloat16 into float32 within the product, which takes 1.45
  times as long. The products of two such values are exact in float32, so that
  the results are equal up to the order of the sums.
  """
  if on_cpu() and not processor.multiplies_bfloat16():
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
  return x.astype(jnp.bfloat16)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _product_bfloat16(x, w, x_dtype, out):
  return _product_forward(x, w, x_dtype, out)[0]


def _product_forward(x, w, x_dtype, out):
  del x_dtype
  x, w = bfloat16_operand(x), bfloat16_operand(w)
  return jnp.dot(x, w, preferred_element_type=out), (x, w)


def _product_backward(x_dtype, out, residuals, grad):
  del out
  x, w = residuals
  grad = bfloat16_operand(grad)
  grad_x = jnp.dot(grad, transposed(w), preferred_element_type=x_dtype)
  grad_w = jnp.dot(transposed(x), grad, preferred_element_type=jnp.float32)
  return grad_x, grad_w


@jax.jit
def transposed(x: jax.Array) -> jax.Array:
  """x.T of a matrix; of bfloat16 laid out anew on CPUs.

  XLA's fast bfloat16 CPU kernel takes row-major operands alone; a transposed
  view sends it to float32 on one thread, at a quarter of the speed.
  """
  if not on_cpu() or x.dtype != jnp.bfloat16:
    return x.T
  return layout.with_layout_constraint(x.T, layout.Layout((0, 1)))


# JAX's own transpose rule would multiply the float32 cotangent with a bfloat16
# operand, which no matrix unit does: all three products are bfloat16 here.
_product_bfloat16.defvjp(_product_forward, _product_backward)


def product(
  x: jax.Array, w: jax.Array, dtype: str, out: str = 'float32'
) -> jax.Array:
  """x @ w with operands rounded to `dtype`, accumulated in float32.

  Args:
    x: (…, unit).
    w: (unit, feature).
    dtype: 'float32' or 'bfloat16'.
    out: what the sums are rounded to; 'bfloat16' only where `dtype` is.

  Returns:
    (…, feature), of type `out`.
  """
  flat = x.reshape(-1, x.shape[-1])  # (row, unit): one large product
  if dtype == 'bfloat16':
    y = _product_bfloat16(flat, w, x.dtype, out)
  else:
    y = jnp.dot(flat, w, preferred_element_type=jnp.float32)
  return y.reshape(*x.shape[:-1], w.shape[-1])


def add_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
  """y (…, feature) + bias (feature,), of y's type.

  The gradient of the bias is summed in float32: over the rows of a batch a
  bfloat16 sum would lose most of them.
  """
  return _add_bfloat16(y, bias) if y.dtype == jnp.bfloat16 else y + bias


@jax.custom_vjp
def _add_bfloat16(y, bias):
  return y + bias.astype(jnp.bfloat16)


def _add_forward(y, bias):
  return _add_bfloat16(y, bias), None


def _add_backward(_, grad):
  axes = tuple(range(grad.ndim - 1))
  return grad, jnp.sum(grad.astype(jnp.float32), axes)


_add_bfloat16.defvjp(_add_forward, _add_backward)


class Dense(nn.Module):
  """A dense layer, (…, unit) -> (…, feature), with float32 parameters.

  Attributes:
    features: how many it gives.
    dtype, out: see `product`.
  """

  features: int
  dtype: str = 'float32'
  out: str = 'float32'
  kernel_init: Callable = nn.initializers.glorot_uniform()
  bias_init: Callable = nn.initializers.zeros_init()

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel', self.kernel_init, (x.shape[-1], self.features)
    )
    bias = self.param('bias', self.bias_init, (self.features,))
    # cuBLAS takes multiples of 8 alone: XLA would copy the gradient to fit.
    room = -self.features % 8 if self.out == 'bfloat16' else 0
    if room:
      kernel = jnp.pad(kernel, ((0, 0), (0, room)))
      bias = jnp.pad(bias, (0, room))
    y = add_bias(product(x, kernel, self.dtype, self.out), bias)
    return y[..., : self.features] if room else y


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
    """Normalises the last axis of x.

    Args:
      x: (…, unit).
      mask: True where valid; of the first axes of x, or all but the last.
      train: whether by this batch's statistics.

    Returns:
      (…, unit), of x's type; worked out in float32 at least.
    """
    missing = [1] * (x.ndim - 1 - mask.ndim)
    mask = jnp.broadcast_to(mask.reshape(*mask.shape, *missing), x.shape[:-1])
    handed_on = x.dtype
    x = x.astype(jnp.promote_types(handed_on, jnp.float32))
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
    return (x * gain + (bias - mean * gain)).astype(handed_on)

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


def _scaled_up(x, rate):
  """x / (1 - rate), of which bfloat16 would round the divisor by 0.2 %."""
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  return (wide / (1 - rate)).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kept_relu(x, keep, rate):
  # Not x > 0: what is not a number is to show.
  return jnp.where(keep & ~(x <= 0), _scaled_up(x, rate), 0.0)


def _kept_relu_forward(x, keep, rate):
  y = _kept_relu(x, keep, rate)
  return y, y


def _kept_relu_backward(rate, y, grad):
  return jnp.where(y <= 0, 0.0, _scaled_up(grad, rate)), None


# What is positive in the end is what was kept of what was positive: neither
# mask needs to be remembered, and y is, by the product that follows.
_kept_relu.defvjp(_kept_relu_forward, _kept_relu_backward)


class Dropout(nn.Module):
  """Dropout (Srivastava et al. 2014) by global example index.

  Takes the RNG stream 'dropout', whose key must be equal on all devices.

  Attributes:
    rate: share of the units that are dropped.
    axis_name: the device axis of `pmap`, None outside one.
    relu: whether to take a ReLU first, in the same pass.
  """

  rate: float
  axis_name: str | None = None
  relu: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    if not train or self.rate == 0.0 or self.is_initializing():
      return nn.relu(x) if self.relu else x
    first: jax.Array | int = 0
    if self.axis_name:
      first = lax.axis_index(self.axis_name) * x.shape[0]
    bits = random_bits(self.make_rng('dropout'), first, x.shape)
    keep = bits >= jnp.uint32(self.rate * 2**32)
    if self.relu:
      return _kept_relu(x, keep, self.rate)
    return jnp.where(keep, _scaled_up(x, self.rate), 0.0)
