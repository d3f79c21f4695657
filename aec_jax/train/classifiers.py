"""Classifiers of pieces, one or many: extractors × folds (thesis §5.2).

All members share the step, the plan's form and the table of examples; each has
its own parameters, draws, extractor's embeddings and early stop. Where there
are several, they are `vmap`ped over a leading member axis, inside the `pmap`
over devices; a single one is not, which costs 1.3 to 1.8 times on a CPU.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import flax
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax import models
from aec_jax.input import batches
from aec_jax.input.batches import Features
from aec_jax.input.folds import Member
from aec_jax.input.lasting import Lasting
from aec_jax.input.plan import Plan
from aec_jax.objective import Objective
from aec_jax.train.loop import left, most_steps
from aec_jax.train.progress import History, Standing, standing
from aec_jax.train.step import (
  AXIS,
  TrainState,
  all_finite,
  mean_loss,
  optimizer,
  replicate,
  update,
)

# Of a dispatch on a CPU.
_FEW_STEPS = 10


@flax.struct.dataclass
class MembersState:
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


class Classifiers:
  """A `loop.System` of all members together.

  Args:
    config: of the experiment.
    objective: what its labels mean.
    features: of all clips.
    members: who trains on what. Member m's seed is config.seed + m.
  """

  rate_field = 'config.optimizer.learning_rate'

  def __init__(
    self,
    config,
    objective: Objective,
    features: Features,
    members: Sequence[Member],
  ) -> None:
    self.settings, self.objective = config, objective
    self.members = members
    self.names = [member.name for member in members]
    # A batch is filled up to what the devices can share equally.
    unit = jax.device_count()
    self.size = -(-config.batch_size // unit) * unit
    self.model = models.classifier(config.model, features.labels.classes, AXIS)
    self.tx = optimizer(config.optimizer)
    self.seeds = config.seed + np.arange(len(members), dtype=np.int32)
    # Where each member's embeddings begin in the table, extractor by extractor.
    segments = features.embeddings.shape[1]
    self.starts = np.array([m.extractor * segments for m in members], np.int32)
    table = features.table()
    on_device = config.examples_on == 'device'
    self.resident = replicate(table) if on_device else {}
    self.table = {} if on_device else table
    if on_device:  # AudioSet fits once, not twice
      nothing = features.embeddings[:, :0]
      features = dataclasses.replace(features, embeddings=nothing)
    self.features = features
    self.most_steps = most_steps(config, _FEW_STEPS, self._plan_bytes(table))
    # Kept, since it is compiled anew for each function. Not vmapped: see the
    # orthogonal matrices of `classifiers.LSTM`.
    self._create = jax.jit(functools.partial(lax.map, self._fresh))
    self._steps = make_steps(self)
    self._predict = _make_predict(self)
    self._plans = [
      self._plan(member, int(seed))
      for member, seed in zip(members, self.seeds, strict=True)
    ]
    self._lasting = self._lengths_drawn()

  def _lengths_drawn(self) -> Lasting | None:
    """What steps are cut by that a model does not pad.

    None where it pads all, and on several hosts, whose programs must be one.
    """
    starts = self.model.starts(self.features.example_shape[0])
    if not starts or jax.process_count() > 1:
      return None
    return Lasting.of_draws(
      starts,
      self.features.pieces.n_segments,
      [plan.groups for plan in self._plans],
      self.settings.mixup_alpha > 0,
    )

  def _plan_bytes(self, table) -> int:
    """Of a step's plan on the device."""
    row = 4  # an index
    if not self.resident:
      some = batches.gather(table, 0, np.zeros(1, np.int32))
      row = sum(x.nbytes for x in some.values())
    rows = 2 if self.settings.mixup_alpha else 1
    return len(self.members) * self.size * (rows * row + 5)

  def _plan(self, member, seed) -> Plan:
    config, pieces = self.settings, self.features.pieces
    rows = pieces.of_clips(member.training)
    labels = self.features.labels.select(pieces.clips[rows])
    groups = batches.groups_of(labels, rows, config.sampling)
    return Plan(groups, config.batch_size, seed, config.mixup_alpha)

  def create_state(self) -> MembersState:
    """Fresh members. The only randomness is the parameters', of their seeds;
    dropout at step s uses the same key folded with s + 1.
    """
    members = self._create(self.seeds)
    best = jax.tree.map(jnp.copy, members.variables())
    return MembersState(members, best)

  def _fresh(self, seed) -> TrainState:
    x = jnp.zeros((1, *self.features.example_shape))
    mask = jnp.ones(x.shape[:2], bool)
    variables = self.model.init(jax.random.key(seed), x, mask, train=True)
    return TrainState.start(variables, self.tx, self.settings.average)

  def steps(
    self, state: MembersState, plan
  ) -> tuple[MembersState, dict[str, jax.Array]]:
    """See `loop.System`."""
    return self._steps(state, self.resident, plan, self.rows(plan))

  def rows(self, plan) -> tuple[int, ...]:
    """What a model that does not pad all is told of a plan; else empty."""
    if self._lasting is None:
      return ()
    both = [plan[name] for name in ('first', 'second') if name in plan]
    lengths = [
      self.features.pieces.n_segments[x] if self.resident else x['n_segments']
      for x in both
    ]
    return self._lasting.rows(functools.reduce(np.maximum, lengths))

  def plans(self, spans) -> Iterator[dict]:
    """The plan of each span; leaves are (device, step, member, example, …)."""
    found = [
      plan.spans(spans, jax.process_index(), jax.process_count(), self.size)
      for plan in self._plans
    ]
    for _ in spans:
      parts = [next(plan) for plan in found]
      if not self.resident:
        parts = [
          batches.gather_step(self.table, start, part)
          for start, part in zip(self.starts, parts, strict=True)
        ]
      whole = jax.tree.map(lambda *x: np.stack(x, 1), *parts)
      yield jax.tree.map(_over_devices, whole)

  def batch_ids(self, member: int, step: int) -> list[str]:
    """See `loop.System`."""
    plan = self._plans[member]
    (batch,) = plan.dataset([(step, step + 1)]).as_numpy_iterator()
    rows = np.concatenate(
      [batch[name].ravel() for name in ('first', 'second') if name in batch]
    )
    clips = np.unique(self.features.pieces.clips[rows])
    return self.features.ids[clips].astype(str).tolist()

  def standing(self, history: History) -> Standing:
    """How far each member's early stop is."""
    return standing(history.evaluations, self.settings, len(self.members))

  def finished(self, step: int, history: History) -> bool:
    """See `loop.System`."""
    stopped = self.standing(history).stopped
    return step >= self.settings.max_steps or bool(stopped.all())

  def finite(self, state: MembersState) -> np.ndarray:
    """See `loop.System`."""
    trees = (state.members.variables(), state.members.params)
    return np.asarray(jax.vmap(all_finite)(trees))

  def evaluate(self, state: MembersState, history: History) -> dict:
    """Scores of the members on their validation clips, and their means."""
    clips = [member.validation for member in self.members]
    found = self.clip_values(state.members.variables(), clips)
    scores = [
      self.objective.scores(self._targets(some), values)
      for some, values in zip(clips, found, strict=True)
    ]
    by_metric = {k: np.array([s[k] for s in scores]) for k in scores[0]}
    good = left(self, history)
    means = {k: float(np.mean(x[good])) for k, x in by_metric.items()}
    members = {
      k: [None if np.isnan(x) else x for x in v.tolist()]
      for k, v in by_metric.items()
    }
    return means | {'members': members}

  def _targets(self, clips):
    return self.features.labels.select(clips).multi_hot()

  def keep_best(
    self, state: MembersState, history: History, checkpoints
  ) -> MembersState:
    """See `loop.System`."""
    del checkpoints  # the best lie in the state
    before = standing(
      history.evaluations[:-1], self.settings, len(self.members)
    )
    scores = history.evaluations[-1]['members'][self.settings.metric]
    better = np.array(scores, float) > before.best
    return _keep_best(state, jnp.asarray(better & ~before.stopped))

  def clip_values(
    self, variables: dict, clips: Sequence[np.ndarray]
  ) -> list[np.ndarray]:
    """What the members say of clips: means over the clips' pieces.

    Args:
      variables: with a leading member axis.
      clips: for each member its (clip,), ascending.

    Returns:
      For each member `Objective.values` (clip, class) float32.
    """
    pieces = self.features.pieces
    rows = [pieces.of_clips(some) for some in clips]
    found = self._piece_values(variables, rows)
    return [
      pieces.select(some).clip_values(values)
      for values, some in zip(found, rows, strict=True)
    ]

  def _piece_values(self, variables, rows):
    """For each member (piece, class), of its (piece,) rows."""
    variables = replicate(variables)
    count = max(map(len, rows))
    out = []
    for at, real in batches.padded_blocks(count, self.size):
      block = np.stack([np.resize(r, count)[at] for r in rows])
      block = block.astype(np.int32)
      if not self.resident:
        block = jax.tree.map(
          lambda *x: np.stack(x),
          *(
            batches.gather(self.table, start, some)
            for start, some in zip(self.starts, block, strict=True)
          ),
        )
      # (member, piece, …) -> (device, member, piece, …)
      block = jax.tree.map(lambda x: _over_devices(x[None])[:, 0], block)
      out.append((self._predict(variables, self.resident, block), real))
    whole = np.concatenate([np.asarray(x)[:, :real] for x, real in out], 1)
    return [found[: len(r)] for found, r in zip(whole, rows, strict=True)]


