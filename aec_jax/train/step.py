"""One training step: the state, the optimisers, the update that all share.

Everything random is a function of (seed, step): the dropout masks by
`fold_in`, as the plan is by itself. A run that is killed and started again
ends with the same bits as an unbroken one.
"""

from collections.abc import Callable

import flax
import jax
import jax.numpy as jnp
import optax
from jax import lax

from aec_jax.errors import UserError, check_choice
from aec_jax.run import fields
from aec_jax.run.devices import AXIS
from aec_jax.run.fields import Field

# The fields of a section `optimizer`.
_FIELDS = {
  'name': Field('adam'),
  'learning_rate': Field(1e-3, 1e-12, 1e3),
  'b1': Field(0.9, 0, 0.999999),
  'b2': Field(0.999, 0, 0.999999),
  'momentum': Field(0.9, 0, 0.999999),
  'weight_decay': Field(0.0, 0, 1e3),  # of adamw
  'l1': Field(0.0, 0, 1e3),
  'l2': Field(0.0, 0, 1e3),
  # The largest global norm of a gradient; 0: any.
  'clip_norm': Field(0.0, 0, 1e9),
  # Steps in which the learning rate rises from 0.
  'warmup_steps': Field(0, 0, 2**31 - 1),
  # Steps after which it has fallen to 0 along half a cosine; 0: it is constant.
  'cosine_steps': Field(0, 0, 2**31 - 1),
}
fields.add('optimizer', _FIELDS)
fields.add(
  'extractor.optimizer',
  _FIELDS | {'learning_rate': Field(None, 1e-12, 1e3)},
)

# Thesis §3.2.5, each of a learning rate or schedule r and the config's section.
OPTIMIZERS = {
  'sgd': lambda r, c: optax.sgd(r),
  'momentum': lambda r, c: optax.sgd(r, c.momentum),
  'nesterov': lambda r, c: optax.sgd(r, c.momentum, nesterov=True),
  'adagrad': lambda r, c: optax.adagrad(r),
  'rmsprop': lambda r, c: optax.rmsprop(r),
  'adam': lambda r, c: optax.adam(r, c.b1, c.b2),
  'adamw': lambda r, c: optax.adamw(
    r, c.b1, c.b2, weight_decay=c.weight_decay
  ),
  'adamax': lambda r, c: optax.adamax(r, c.b1, c.b2),
  'nadam': lambda r, c: optax.nadam(r, c.b1, c.b2),
}  # fmt: skip


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

  @classmethod
  def start(cls, variables: dict, tx, average: float) -> 'TrainState':
    """The state before the first step, of a module's variables."""
    params = variables['params']
    batch_stats = variables.get('batch_stats', {})
    both = {'params': params, 'batch_stats': batch_stats}
    return cls(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=batch_stats,
      opt_state=tx.init(params),
      average=both if average else {},
    )

  def variables(self) -> dict:
    """What the model is scored with: the averages where they are kept."""
    return self.average or {
      'params': self.params,
      'batch_stats': self.batch_stats,
    }


def schedule(config) -> float | optax.Schedule:
  """The learning rate of a config's `optimizer` section, over the steps.

  It rises along a line for `warmup_steps`, and then is constant, or falls along
  half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983) to 0 at step
  `cosine_steps`.
  """
  rate, warm, end = (
    config.learning_rate, config.warmup_steps, config.cosine_steps
  )  # fmt: skip
  after = rate
  if end:
    after = optax.cosine_decay_schedule(rate, max(end - warm, 1))
  if not warm:
    return after
  rise = optax.linear_schedule(0.0, rate, warm)
  rest = after if end else optax.constant_schedule(rate)
  return optax.join_schedules([rise, rest], [warm])


def optimizer(
  config, field: str = 'config.optimizer'
) -> optax.GradientTransformation:
  """The optimiser of a config's `optimizer` section.

  Args:
    config: the section.
    field: the section's name, for messages.

  Raises:
    UserError: its name is unknown.
  """
  check_choice(f'{field}.name', config.name, OPTIMIZERS)
  tx = OPTIMIZERS[config.name](schedule(config), config)
  if config.clip_norm:
    tx = optax.chain(optax.clip_by_global_norm(config.clip_norm), tx)
  return tx


