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
from aec_jax.models.layers import product_dtype
from aec_jax.objective import Objective
from aec_jax.run import hosts
from aec_jax.run.devices import AXIS, replicate
from aec_jax.train.dispatch import most_steps
from aec_jax.train.guards import left
from aec_jax.train.piece_steps import make_predict, make_steps
from aec_jax.train.progress import History, Standing, standing
from aec_jax.train.start import merged
from aec_jax.train.step import TrainState, all_finite, optimizer

# Of a dispatch on a CPU.
_FEW_STEPS = 10


@flax.struct.dataclass
class MembersState:
  """The members' states with a leading member axis, and the best of each.

  Attributes:
    members: what a step changes.
    best: each member's variables when it was best on its validation clips; of
      `config.keep='last'` those of the last evaluation.
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
    learned: variables to start from in place of fresh ones, with a leading
      member axis.
  """

  rate_field = 'config.optimizer.learning_rate'
  batch_of = 'examples'

  def __init__(
    self,
    config,
    objective: Objective,
    features: Features,
    members: Sequence[Member],
    learned: dict | None = None,
  ) -> None:
    self._learned = learned or {}
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
    self._predict = make_predict(self)
    self._plans = [
      self._plan(member, int(seed))
      for member, seed in zip(members, self.seeds, strict=True)
    ]

  @functools.cached_property
  def _lasting(self) -> Lasting | None:
    """What steps are cut by that a model does not pad.

    None where it pads all. Made for training alone: to be scored, nothing need
    be there to train on.
    """
    starts = self.model.starts(self.features.example_shape[0])
    if not starts:
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
    """Members to train. The only randomness is the parameters', of their seeds;
    dropout at step s uses the same key folded with s + 1.
    """
    members = self._create((self.seeds, self._learned))
    best = jax.tree.map(jnp.copy, members.variables())
    return MembersState(members, best)

  def _fresh(self, start) -> TrainState:
    seed, learned = start
    x = jnp.zeros((1, *self.features.example_shape))
    mask = jnp.ones(x.shape[:2], bool)
    variables = self.model.init(jax.random.key(seed), x, mask, train=True)
    variables = merged(variables, learned)
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
    rows = self._lasting.rows(functools.reduce(np.maximum, lengths))
    return hosts.largest(rows)  # of several hosts the programs must be one

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

  def evaluate(
    self, state: MembersState, history: History
  ) -> Callable[[], dict]:
    """Scores of the members on their validation clips, and their means.

    Where they are watched, 'scored' has the scores of their mean on what they
    are scored on.
    """
    variables = state.members.variables()
    clips = [member.validation for member in self.members]
    watched = [m.scored for m in self.members if m.watched]
    values = self._begin_values(variables, clips)
    others = None
    if watched and watched[0] is not clips[0]:
      others = self._begin_values(variables, watched)

    def scores():
      said = values()
      out = self._scores(clips, said, history)
      if watched:
        found = others() if others else said
        mean = np.mean([found[i] for i in left(self, history)], 0)
        targets = self._targets(watched[0])
        out['scored'] = self.objective.scores(targets, mean)
      return out

    return scores

  def _scores(self, clips, found, history) -> dict:
    """Of each member's (clip, class) values, and their means."""
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
    newest = self.standing(history).at == history.evaluations[-1]['step']
    return _keep_best(state, jnp.asarray(newest))

  def with_best_of(
    self, state: MembersState, other: MembersState
  ) -> MembersState:
    """See `loop.System`."""
    return dataclasses.replace(state, best=other.best)

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
    return self._begin_values(variables, clips)()

  def _begin_values(self, variables, clips) -> Callable[[], list[np.ndarray]]:
    """Begins `clip_values`; what is returned waits for them."""
    pieces = self.features.pieces
    rows = [pieces.of_clips(some) for some in clips]
    blocks = self._piece_values(variables, rows)

    def values():
      whole = np.concatenate([np.asarray(x)[:, :real] for x, real in blocks], 1)
      return [
        pieces.select(some).clip_values(found[: len(some)])
        for found, some in zip(whole, rows, strict=True)
      ]

    return values

  def _piece_values(self, variables, rows) -> list[tuple[jax.Array, int]]:
    """(member, piece, class) of the members' (piece,) rows, block by block,
    and how many of a block are some member's.
    """
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
    return out


def step_costs(
  config, length: int, members: int, classes: int, segments: int
) -> list:
  """What the time of a step depends on.

  Args:
    config: of the experiment.
    length: of `config.segments`; 0: of clips that are left whole.
    members: trained together.
    classes: that they tell apart.
    segments: of an example; of clips that are left whole, of the longest.
  """
  sizes = [config.batch_size, length, members, classes, segments]
  model = config.model.to_dict()
  if 'dtype' in model:
    model['dtype'] = product_dtype(model['dtype'])
  return [model, *sizes]


def _over_devices(x: np.ndarray) -> np.ndarray:
  """(step, member, example, …) -> (device, step, member, example, …)."""
  x = x.reshape(*x.shape[:2], jax.local_device_count(), -1, *x.shape[3:])
  return np.moveaxis(x, 2, 0)


@jax.jit
def _keep_best(state: MembersState, newest: jax.Array) -> MembersState:
  """Takes over the variables of those (member,) that are best as of now."""

  def choose(new, old):
    return jnp.where(newest.reshape(-1, *[1] * (new.ndim - 1)), new, old)

  best = jax.tree.map(choose, state.members.variables(), state.best)
  return dataclasses.replace(state, best=best)
