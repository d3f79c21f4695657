"""One training step: state, losses, optimisers, the pmapped update.

Everything random is a function of (seed, step): the dropout masks by
`fold_in`, as the plan is by itself. A run that is killed and started again
ends with the same bits as an unbroken one.
"""

from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from aec_jax.errors import UserError, check_choice
from aec_jax.input import batches

AXIS = 'device'

# Each maps logits and targets (example, class) to losses (example,).
LOSSES = {
  'binary': lambda logits, targets: jnp.mean(
    optax.sigmoid_binary_cross_entropy(logits, targets), -1
  ),
  'categorical': optax.softmax_cross_entropy,
}

# Thesis §3.2.5, each of a learning rate or schedule r and the config's section.
OPTIMIZERS = {
  'sgd': lambda r, c: optax.sgd(r),
  'momentum': lambda r, c: optax.sgd(r, c.momentum),
  'nesterov': lambda r, c: optax.sgd(r, c.momentum, nesterov=True),
  'adagrad': lambda r, c: optax.adagrad(r),
  'rmsprop': lambda r, c: optax.rmsprop(r),
  'adam': lambda r, c: optax.adam(r, c.b1, c.b2),
  'adamax': lambda r, c: optax.adamax(r, c.b1, c.b2),
  'nadam': lambda r, c: optax.nadam(r, c.b1, c.b2),
}


@flax.struct.dataclass
class TrainState:
  """What a step changes.

  Attributes:
    step: how many steps are done.
    params, batch_stats: the model's variables.
    opt_state: the optimiser's.
    average: running means of params and batch_stats, empty when
      `config.average` is 0.
  """

  step: jax.Array
  params: dict
  batch_stats: dict
  opt_state: optax.OptState
  average: dict

  def variables(self) -> dict:
    """What the model is scored with: the averages where they are kept."""
    return self.average or {
      'params': self.params,
      'batch_stats': self.batch_stats,
    }


def update_average(average: dict, now: dict, step, decay: float) -> dict:
  """Moves a running mean, which forgets the first steps faster."""
  keep = jnp.minimum(decay, (1 + step) / (10 + step))
  return jax.tree.map(lambda a, x: keep * a + (1 - keep) * x, average, now)


def optimizer(
  config, cosine_steps: int = 0, field: str = 'config.optimizer'
) -> optax.GradientTransformation:
  """The optimiser of a config's `optimizer` section.

  Args:
    config: the section.
    cosine_steps: steps in which the learning rate falls to 0 along half a
      cosine (Loshchilov and Hutter 2017, arXiv:1608.03983); 0: it is constant.
    field: the section's name.

  Raises:
    UserError: its name is unknown.
  """
  check_choice(f'{field}.name', config.name, OPTIMIZERS)
  rate = config.learning_rate
  if cosine_steps:
    rate = optax.cosine_decay_schedule(rate, cosine_steps)
  return OPTIMIZERS[config.name](rate, config)


def create_state(model, tx, config, example_shape, seed=None) -> TrainState:
  """A fresh state for examples of shape (segment, feature).

  The only randomness is the parameters', from the key of `config.seed` (or of
  `seed`, which may be traced); dropout at step s uses the same key folded with
  s + 1.
  """

  @jax.jit
  def create(key):
    x = jnp.zeros((1, *example_shape))
    mask = jnp.ones(x.shape[:2], bool)
    variables = model.init(key, x, mask, train=True)
    params = variables['params']
    batch_stats = variables.get('batch_stats', {})
    average = {'params': params, 'batch_stats': batch_stats}
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=batch_stats,
      opt_state=tx.init(params),
      average=average if config.average else {},
    )

  return create(jax.random.key(config.seed if seed is None else seed))


def penalty(params, l1: float, l2: float) -> jax.Array:
  """l1 · Σ|w| + l2 / 2 · Σw² over the kernels (thesis §3.2.4)."""
  total = jnp.zeros(())
  if l1 or l2:
    for w in jax.tree.leaves(params):
      if w.ndim > 1:
        total += l1 * jnp.sum(jnp.abs(w)) + l2 / 2 * jnp.sum(w * w)
  return total


def train_step(model, tx, config, state: TrainState, batch: dict, seed=None):
  """One update from one device's share of a batch; runs inside `pmap`.

  Args:
    seed: of dropout; `config.seed` when None, and it may be traced.

  Returns:
    The new state, equal on all devices, and the global batch's mean loss.
  """
  seed = config.seed if seed is None else seed
  key = jax.random.fold_in(jax.random.key(seed), state.step + 1)

  def objective(params):
    logits, updates = model.apply(
      {'params': params, 'batch_stats': state.batch_stats},
      batch['embeddings'],
      batch['mask'],
      train=True,
      rngs={'dropout': key},
      mutable=['batch_stats'],
    )
    loss = jnp.mean(LOSSES[config.loss](logits, batch['targets']))
    extra = penalty(params, config.optimizer.l1, config.optimizer.l2)
    return loss + extra, (loss, updates.get('batch_stats', {}))

  grads, (loss, batch_stats) = jax.grad(objective, has_aux=True)(state.params)
  grads, loss = lax.pmean((grads, loss), AXIS)
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  average = state.average
  if average:
    now = {'params': params, 'batch_stats': batch_stats}
    average = update_average(average, now, state.step, config.average)
  state = TrainState(state.step + 1, params, batch_stats, opt_state, average)
  return state, loss


def make_train_steps(model, tx, config) -> Callable:
  """Several steps in one dispatch, pmapped.

  Returns:
    (state, table, plan) -> (state, losses (step,)). The state is donated. The
    plan's leaves are (device, step, example, …); they hold indices into the
    table, or, when the table is empty, the gathered rows themselves.
  """

  def steps(state, table, plan):
    def body(state, step):
      gathered = batches.gather(table, step) if table else step
      batch = batches.assemble(gathered, model.classes)
      return train_step(model, tx, config, state, batch)

    return lax.scan(body, state, plan)

  return jax.pmap(
    steps,
    axis_name=AXIS,
    in_axes=(None, None, 0),
    out_axes=(None, None),
    donate_argnums=(0,),
  )


def replicate(tree):
  """Puts a tree on every device once, as `pmap` takes what it broadcasts.

  Each host gives its own copy, equal to the others'.
  """
  mesh = jax.sharding.Mesh(np.array(jax.devices()), (AXIS,))
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  if jax.process_count() == 1:
    return jax.device_put(tree, everywhere)

  # device_put would send all of it to the other hosts, to compare.
  def put(x):
    x = np.asarray(x)
    return jax.make_array_from_process_local_data(everywhere, x, x.shape)

  return jax.tree.map(put, tree)


def check_shares(config) -> None:
  """Raises `UserError` unless the devices can share a batch equally."""
  if config.batch_size % jax.device_count():
    raise UserError(
      f'config.batch_size is {config.batch_size}, which'
      f' {jax.device_count()} devices cannot share equally'
    )


def on_device(config, section: str = 'config') -> bool:
  """Whether examples rest on the device, from `examples_on` of a section."""
  field = f'{section}.examples_on'
  check_choice(field, config.examples_on, ('device', 'host'))
  return config.examples_on == 'device'


@jax.jit
def all_finite(tree) -> jax.Array:
  """Whether a tree of arrays has no NaN and no infinity."""
  leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
  return jnp.all(jnp.stack(leaves))
