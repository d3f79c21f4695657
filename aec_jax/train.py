"""Training: state, losses, the pmapped step, and the loop with early stopping.

Everything random is a function of (seed, step): the plan, and the dropout
masks by `fold_in`. A run that is killed and started again ends with the same
bits as an unbroken one.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax import lax

from aec_jax import cache, hosts, termination
from aec_jax.checkpoint import Checkpoints
from aec_jax.errors import UserError, check_choice
from aec_jax.input import batches

AXIS = 'device'
# Of which the plans are one tf.data pipeline.
_SPANS = 10_000

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


@dataclasses.dataclass
class History:
  """What training remembers beside the state; saved with every checkpoint.

  Attributes:
    evaluations: the metrics of each evaluation, with 'step' and 'loss', the
      mean training loss since the one before.
    loss_sum, loss_steps: the training loss since the last evaluation.
    seconds: spent in training and evaluation, over all runs.
    diverged: names of an ensemble's members that were left out.
  """

  evaluations: list[dict] = dataclasses.field(default_factory=list)
  loss_sum: float = 0.0
  loss_steps: int = 0
  seconds: float = 0.0
  diverged: list[str] = dataclasses.field(default_factory=list)

  def best(self, metric: str) -> dict | None:
    """The evaluation with the highest metric, the first of equals."""
    return max(self.evaluations, key=lambda e: e[metric], default=None)

  def since_best(self, metric: str) -> int:
    """How many evaluations have passed without a better one."""
    if not self.evaluations:
      return 0
    return len(self.evaluations) - 1 - self.evaluations.index(self.best(metric))


def spans(start: int, config) -> Iterator[tuple[int, int]]:
  """(start, stop) of each dispatch from step `start` to `max_steps`.

  A function of `start` alone wherever an evaluation or a checkpoint falls, so
  that a resumed run dispatches what the unbroken one did.
  """
  while start < config.max_steps:
    stop = min(start + config.steps_per_dispatch, config.max_steps)
    for every in (config.eval_every, config.checkpoint_every):
      stop = min(stop, (start // every + 1) * every)
    yield start, stop
    start = stop


class Trainer:
  """Trains one model on examples that lie on the device or on the host.

  Args:
    config: of the experiment.
    model: a Flax module with `axis_name=AXIS`.
    examples: the training `Examples`.
    plan: which of them make up each step.
  """

  # What to lower when training diverges.
  rate_field = 'config.optimizer.learning_rate'

  def __init__(self, config, model, examples, plan):
    self.devices = jax.local_device_count()
    check_shares(config)
    self.config, self.model, self.plan = config, model, plan
    self.tx = optimizer(config.optimizer)
    table = batches.rows(examples)
    self.resident = replicate(table) if on_device(config) else {}
    self.table = {} if self.resident else table  # AudioSet fits once, not twice
    self.steps = make_train_steps(model, self.tx, config)
    self.example_shape = examples.embeddings.shape[1:]
    self.ids = examples.ids

  def create_state(self) -> TrainState:
    return create_state(self.model, self.tx, self.config, self.example_shape)

  def fit(
    self,
    evaluate: Callable,
    checkpoints: Checkpoints,
    writer,
    chance: float | None = None,
  ) -> History:
    """Trains from the latest checkpoint until patience or max_steps ends.

    When SIGTERM comes, the dispatch or evaluation that is under way is done,
    and saved, before the process exits; see `termination`.

    Args:
      evaluate: TrainState -> dict of metrics.
      checkpoints: where to go on from and to save to.
      writer: a clu MetricWriter.
      chance: of `config.metric`, for `warn_at_chance`.

    Raises:
      UserError: the loss or a parameter is not finite. Such a state is never
        saved.
    """
    config, history, state = self.config, History(), self.create_state()
    found = checkpoints.restore(state)
    if found:
      state, history = found[0], History(**found[1])
    step = int(state.step)
    state = replicate(state)
    progress = Progress(config, step, history, checkpoints.folder)
    todo = () if self.finished(step, history) else spans(step, config)
    with termination.held() as signals:
      for (start, step), plan in self._planned(todo):
        state, losses = self.steps(state, self.resident, plan)
        losses = self._finite(np.asarray(losses), start, history, checkpoints)
        history.loss_sum += float(np.sum(losses, dtype=np.float64))
        history.loss_steps += step - start
        progress.step(step, losses)
        stopping = bool(signals)
        at_eval = step % config.eval_every == 0 or step == config.max_steps
        saving = at_eval or stopping or step % config.checkpoint_every == 0
        if saving:
          self._check_state(step, state, history, checkpoints)
        if at_eval:
          state = self._evaluate(
            step, state, evaluate, history, writer, checkpoints
          )
          progress.evaluated()
          warn_at_chance(config, history, chance)
        if saving:
          history.seconds += progress.lap()
          checkpoints.save(step, state, dataclasses.asdict(history))
        if stopping or self.finished(step, history):
          break
    return history

  def finished(self, step: int, history: History) -> bool:
    config = self.config
    patient = history.since_best(config.metric) < config.patience
    return step >= config.max_steps or not patient

  def _finite(self, losses, start, history, checkpoints) -> np.ndarray:
    """The losses (step,) of the dispatch from step `start`, all finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
      what = f'the loss is {losses[bad[0]]}'
      raise self._diverged(what, start + bad[0], self.plan, checkpoints)
    return losses

  def _check_state(self, step, state, history, checkpoints) -> None:
    """Raises `UserError` unless all variables after `step` are finite."""
    if not all_finite((state.params, state.batch_stats, state.average)):
      what = 'the parameters are not finite'
      raise self._diverged(what, step - 1, self.plan, checkpoints)

  def _diverged(self, what, step, plan, checkpoints) -> UserError:
    """The error that names a step, counted from 0, and what it trained on.

    All ids of its batch go to `diverged.json` beside the checkpoints.
    """
    (batch,) = plan.dataset([(step, step + 1)]).as_numpy_iterator()
    rows = [v.ravel() for k, v in batch.items() if k != 'weight']
    ids = self.ids[np.unique(np.concatenate(rows))].astype(str).tolist()
    path = checkpoints.folder / 'diverged.json'
    step = int(step) + 1
    if hosts.is_first():
      cache.write_json(path, {'what': what, 'step': step, 'examples': ids})
    return UserError(
      f'{what} at step {step:,}, in the batch of {", ".join(ids[:3])}'
      f' (all {len(ids)} in {path}): try a lower {self.rate_field}; the last'
      f' good checkpoint is in {checkpoints.folder}'
    )

  def _evaluate(self, step, state, evaluate, history, writer, checkpoints):
    metrics = evaluate(state)
    entry = {
      'step': step,
      'loss': history.loss_sum / history.loss_steps,
      **metrics,
    }
    history.evaluations.append(entry)
    history.loss_sum, history.loss_steps = 0.0, 0
    writer.write_scalars(step, {k: v for k, v in entry.items() if k != 'step'})
    if history.best(self.config.metric) is entry:
      checkpoints.save_best(step, state, dataclasses.asdict(history))
    return state

  def _planned(self, todo):
    """Pairs of a span and its plan, however many steps `max_steps` allows."""
    todo = iter(todo)
    while some := list(itertools.islice(todo, _SPANS)):
      yield from zip(some, self._plans(some), strict=True)

  def _plans(self, todo):
    """The plan of each span, as the pmapped steps take it."""
    dataset = self.plan.dataset(
      todo, host=jax.process_index(), hosts=jax.process_count()
    )
    for plan in dataset.as_numpy_iterator():
      if not self.resident:
        plan = batches.gather(self.table, plan)
      yield jax.tree.map(self._split, plan)

  def _split(self, x):
    """(step, example, …) -> (device, step, example, …)."""
    x = x.reshape(x.shape[0], self.devices, -1, *x.shape[2:])
    return np.swapaxes(x, 0, 1)


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


