"""Layers that the classifiers share, against written-out formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax import models
from aec_jax.models import layers
from aec_jax.run import processor


def test_masked_batch_norm_takes_the_valid_positions_alone():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(40, 6, 16)).astype(np.float32)
  mask = np.arange(6) < 1 + np.arange(40)[:, None] % 6
  norm = layers.MaskedBatchNorm(momentum=0.75)
  variables = norm.init(jax.random.key(0), x, mask, train=True)
  y, updates = norm.apply(
    variables, x, mask, train=True, mutable=['batch_stats']
  )
  valid = x[mask]
  mean, var = valid.mean(0), valid.var(0)
  np.testing.assert_allclose(
    y[mask], (valid - mean) / np.sqrt(var + 1e-3), atol=1e-4
  )
  stats = updates['batch_stats']
  np.testing.assert_allclose(stats['mean'], 0.25 * mean, atol=1e-6)
  np.testing.assert_allclose(stats['var'], 0.75 + 0.25 * var, rtol=1e-4)


def dropout_mask(rate, key, shape, first=0):
  bits = layers.random_bits(jax.random.key(key), first, shape)
  return np.asarray(bits >= np.uint32(rate * 2**32))


@settings(max_examples=10, deadline=None)
@given(
  rate=st.floats(0.05, 0.95),
  key=st.integers(0, 2**31),
  cut=st.sampled_from([1, 20, 63]),  # each compiles
)
def test_dropout_keeps_its_share_whatever_the_slices(rate, key, cut):
  shape = (64, 10, 60)
  keep = dropout_mask(rate, key, shape)
  deviation = np.sqrt(rate * (1 - rate) / keep.size)
  assert abs(keep.mean() - (1 - rate)) < 5 * deviation
  parts = [
    dropout_mask(rate, key, (cut, 10, 60)),
    dropout_mask(rate, key, (64 - cut, 10, 60), first=cut),
  ]
  np.testing.assert_array_equal(np.concatenate(parts), keep)


def test_dropout_masks_are_independent():
  """Of neighbours along each axis, and of consecutive keys."""
  keep = dropout_mask(0.4, 3, (100, 10, 100)).astype(np.float64)
  other = dropout_mask(0.4, 4, (100, 10, 100))
  pairs = [
    (keep[1:], keep[:-1]),
    (keep[:, 1:], keep[:, :-1]),
    (keep[..., 1:], keep[..., :-1]),
    (keep, other),
    (keep[:64], keep[36:]),
  ]
  for a, b in pairs:
    correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(a.size)
  per_unit = keep.mean((0, 1))
  assert per_unit.std() < 1.3 * np.sqrt(0.24 / 1000)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 50.0]))
def test_bfloat16_products_and_gradients_stay_near_float64(seed, scale):
  rng = np.random.default_rng(seed)
  x = (scale * rng.normal(size=(3, 4, 32))).astype(np.float32)
  w = rng.normal(size=(32, 8)).astype(np.float32)
  weight = rng.normal(size=(3, 4, 8)).astype(np.float32)

  def objective(x, w):
    return jnp.sum(weight * layers.product(x, w, 'bfloat16'))

  grad_x, grad_w = jax.grad(objective, argnums=(0, 1))(x, w)
  wide = np.float64
  close = functools.partial(np.testing.assert_allclose, rtol=0)
  y = layers.product(x, w, 'bfloat16')
  assert y.dtype == grad_x.dtype == grad_w.dtype == np.float32
  # Two rounded operands, 2^-9 each, over a sum of 32 terms.
  bound = 2**-8 * 32**0.5 * 5
  close(y, x.astype(wide) @ w.astype(wide), atol=bound * scale)
  close(grad_x, weight.astype(wide) @ w.T.astype(wide), atol=bound)
  expected = np.einsum('bti,btj->ij', x.astype(wide), weight.astype(wide))
  close(grad_w, expected, atol=bound * scale)


def test_a_processor_without_bfloat16_gives_the_same(monkeypatch):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(70, 32)).astype(np.float32)
  w = rng.normal(size=(32, 16)).astype(np.float32)
  weight = rng.normal(size=(70, 16)).astype(np.float32)
  found = []
  for has in (True, False):
    monkeypatch.setattr(processor, 'multiplies_bfloat16', lambda has=has: has)

    @jax.jit
    def all_three(x, w, weight):
      y, vjp = jax.vjp(lambda *a: layers.product(*a, 'bfloat16'), x, w)
      return y, *vjp(weight), layers.bfloat16_operand(x).astype(jnp.float32)

    found.append(all_three(x, w, weight))
    text = str(jax.make_jaxpr(all_three)(x, w, weight))
    assert ('reduce_precision' in text) is not has
  for one, other in zip(*found, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * abs(one).max())


def test_relu_and_dropout_in_one_pass_are_one_after_the_other():
  x = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
  x[0] = 0
  rngs = {'dropout': jax.random.key(3)}

  def two(x):
    return layers.Dropout(0.4).apply({}, jax.nn.relu(x), True, rngs=rngs)

  def one(x):
    return layers.Dropout(0.4, relu=True).apply({}, x, True, rngs=rngs)

  for function in (lambda f: f(x), lambda f: jax.grad(lambda x: f(x).sum())(x)):
    # XLA may multiply by the reciprocal of what it divides by.
    np.testing.assert_allclose(function(one), function(two), rtol=1e-6)
  x[1] = np.nan
  assert np.isnan(one(x)[1]).any() and not np.isnan(one(x)[2:]).any()
  x[1] = 0
  alone = layers.Dropout(0.4, relu=True).apply({}, x, False)
  np.testing.assert_array_equal(alone, jax.nn.relu(x))


def test_layers_hand_on_bfloat16_on_accelerators_alone():
  assert layers.activation_dtype('bfloat16', 'cpu') == 'float32'
  assert layers.activation_dtype('bfloat16', 'gpu') == 'bfloat16'
  assert layers.activation_dtype('float32', 'gpu') == 'float32'
  config = {'name': 'dnn', 'hidden': (3,), 'dtype': 'bfloat16'}
  assert models.classifier(config, 5).activations == 'float32'
  assert 'activations' not in models.defaults('dnn')


def test_auto_is_bfloat16_on_accelerators_alone(monkeypatch):
  for backend, auto in (('cpu', 'float32'), ('gpu', 'bfloat16')):
    assert layers.product_dtype('auto', backend) == auto
    assert layers.activation_dtype('auto', backend) == auto
    for asked in ('float32', 'bfloat16'):
      assert layers.product_dtype(asked, backend) == asked
    monkeypatch.setattr(jax, 'default_backend', lambda backend=backend: backend)
    config = {'name': 'dnn', 'hidden': (3,), 'dtype': 'auto'}
    found = models.classifier(config, 5)
    assert (found.dtype, found.activations) == (auto, auto)
    # As a module of its own, and of a record without the field.
    del config['dtype']
    assert models.classifier(config, 5).dtype == 'float32'
  assert models.defaults('dnn')['dtype'] == 'auto'


def test_auto_gives_float32_s_bits_on_a_processor():
  x = np.random.default_rng(0).normal(size=(4, 3, 128)).astype(np.float32)
  mask = np.ones((4, 3), bool)
  found = []
  for dtype in ('auto', 'float32'):
    config = {'name': 'attention', 'hidden': (8, 8, 8), 'dtype': dtype}
    module = models.classifier(config, 5)
    variables = module.init(jax.random.key(0), x, mask)
    found.append(module.apply(variables, x, mask))
  np.testing.assert_array_equal(*found)


def test_a_bias_s_gradient_is_summed_in_float32():
  y = jnp.zeros((30, 100, 4), jnp.bfloat16)
  bias = jnp.zeros(4)
  grad = jnp.full(y.shape, 1.0, jnp.bfloat16)
  _, vjp = jax.vjp(layers.add_bias, y, bias)
  of_y, of_bias = vjp(grad)
  assert (of_y.dtype, of_bias.dtype) == (jnp.bfloat16, jnp.float32)
  np.testing.assert_array_equal(of_bias, np.full(4, 3000.0))
  reductions = str(jax.make_jaxpr(lambda g: vjp(g)[1])(grad))
  assert 'f32[4] = reduce_sum' in reductions and 'bf16[4]' not in reductions
