"""Optimisers, schedules and penalties, and batches that are filled up."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from aec_jax import presets
from aec_jax.errors import UserError
from aec_jax.run.devices import AXIS
from aec_jax.train import step


def section(**fields) -> ConfigDict:
  """A config's section `optimizer`."""
  found = presets.base().optimizer
  found.update(fields)
  return found


def descend(config, steps=40):
  """The parameters and the updates on |w|² / 2 from (1, -2)."""
  tx = step.optimizer(config)
  params = {'w': jnp.array([1.0, -2.0])}
  state, moves = tx.init(params), []
  for _ in range(steps):
    updates, state = tx.update(params, state, params)
    params = optax.apply_updates(params, updates)
    moves.append(np.asarray(updates['w']))
  return params, np.array(moves)


@pytest.mark.parametrize('name', step.OPTIMIZERS)
def test_every_optimiser_descends(name):
  params, _ = descend(section(name=name, learning_rate=0.05))
  assert jnp.sum(params['w'] ** 2) < 4.0


def test_an_unknown_optimiser_lists_those_there_are():
  with pytest.raises(UserError, match="'adamm'.*adagrad, adam, adamax"):
    step.optimizer(section(name='adamm'))


def rates(config, steps):
  found = step.schedule(config)
  return [float(found(i)) if callable(found) else found for i in range(steps)]


@pytest.mark.parametrize(
  ('name', 'taken'),
  [
    ('sgd', set()),
    ('nesterov', {'momentum'}),
    ('adam', {'b1', 'b2'}),
    ('adamw', {'b1', 'b2', 'weight_decay'}),
  ],
)
def test_what_an_optimiser_has_no_use_for_is_refused(name, taken):
  for field in ('b1', 'b2', 'momentum', 'weight_decay'):
    settings = ConfigDict({'optimizer': section(name=name, **{field: 0.5})})
    if field in taken:
      step.check(settings)
      continue
    with pytest.raises(UserError, match=f'config.optimizer.{field} is 0.5; '):
      step.check(settings)


def test_a_rate_is_constant_by_default():
  assert rates(section(learning_rate=0.3), 3) == [0.3] * 3


def test_a_rate_rises_along_a_line_and_stays():
  config = section(learning_rate=0.4, warmup_steps=4)
  expected = [0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
  np.testing.assert_allclose(rates(config, 7), expected, rtol=1e-6)


@pytest.mark.parametrize('warm', [0, 4])
def test_a_rate_falls_along_half_a_cosine_to_nothing(warm):
  config = section(learning_rate=0.5, warmup_steps=warm, cosine_steps=12)
  found = np.array(rates(config, 16))
  t = np.arange(warm, 16)
  done = np.minimum((t - warm) / (12 - warm), 1)
  expected = 0.25 * (1 + np.cos(np.pi * done))
  np.testing.assert_allclose(found[warm:], expected, atol=1e-7)
  np.testing.assert_allclose(found[:warm], 0.5 * np.arange(warm) / 4)
  assert (found[12:] == 0).all()


def test_an_optimiser_heeds_its_schedule():
  config = section(
    name='sgd', learning_rate=0.1, warmup_steps=2, cosine_steps=6
  )
  params, moves = descend(config, 9)
  assert (moves[0] == 0).all() and (moves[6:] == 0).all()
  before = [1.0, -2.0]
  for rate, move in zip(rates(config, 9), moves, strict=True):
    np.testing.assert_allclose(move, -rate * np.array(before), atol=1e-6)
    before = before + move
  np.testing.assert_allclose(params['w'], before, rtol=1e-6)


def test_a_warmup_must_end_before_the_cosine():
  config = presets.base()
  config.optimizer.update({'warmup_steps': 5, 'cosine_steps': 5})
  with pytest.raises(UserError, match=r'config\.optimizer\.warmup_steps is 5'):
    step.check(config)
  config.optimizer.cosine_steps = 6
  step.check(config)
  config.optimizer.cosine_steps = 0
  step.check(config)


def test_adamw_decays_the_weights_beside_the_gradient():
  """Loshchilov and Hutter 2019: by rate × decay × w, whatever the gradient."""
  fields = {'learning_rate': 0.1, 'b1': 0.9, 'b2': 0.999}
  _, plain = descend(section(name='adam', **fields), 1)
  _, same = descend(section(name='adamw', **fields), 1)
  np.testing.assert_array_equal(plain, same)  # decay is 0 by default
  _, decayed = descend(section(name='adamw', weight_decay=0.5, **fields), 1)
  np.testing.assert_allclose(
    decayed - plain, [[-0.05 * 1.0, -0.05 * -2.0]], rtol=1e-5
  )


def test_clip_norm_bounds_the_norm_of_all_gradients_together():
  tx = step.optimizer(section(name='sgd', learning_rate=1.0, clip_norm=2.0))
  large = {'a': jnp.array([3.0, 0.0]), 'b': jnp.array([[4.0]])}  # norm 5
  updates, _ = tx.update(large, tx.init(large), large)
  np.testing.assert_allclose(updates['a'], [-1.2, 0.0], rtol=1e-6)
  np.testing.assert_allclose(updates['b'], [[-1.6]], rtol=1e-6)
  small = jax.tree.map(lambda x: x / 5, large)
  updates, _ = tx.update(small, tx.init(small), small)
  np.testing.assert_allclose(updates['b'], -small['b'], rtol=1e-6)


def test_penalty_is_over_the_kernels():
  params = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([5.0])}
  np.testing.assert_allclose(step.penalty(params, 0.1, 0.0), 0.3, rtol=1e-6)
  np.testing.assert_allclose(step.penalty(params, 0.0, 0.1), 0.25, rtol=1e-6)


def test_the_mean_loss_is_over_what_is_valid():
  losses = np.array([[1.0, 2.0, 50.0]], np.float32)
  mean = jax.pmap(step.mean_loss, axis_name=AXIS, devices=jax.devices()[:1])
  found = mean(losses, np.array([[True, True, False]]))
  np.testing.assert_allclose(found, [1.5], rtol=1e-6)
  np.testing.assert_allclose(step.mean_loss(losses[0], None), 53 / 3, rtol=1e-6)
