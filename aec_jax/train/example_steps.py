"""The compiled steps of fine-tuning, and its validation."""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from jax import lax

from aec_jax.input import augment, batches
from aec_jax.models import extractors
from aec_jax.run.devices import AXIS
from aec_jax.train.step import mean_loss, update


def gather(table: dict, plan: dict) -> dict:
  """Replaces the rows that a plan names by the table's: 'examples', 'labels',
  and where losses count differently 'loss_weight'.
  """
  return {
    name: {k: array[value] for k, array in table.items()}
    if name in augment.ROWS
    else value
    for name, value in plan.items()
  }


def _make_step(tuner) -> Callable:
  """(state, batch) -> (state, {'loss', 'gradient_norm'} (member,))."""
  model, settings = tuner.model, tuner.settings
  spec = extractors.front_end(settings)

  def one(state, batch):
    examples = batch['first']['examples'].astype(jnp.float32)
    targets = batches.targets(batch['first']['labels'], model.classes)
    weights = batch['first'].get('loss_weight')
    if 'second' in batch:
      rows = {k: batch[k]['examples'] for k in augment.ROWS}
      examples = augment.apply(settings.augment, batch, rows, spec)
      second = batches.targets(batch['second']['labels'], model.classes)
      targets = batches.blend(targets, second, batch['weight'])
      if weights is not None:
        others = batch['second']['loss_weight']
        weights = batches.blend(weights, others, batch['weight'])

    def loss_of(params):
      logits, updates = model.apply(
        {'params': params, 'batch_stats': state.batch_stats},
        examples,
        batch['mask'],
        train=True,
        mutable=['batch_stats'],
      )
      losses = tuner.objective.loss(logits, targets)
      loss = mean_loss(losses, batch['mask'], weights)
      return loss, updates.get('batch_stats', {})

    state, measured = update(tuner.tx, settings, state, loss_of)
    return state, {k: x[None] for k, x in measured.items()}

  return one


def make_steps(tuner) -> Callable:
  """As `piece_steps.make_steps`, for a table of examples and labels.

  Args:
    tuner: a `FineTuner`.
  """
  one = _make_step(tuner)

  def of_size(size, table, state, now):
    now = jax.tree.map(lambda x: x[:size], now)
    return one(state, gather(table, now) if table else now)

  def steps(state, table, plan):
    if tuner.augments and table:
      plan = plan | _drawn(tuner, table, plan, state.step)
    room, devices = plan['mask'].shape[1], tuner.rooms.devices
    sizes = [size // devices for size in tuner.rooms.up_to(room * devices)]
    each = [functools.partial(of_size, size, table) for size in sizes]

    def body(state, now):
      rest = {k: v for k, v in now.items() if k != 'size'}
      if 'size' not in now:
        return each[-1](state, rest)
      return lax.switch(now['size'], each, state, rest)

    # XLA:CPU compiles and runs convolutions in a loop many times slower: one
    # step is no loop.
    return lax.scan(body, state, plan, unroll=len(plan['mask']) == 1)

  return jax.pmap(
    steps,
    axis_name=AXIS,
    in_axes=(None, None, 0),
    out_axes=(None, None),
    donate_argnums=(0,),
  )


def _drawn(tuner, table, plan, start) -> dict:
  """What is drawn for this device's share (step, example, …) of the batches."""
  rows, mask = (
    lax.all_gather(plan[k], AXIS, axis=1, tiled=True) for k in ('first', 'mask')
  )
  count, share = plan['mask'].shape
  drawn = tuner.draws(table, rows, mask, start + jnp.arange(count))
  here = lax.axis_index(AXIS) * share
  return {
    k: lax.dynamic_slice_in_dim(x, here, share, 1) for k, x in drawn.items()
  }


def make_sums(tuner) -> Callable:
  """Sums of log-likelihoods and of right first guesses, (2,).

  Args:
    tuner: a `FineTuner`.
  """
  model = tuner.model

  def sums(variables, table, now):
    now = gather(table, now) if table else now
    rows, mask = now['first'], now['mask']
    examples = rows['examples'].astype(jnp.float32)
    logits = cast(jax.Array, model.apply(variables, examples))
    targets = batches.targets(rows['labels'], model.classes)
    losses = tuner.objective.loss(logits, targets)
    right = jnp.argmax(logits, -1) == jnp.argmax(targets, -1)
    found = jnp.stack([jnp.sum(x * mask) for x in (-losses, right)])
    return lax.psum(found, AXIS)

  return jax.pmap(sums, axis_name=AXIS, in_axes=(None, None, 0), out_axes=None)
