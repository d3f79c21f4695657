"""Many small classifiers trained in one run: extractors × folds (thesis §5.2).

All members share the step, the plan's form and the table of examples; each has
its own parameters, draws, extractor's features and early stop. They are
`vmap`ped over a leading member axis, inside the `pmap` over devices.
"""

import dataclasses
from collections.abc import Callable, Sequence

import flax
import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax import lax

from aec_jax import metrics, models
from aec_jax.input import batches
from aec_jax.input.pieces import Pieces
from aec_jax.input.plan import Plan
from aec_jax.train import step
from aec_jax.train.extractor import groups_of
from aec_jax.train.loop import Trainer
from aec_jax.train.step import AXIS, TrainState

METRICS = ('MAP@3', 'accuracy', 'log_likelihood')


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One classifier to be; clips are indices.

  Attributes:
    name: such as 'balanced_first/0'.
    extractor: index of the extractor whose embeddings it takes.
    training, validation: (clip,), what it learns from and when it stops.
    scored: (clip,), what its guess counts for.
  """

  name: str
  extractor: int
  training: np.ndarray
  validation: np.ndarray
  scored: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
  """What all members train on and are scored on.

  Attributes:
    embeddings: (extractor, segment, 128) float32.
    pieces: how the segments make up what a classifier takes.
    ids: (clip,) names.
    labels: (clip,) int16.
    classes: number of classes.
  """

  embeddings: np.ndarray
  pieces: Pieces
  ids: np.ndarray
  labels: np.ndarray
  classes: int


@flax.struct.dataclass
class EnsembleState:
  """The members' states with a leading member axis, and the best of each.

  Attributes:
    members: what a step changes.
    best: each member's variables when it was best on its validation clips.
  """

  members: TrainState
  best: dict

  @property
  def step(self) -> jax.Array:
    return self.members.step[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Standing:
  """How far each member's early stop is, all (member,).

  Attributes:
    best: its best validation score, -inf before the first.
    at: the step of it.
    stopped: whether its patience has ended.
  """

  best: np.ndarray
  at: np.ndarray
  stopped: np.ndarray


def standing(evaluations: Sequence[dict], config, members: int) -> Standing:
  """Replays the members' early stops, each by its own scores.

  Args:
    evaluations: of a `History`; their 'members' holds {metric: (member,)},
      None for a member that has diverged.
    config: `metric` and `patience`.
    members: how many.
  """
  best = np.full(members, -np.inf)
  at, waited = np.zeros(members, int), np.zeros(members, int)
  stopped = np.zeros(members, bool)
  for entry in evaluations:
    scores = np.array(entry['members'][config.metric], float)
    better = (scores > best) & ~stopped
    best[better], at[better] = scores[better], entry['step']
    waited = np.where(better, 0, waited + 1)
    stopped |= waited >= config.patience
  return Standing(best, at, stopped)


class Ensemble(Trainer):
  """Trains all members together; see `Trainer.fit`.

  Args:
    config: of the experiment.
    features: of all clips.
    members: who trains on what. Member m's seed is config.seed + m.
  """

  def __init__(self, config, features: Features, members: Sequence[Member]):
    step.check_shares(config)
    self.config, self.features, self.members = config, features, members
    self.devices = jax.local_device_count()
    self.model = models.classifier(config.model, features.classes, AXIS)
    self.tx = step.optimizer(config.optimizer)
    self.ids = features.ids[features.pieces.clips]  # (piece,)
    size = features.pieces.segments.shape[1]
    self.example_shape = (size, features.embeddings.shape[-1])
    self.seeds = config.seed + np.arange(len(members), dtype=np.int32)
    # Where each member's embeddings begin in the table, extractor by extractor.
    segments = features.embeddings.shape[1]
    starts = np.array([m.extractor * segments for m in members], np.int32)
    self.resident = step.replicate(_table(features))
    self.steps = make_steps(self.model, self.tx, config, starts, self.seeds)
    self.predict = _make_predict(self.model, starts)
    self.plans = [
      self._plan(member, int(seed))
      for member, seed in zip(members, self.seeds, strict=True)
    ]

  def _plan(self, member, seed):
    config, pieces = self.config, self.features.pieces
    rows = pieces.of_clips(member.training)
    labels = self.features.labels[pieces.clips]
    groups = groups_of(labels, rows, config.sampling)
    return Plan(groups, config.batch_size, seed, config.mixup_alpha)

  def create_state(self) -> EnsembleState:
    create = lambda seed: step.create_state(
      self.model, self.tx, self.config, self.example_shape, seed
    )
    # Not vmapped: see the orthogonal matrices of `classifiers.LSTM`.
    members = jax.jit(lambda seeds: lax.map(create, seeds))(self.seeds)
    best = jax.tree.map(jnp.copy, members.variables())
    return EnsembleState(members, best)

  def standing(self, history) -> Standing:
    return standing(history.evaluations, self.config, len(self.members))

  def finished(self, step, history) -> bool:
    stopped = self.standing(history).stopped
    return step >= self.config.max_steps or bool(stopped.all())

  def _finite(self, losses, start, history, checkpoints) -> np.ndarray:
    """(step, member) -> (step,): means over the members that are left."""
    for member in np.flatnonzero(~np.isfinite(losses).all(0)):
      step = np.flatnonzero(~np.isfinite(losses[:, member]))[0]
      what = (
        f'the loss of {self.members[member].name} is {losses[step, member]}'
      )
      self._lose(member, what, start + step, history, checkpoints)
    return losses[:, self.left(history)].mean(1)

  def _check_state(self, step, state, history, checkpoints) -> None:
    finite = jax.vmap(step.all_finite)(state.members.variables())
    for member in np.flatnonzero(~np.asarray(finite)):
      name = self.members[member].name
      what = f'the parameters of {name} are not finite'
      self._lose(member, what, step - 1, history, checkpoints)

  def _lose(self, member, what, step, history, checkpoints) -> None:
    """Leaves a member out, or stops, as `config.on_diverged` says."""
    name = self.members[member].name
    if name in history.diverged:
      return
    error = self._diverged(what, step, self.plans[member], checkpoints)
    last = len(history.diverged) == len(self.members) - 1
    if self.config.on_diverged == 'error' or last:
      raise error
    logging.warning('left out: %s', error)
    history.diverged.append(name)

  def left(self, history) -> np.ndarray:
    """The indices of the members that have not diverged."""
    names = [member.name for member in self.members]
    return np.flatnonzero(~np.isin(names, history.diverged))

  def validate(self, state: EnsembleState) -> dict[str, np.ndarray]:
    """Each member's scores on its validation clips: {metric: (member,)}."""
    found = self.clip_log_probabilities(
      state.members.variables(), [m.validation for m in self.members]
    )
    scores = [
      score(self.features.labels[member.validation], log_probabilities)
      for member, log_probabilities in zip(self.members, found, strict=True)
    ]
    return {k: np.array([s[k] for s in scores]) for k in scores[0]}

  def clip_log_probabilities(
    self, variables: dict, clips: Sequence[np.ndarray]
  ) -> list[np.ndarray]:
    """Means over a clip's pieces of log-probabilities (§5.2.3).

    Args:
      variables: with a leading member axis.
      clips: for each member its (clip,), ascending.

    Returns:
      For each member (clip, class) float32.
    """
    pieces = self.features.pieces
    rows = [pieces.of_clips(some) for some in clips]
    found = self._log_probabilities(variables, rows)
    return [
      _mean_runs(log_probabilities, pieces.clips[some])
      for log_probabilities, some in zip(found, rows, strict=True)
    ]

  def _log_probabilities(self, variables, rows):
    """For each member (piece, class), of its (piece,) rows."""
    unit = -(-self.config.batch_size // self.devices) * self.devices
    count = -(-max(map(len, rows)) // unit) * unit
    padded = np.stack([np.resize(r, count) for r in rows]).astype(np.int32)
    variables = step.replicate(variables)
    out = []
    for start in range(0, count, unit):
      block = padded[:, start : start + unit]
      block = block.reshape(len(rows), self.devices, -1).swapaxes(0, 1)
      found = np.asarray(self.predict(variables, self.resident, block))
      found = found.swapaxes(0, 1)  # (member, device, piece, class)
      out.append(found.reshape(len(rows), unit, -1))
    out = np.concatenate(out, 1)
    return [found[: len(r)] for found, r in zip(out, rows, strict=True)]

  def _evaluate(self, step, state, evaluate, history, writer, checkpoints):
    scores = evaluate(state)
    before = self.standing(history)
    left = self.left(history)
    means = {name: float(np.mean(x[left])) for name, x in scores.items()}
    loss = history.loss_sum / history.loss_steps
    entry = {'step': step, 'loss': loss, **means}
    writer.write_scalars(step, {k: v for k, v in entry.items() if k != 'step'})
    entry['members'] = {
      k: [None if np.isnan(x) else x for x in v.tolist()]
      for k, v in scores.items()
    }
    history.evaluations.append(entry)
    history.loss_sum, history.loss_steps = 0.0, 0
    better = scores[self.config.metric] > before.best
    return _keep_best(state, jnp.asarray(better & ~before.stopped))

  def _plans(self, todo):
    plans = [
      iter(plan.dataset(todo).as_numpy_iterator()) for plan in self.plans
    ]
    for _ in todo:
      parts = [next(plan) for plan in plans]
      # (step, member, example) each
      whole = jax.tree.map(lambda *x: np.stack(x, 1), *parts)
      yield jax.tree.map(self._split, whole)

  def _split(self, x):
    """(step, member, example) -> (device, step, member, example)."""
    x = x.reshape(*x.shape[:2], self.devices, -1)
    return np.moveaxis(x, 2, 0)


def score(labels: np.ndarray, log_probabilities: np.ndarray) -> dict:
  """The scores of single-label guesses.

  Args:
    labels: (clip,).
    log_probabilities: (clip, class).

  Returns:
    'MAP@3', 'accuracy' and 'log_likelihood', a mean over the clips each; NaN
    where a guess is.
  """
  if np.isnan(log_probabilities).any():
    return dict.fromkeys(METRICS, np.nan)
  rows = np.arange(len(labels))
  return {
    **metrics.single_label_summary(labels, log_probabilities),
    'log_likelihood': float(np.mean(log_probabilities[rows, labels])),
  }


def _table(features: Features) -> dict[str, np.ndarray]:
  """The arrays that a step gathers from."""
  pieces, classes = features.pieces, features.classes
  one_hot = np.eye(classes, dtype=bool)[features.labels[pieces.clips]]
  return {
    'embeddings': features.embeddings.reshape(
      -1, features.embeddings.shape[-1]
    ),  # (extractor · segment, 128)
    'segments': pieces.segments,
    'n_segments': pieces.n_segments,
    'labels': np.packbits(one_hot, axis=1),
  }


def _gather(table, start, indices):
  """Rows of one member as `batches.decode` takes them, (piece, …)."""
  segments = start + table['segments'][indices]  # (piece, segment)
  return {
    'embeddings': table['embeddings'][segments],
    'n_segments': table['n_segments'][indices],
    'labels': table['labels'][indices],
  }


def make_steps(model, tx, config, starts, seeds) -> Callable:
  """As `step.make_train_steps`, for all members at once.

  The plan's leaves are (device, step, member, example), losses (step, member).
  """

  def member_step(state, table, start, seed, plan):
    gathered = {
      name: value if name == 'weight' else _gather(table, start, value)
      for name, value in plan.items()
    }
    batch = batches.assemble(gathered, model.classes)
    return step.train_step(model, tx, config, state, batch, seed)

  every = jax.vmap(member_step, in_axes=(0, None, 0, 0, 0))

  def steps(state, table, plan):
    def body(members, now):
      return every(members, table, starts, seeds, now)

    members, losses = lax.scan(body, state.members, plan)
    return state.replace(members=members), losses

  return jax.pmap(
    steps,
    axis_name=AXIS,
    in_axes=(None, None, 0),
    out_axes=(None, None),
    donate_argnums=(0,),
  )


def _make_predict(model, starts) -> Callable:
  """Log-probabilities (device, member, piece, class) of planned pieces."""

  def member_predict(variables, table, start, indices):
    batch = batches.decode(_gather(table, start, indices), model.classes)
    logits = model.apply(variables, batch['embeddings'], batch['mask'])
    return jax.nn.log_softmax(logits)

  every = jax.vmap(member_predict, in_axes=(0, None, 0, 0))
  return jax.pmap(
    lambda variables, table, indices: every(variables, table, starts, indices),
    axis_name=AXIS,
    in_axes=(None, None, 0),
  )


@jax.jit
def _keep_best(state: EnsembleState, better: jax.Array) -> EnsembleState:
  """Takes over the variables of the members that are `better` (member,)."""

  def choose(new, old):
    return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

  best = jax.tree.map(choose, state.members.variables(), state.best)
  return state.replace(best=best)


def _mean_runs(rows: np.ndarray, clips: np.ndarray) -> np.ndarray:
  """Means of rows (piece, class) over runs of equal clips (piece,)."""
  starts = np.flatnonzero(np.diff(clips, prepend=-1))
  counts = np.diff(np.append(starts, len(clips)))
  return np.add.reduceat(rows, starts) / counts[:, None].astype(np.float32)