def step_costs(config, members: int, segments: int) -> list:
  """What the time of a step of so many members depends on.

  Args:
    config: of the experiment.
    members: trained together.
    segments: of a piece; 0: of whole clips.
  """
  return [config.model.to_dict(), config.batch_size, members, segments]


def _over_devices(x: np.ndarray) -> np.ndarray:
  """(step, member, example, …) -> (device, step, member, example, …)."""
  x = x.reshape(*x.shape[:2], jax.local_device_count(), -1, *x.shape[3:])
  return np.moveaxis(x, 2, 0)


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


def make_steps(system: Classifiers) -> Callable:
  """Several steps of all members in one dispatch, pmapped.

  Returns:
    (state, table, plan, rows) -> (state, {'loss', 'gradient_norm'} (step,
    member)). The state is donated. The plan's leaves are (device, step, member,
    example, …); they hold indices into the table, or, when the table is empty,
    the gathered rows themselves. `rows` is what `Classifiers.rows` returns.
  """
  model, settings = system.model, system.settings

  def member_step(rows, state, table, start, seed, plan):
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
      loss = mean_loss(losses, batch.get('valid'))
      return loss, updates.get('batch_stats', {})

    return update(system.tx, settings, state, loss_of)

  axes = (0, None, 0, 0, 0)

  def steps(state, table, plan, rows):
    one = functools.partial(member_step, rows)
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


def _make_predict(system: Classifiers) -> Callable:
  """Values (member, piece, class) of pieces (device, member, piece)."""
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


@jax.jit
def _keep_best(state: MembersState, better: jax.Array) -> MembersState:
  """Takes over the variables of the members that are `better` (member,)."""

  def choose(new, old):
    return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

  best = jax.tree.map(choose, state.members.variables(), state.best)
  return dataclasses.replace(state, best=best)
