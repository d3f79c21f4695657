"""The network that pools over the whole example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from aec_jax.models.pooled import CHANNELS, PooledCNN

CLASSES = 3


@pytest.fixture(scope='module')
def network():
  """A narrow one with running statistics of its own, and examples."""
  module = PooledCNN(CLASSES, 0.25)
  rng = np.random.default_rng(0)
  x = rng.standard_normal((4, 32, 16)).astype(np.float32)
  variables = module.init(jax.random.key(1), x)
  stats = jax.tree.map(
    lambda v: v + rng.uniform(0, 0.5, v.shape), variables['batch_stats']
  )
  return module, variables | {'batch_stats': stats}, x


def written_out(variables, x):
  """The same in XLA's own operations."""
  params, stats = variables['params'], variables['batch_stats']

  def norm(name, x):
    p, s = params[f'{name}_norm'], stats[f'{name}_norm']
    scaled = (x - s['mean']) / jnp.sqrt(s['var'] + 1e-3)
    return scaled * p['scale'] + p['bias']

  x = norm('input', x)[..., None]
  for i in range(1, len(CHANNELS) + 1):
    p = params[f'conv{i}']
    x = lax.conv_general_dilated(
      x, p['kernel'], (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    x = jnp.maximum(norm(f'conv{i}', x + p['bias']), 0)
    x = lax.reduce_window(
      x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID'
    )
  x = x.mean(2)
  x = x.mean(1) + x.max(1)
  return x @ params['output']['kernel'] + params['output']['bias']


def test_it_is_as_written_out(network):
  module, variables, x = network
  found = module.apply(variables, x)
  assert found.shape == (4, CLASSES)
  np.testing.assert_allclose(found, written_out(variables, x), atol=1e-4)


def test_gradients_are_those_of_what_is_written_out(network):
  module, variables, x = network

  def gradients(apply):
    loss = lambda params: jnp.sum(jnp.sin(apply(variables | params, x)))
    return jax.jit(jax.grad(loss))({'params': variables['params']})

  found, expected = map(gradients, (module.apply, written_out))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), found, expected
  )


def test_what_is_not_valid_changes_nothing(network):
  module, variables, x = network
  mask = np.array([True, True, True, False])
  others = x.copy()
  others[3] = 100

  def trained(x):
    return module.apply(variables, x, mask, True, mutable=['batch_stats'])

  (one, stats), (two, others_stats) = trained(x), trained(others)
  np.testing.assert_allclose(one[:3], two[:3], atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    stats, others_stats,
  )  # fmt: skip
