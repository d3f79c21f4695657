"""The compiled steps of classifiers, and what they say of pieces."""

import functools
from collections.abc import Callable

import jax
from jax import lax

from aec_jax.input import batches
from aec_jax.run.devices import AXIS
from aec_jax.train.step import mean_loss, update


def over_members(function: Callable, in_axes: tuple, members: int) -> Callable:
  """Maps a function over a leading member axis; one member without `vmap`."""
  if members > 1:
    return jax.vmap(function, in_axes)

  def alone(*args):
    first = [
      x if axis is None else jax.tree.map(lambda y: y[0], x)
      for x, axis in zip(args, in_axes, strict=True)
    ]
    return jax.tree.map(lambda y: y[None], function(*first))

  return alone


def make_steps(system) -> Callable:
  """Several steps of all members in one dispatch, pmapped.

  Args:
    system: `Classifiers`.

  Returns:
    (state, table, plan, rows) -> (state, {'loss', 'gradient_norm'} (step,
    member)). The state is donated. The plan's leaves are (device, step, member,
    example, …); they hold indices into the table, or, when the table is empty,
    the gathered rows themselves. `rows` is what `Classifiers.rows` returns.
  """
  axes = (0, None, 0, 0, 0)

  def steps(state, table, plan, rows):
    one = functools.partial(_member_step, system, rows)
    every = over_members(one, axes, len(system.members))

    def body(members, now):
      return every(members, table, system.starts, system.seeds, now)

    members, measured = lax.scan(body, state.members, plan)
    return state.replace(members=members), measured

  return jax.pmap(
    steps,
    axis_name=AXIS,
    in_axes=(None, None, 0, None),
    out_axes=(None, None),
    donate_argnums=(0,),
    static_broadcasted_argnums=(3,),
  )


def _member_step(system, rows, state, table, start, seed, plan):
  """One step of a member, without the member axis; see `make_steps`.

  Args:
    start: where the embeddings of its extractor begin in the table.
    seed: of its dropout masks.
  """
  model = system.model
  step = batches.gather_step(table, start, plan) if table else plan
  batch = batches.assemble(step, model.classes)
  key = jax.random.fold_in(jax.random.key(seed), state.step + 1)

  def loss_of(params):
    logits, updates = model.apply(
      {'params': params, 'batch_stats': state.batch_stats},
      batch['embeddings'],
      batch['mask'],
      train=True,
      rngs={'dropout': key},
      mutable=['batch_stats'],
      **({'rows': rows} if rows else {}),
    )
    losses = system.objective.loss(logits, batch['targets'])
    loss = mean_loss(losses, batch.get('valid'), batch.get('loss_weight'))
    return loss, updates.get('batch_stats', {})

  return update(system.tx, system.settings, state, loss_of)


def make_predict(system) -> Callable:
  """Values (member, piece, class) of pieces (device, member, piece).

  Args:
    system: `Classifiers`.
  """
  model = system.model

  def member_predict(variables, table, start, pieces):
    row = batches.gather(table, start, pieces) if table else pieces
    batch = batches.decode(row, model.classes)
    logits = model.apply(variables, batch['embeddings'], batch['mask'])
    # All of the batch on every host.
    values = system.objective.values(logits)
    return lax.all_gather(values, AXIS, tiled=True)

  every = over_members(member_predict, (0, None, 0, 0), len(system.members))
  return jax.pmap(
    lambda variables, table, pieces: every(
      variables, table, system.starts, pieces
    ),
    axis_name=AXIS,
    in_axes=(None, None, 0),
    out_axes=None,
  )