def penalty(params, l1: float, l2: float) -> jax.Array:
  """l1 · Σ|w| + l2 / 2 · Σw² over the kernels (thesis §3.2.4)."""
  total = jnp.zeros(())
  if l1 or l2:
    for w in jax.tree.leaves(params):
      if w.ndim > 1:
        total += l1 * jnp.sum(jnp.abs(w)) + l2 / 2 * jnp.sum(w * w)
  return total


def update(
  tx, settings, state: TrainState, loss_of: Callable
) -> tuple[TrainState, dict[str, jax.Array]]:
  """One update from one device's share of a batch; runs inside `pmap`.

  Args:
    tx: what `optimizer` returns.
    settings: the section with `optimizer` and `average`.
    state: before.
    loss_of: params -> (loss, batch_stats), the mean loss of the device's share,
      such that its mean over devices is the batch's.

  Returns:
    The new state, equal on all devices, and of the global batch {'loss', the
    mean, 'gradient_norm', before it is clipped}.
  """

  def penalised(params):
    loss, batch_stats = loss_of(params)
    c = settings.optimizer
    return loss + penalty(params, c.l1, c.l2), (loss, batch_stats)

  grads, (loss, batch_stats) = jax.grad(penalised, has_aux=True)(state.params)
  grads, loss = lax.pmean((grads, loss), AXIS)
  changes, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, changes)
  average = state.average
  if average:
    now = {'params': params, 'batch_stats': batch_stats}
    average = update_average(average, now, state.step, settings.average)
  state = TrainState(state.step + 1, params, batch_stats, opt_state, average)
  return state, {'loss': loss, 'gradient_norm': optax.tree.norm(grads)}


def update_average(average: dict, now: dict, step, decay: float) -> dict:
  """Moves a running mean, which forgets the first steps faster."""
  keep = jnp.minimum(decay, (1 + step) / (10 + step))
  return jax.tree.map(lambda a, x: keep * a + (1 - keep) * x, average, now)


def mean_loss(
  losses: jax.Array,
  valid: jax.Array | None,
  weights: jax.Array | None = None,
) -> jax.Array:
  """The mean of the losses (example,) of what is valid in the whole batch.

  As this device's share: the mean of it over the devices is that of the batch.

  Args:
    losses: (example,).
    valid: (example,); None where all are.
    weights: (example,) by which losses are multiplied before; None: 1.
  """
  if weights is not None:
    losses = losses * weights
  if valid is None:
    return jnp.mean(losses)
  count = lax.pmean(jnp.sum(valid.astype(jnp.float32)), AXIS)
  return jnp.sum(losses * valid) / count


@jax.jit
def all_finite(tree) -> jax.Array:
  """Whether a tree of arrays has no NaN and no infinity."""
  leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
  return jnp.all(jnp.stack(leaves))


def _read(kind: str, config) -> set[str]:
  """The fields of a section that a kind of optimiser reads."""
  names = set()

  class Section:
    def __getattr__(self, name):
      names.add(name)
      return config[name]

  OPTIMIZERS[kind](config.learning_rate, Section())
  return names


def check(settings, section: str = 'config') -> None:
  """Raises `UserError` for an optimiser that makes no sense."""
  c, field = settings.optimizer, f'{section}.optimizer'
  optimizer(c, field)
  of_others = set().union(*(_read(kind, c) for kind in OPTIMIZERS))
  for name in sorted(of_others - _read(c.name, c)):
    if c[name] != _FIELDS[name].default:
      raise UserError(
        f'{field}.{name} is {c[name]}; the optimiser {c.name!r} has no use for'
        ' it: leave it out'
      )
  if c.cosine_steps and c.warmup_steps >= c.cosine_steps:
    raise UserError(
      f'{section}.optimizer.warmup_steps is {c.warmup_steps}; it must be less'
      f' than cosine_steps, {c.cosine_steps}'
    )