# At chance: no further above what a guess gets that does not listen, where the
# best possible is 1 (or, of a log-likelihood, 0).
_AT_CHANCE = 0.02


def warn_at_chance(config, history: History, chance: float | None) -> None:
  """Logs a warning of a metric that has stayed at chance.

  It is due once: at the first evaluation past a fifth of `max_steps`, or at
  the one that makes them half as many as `patience`, whichever comes first.

  Args:
    config: `metric`, `max_steps` and `patience`.
    history: up to now.
    chance: see `metrics.chance`; None warns of nothing.
  """
  due = [
    5 * entry['step'] >= config.max_steps or 2 * count >= config.patience
    for count, entry in enumerate(history.evaluations, 1)
  ]
  if chance is None or not due[-1] or any(due[:-1]):
    return
  best = history.best(config.metric)[config.metric]
  if best < chance + _AT_CHANCE:
    logging.warning(
      'after %s of at most %s steps the best %s is %.4f, and a guess gets %.4f:'
      ' look at the labels, the learning rate and the loss',
      f'{history.evaluations[-1]["step"]:,}', f'{config.max_steps:,}',
      config.metric, best, chance,
    )  # fmt: skip


class Progress:
  """The progress line: step, examples/s, loss, best metric, time left.

  `progress.json` in a folder holds the same, for those that watch many runs:
  {'step', 'max_steps', 'metric', 'best', 'best_step', 'seconds_left'}.
  """

  def __init__(self, config, step, history, folder, every_seconds=10.0):
    self.config, self.history, self.every = config, history, every_seconds
    self.path = folder / 'progress.json'
    self.rate = None
    self.last_lap = time.monotonic()
    self._restart(step)
    self._write(step)

  def _restart(self, step):
    self.since, self.since_step = time.monotonic(), step

  def step(self, step, losses):
    now = time.monotonic()
    if now - self.since < self.every and step < self.config.max_steps:
      return
    self.rate = (step - self.since_step) / (now - self.since)
    best = self.history.best(self.config.metric)
    logging.info(
      'step %s/%s · %s examples/s · loss %.5f · best %s %s · %s left',
      f'{step:,}',
      f'{self.config.max_steps:,}',
      f'{self.rate * self.config.batch_size:,.0f}',
      float(np.mean(losses)),
      self.config.metric,
      f'{best[self.config.metric]:.4f} at {best["step"]:,}' if best else '-',
      duration(self._seconds_left(step)),
    )
    self._restart(step)
    self._write(step)

  def evaluated(self):
    """Leaves an evaluation's time out of the rate."""
    entry = self.history.evaluations[-1]
    self._restart(entry['step'])
    self._write(entry['step'])

  def _seconds_left(self, step):
    return (self.config.max_steps - step) / self.rate

  def _write(self, step):
    if not hosts.is_first():
      return
    best = self.history.best(self.config.metric)
    progress = {
      'step': step,
      'max_steps': self.config.max_steps,
      'metric': self.config.metric,
      'best': best and best[self.config.metric],
      'best_step': best and best['step'],
      'seconds_left': self.rate and self._seconds_left(step),
    }
    cache.write_json(self.path, progress)

  def lap(self) -> float:
    """Seconds since the last call."""
    now = time.monotonic()
    seconds, self.last_lap = now - self.last_lap, now
    return seconds


def duration(seconds: float) -> str:
  """'45 s', '12 min', '3 h 05 min'."""
  if seconds < 60:
    return f'{seconds:.0f} s'
  minutes = round(seconds / 60)
  if minutes < 60:
    return f'{minutes} min'
  return f'{minutes // 60} h {minutes % 60:02d} min'
