"""Fine-tuned extractors: the stage between log-mel and embeddings (§5.2.2).

An extractor with a classifier on top is trained on single examples that carry
their clip's labels. A batch is 41 clips with all of their examples, padded to
one of few numbers and masked, so that few compiled steps serve.
"""

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from aec_jax.features.embeddings import save_variables, step_costs
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import augment, batches, pieces
from aec_jax.input.folds import Job
from aec_jax.input.plan import Plan
from aec_jax.input.rooms import Rooms
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES, Objective
from aec_jax.run import cache, fields, files, hosts, progress, rates
from aec_jax.run.devices import AXIS, on_cpu, processor, replicate
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.curves import Writer
from aec_jax.train.dispatch import most_steps
from aec_jax.train.example_steps import gather, make_steps, make_sums
from aec_jax.train.loop import fit
from aec_jax.train.progress import History
from aec_jax.train.start import Start, merged
from aec_jax.train.step import TrainState, all_finite, optimizer

# Raised when extractors change for the same config.
_VERSION = 3
# Of a dispatch on a CPU: more of them run in a loop, in which XLA:CPU's
# convolutions are slow.
_FEW_STEPS = 1
# Examples of a batch of validation.
_BLOCK = 128


def trained(
  config,
  clips: ClipExamples,
  job: Job,
  start: Start,
  cache_dir: str | Path,
  curves: Path | None = None,
) -> Path:
  """The folder of a trained extractor, from the cache or trained now.

  It has `variables.npz` and `history.json`. A run that was cut off goes on from
  its latest checkpoint. Several hosts train it together, and the first has it.

  Args:
    config: of the experiment.
    clips: all of them.
    job: which extractor.
    start: what it starts from.
    cache_dir: of the stages.
    curves: where TensorBoard's event files go; None: nowhere.

  Raises:
    UserError: a field makes no sense, or the initial weights cannot be read.
  """
  depends = _depends(config, clips, job, start)
  folder = folder_of(config, clips, job, start, cache_dir)
  work = folder.with_name(f'.{folder.name}.training')
  with contextlib.ExitStack() as stack:
    if hosts.lead(lambda: stack.enter_context(cache.lacking(folder))):
      with Writer(curves, config) as writer:
        found = _train(config, clips, job, start, work, writer)
      hosts.lead(lambda: _keep(config, folder, depends, cache_dir, *found))
  # Not before: killed in between, the run would have to train again.
  shutil.rmtree(work, ignore_errors=True)
  return folder


def _keep(config, folder, depends, cache_dir, variables, history) -> None:
  """Puts an extractor into the cache, whose stage is `cache.lacking`."""

  def build(unfinished):
    save_variables(unfinished / 'variables.npz', variables)
    files.write_json(unfinished / 'history.json', history)

  cache.fill(folder, depends, build)
  if evaluations := history['evaluations']:
    about, steps = step_costs(config.extractor), evaluations[-1]['step']
    rates.leave(cache_dir, 'fine-tune', about, history['seconds'], steps)


def folder_of(
  config, clips: ClipExamples, job: Job, start: Start, cache_dir
) -> Path:
  """Where a trained extractor lies, or will lie."""
  depends = _depends(config, clips, job, start)
  return cache.folder_of(cache_dir, f'extractor-{job.name}', depends)


def _depends(config, clips, job, start) -> dict:
  """All that an extractor is a function of."""
  flat = dict(fields.flattened({'extractor': config.extractor.to_dict()}))
  depends = {
    'version': _VERSION,
    'clips': clips.folder.name,
    'seed': config.seed,
    'objective': config.objective,
    'extractor': fields.changed(flat) | {'extractor.init': ''},
    'weights': start.key,
    'sampling': job.sampling,
  }
  if config.unverified_weight != 1:
    depends['unverified_weight'] = config.unverified_weight
  if augment.is_on(config.extractor.augment):
    depends['draws'] = 'by JAX'  # once they were by numpy
  if job.sampling != 'none':
    depends['training'] = cache.digest(job.training.tolist())
    depends['validation'] = cache.digest(job.validation.tolist())
  return depends


def _train(config, clips, job, start, work, writer) -> tuple[dict, dict]:
  """The best variables of an extractor, and how they came about."""
  tuner = FineTuner(config, clips, job, start)
  if job.sampling == 'none':
    start = jax.tree.map(np.asarray, tuner.create_state().variables())
    return start, {'evaluations': []}
  logging.info(
    '%s: %s clips, validated on %s; batches of %s clips in %s examples',
    progress.place(job.name), f'{len(job.training):,}',
    f'{len(job.validation):,}', tuner.settings.batch_size,
    ' or '.join(map(str, tuner.rooms.sizes)),
  )  # fmt: skip
  checkpoints = Checkpoints(work / 'checkpoints')
  with contextlib.closing(checkpoints):
    history = fit(tuner, checkpoints, writer, tuner.chance(), writer.folder)
    state, _ = checkpoints.restore_best(tuner.create_state())
  kept = history.kept(tuner.settings)
  assert kept is not None  # there is a checkpoint of it
  logging.info(
    '%s: %s validation loss %.4f an example, at step %s',
    progress.place(job.name), tuner.settings.keep, -kept['log_likelihood'],
    f'{kept["step"]:,}',
  )  # fmt: skip
  variables = jax.tree.map(np.asarray, state.variables())
  about = {
    'training_clips': len(job.training),
    'steps_a_pass': len(job.training) / tuner.settings.batch_size,
  }
  return variables, dataclasses.asdict(history) | about


class FineTuner:
  """A `loop.System`: a classifier of examples, on batches of whole clips."""

  rate_field = 'config.extractor.optimizer.learning_rate'
  batch_of = 'clips'

  def __init__(
    self, config, clips: ClipExamples, job: Job, start: Start
  ) -> None:
    settings = config.extractor.copy_and_resolve_references()
    with settings.unlocked():
      settings.seed, settings.metric = config.seed, 'log_likelihood'
      settings.on_diverged = 'error'
      settings.profile_steps = config.profile_steps
    self.settings, self.clips, self.job = settings, clips, job
    self.start = start
    self.names = [job.title]
    self.objective: Objective = OBJECTIVES[config.objective]
    self.model = extractors.example_classifier(
      settings, clips.labels.classes, AXIS
    )
    self.tx = optimizer(settings.optimizer, 'config.extractor.optimizer')
    labels = clips.labels.select(job.training)
    groups = batches.groups_of(labels, job.training, job.sampling)
    self.plan = Plan(groups, settings.batch_size, config.seed)
    self.rooms = self._rooms()
    self.augments = augment.is_on(settings.augment)
    self.known = self._known() if self.augments else {}
    self.table = self._table(config.unverified_weight)
    self.resident = {}
    if settings.examples_on == 'device':
      self.resident, self.table = replicate(self.table | self.known), {}
    self.most_steps = most_steps(settings, _FEW_STEPS, self._plan_bytes())
    # Kept, since it is compiled anew for each function.
    self._init = jax.jit(functools.partial(self.model.init, train=True))
    self._steps = make_steps(self)
    self._sums = make_sums(self)
    self._draws = jax.jit(self.draws)

  def _table(self, unverified_weight: float) -> dict[str, np.ndarray]:
    """Of all examples, what `gather` takes rows of."""
    clips, of_clip = self.clips, self.clips.example_clips()
    table = {
      'examples': clips.examples,
      'labels': clips.labels.packed()[of_clip],
    }
    weights = batches.loss_weights(clips.verified, unverified_weight)
    if weights is not None:
      table['loss_weight'] = weights[of_clip]
    return table

  def _known(self) -> dict[str, np.ndarray]:
    """Of all examples, what `augment.draw` takes."""
    kinds = self.clips.labels.sets()[self.clips.example_clips()]
    follows = augment.followers(self.clips.offsets)
    return {'follows': follows, 'kinds': kinds}

  def _rooms(self) -> Rooms:
    """Sizes of batches: the same for all extractors, each compiled once."""
    counts = np.diff(self.clips.offsets)[self.clips.split != 'test']
    mean = counts.mean() * self.settings.batch_size
    return Rooms.of_mean(mean, jax.device_count(), on_cpu())

  def _plan_bytes(self) -> int:
    """Of a step's plan on the device, about."""
    rows = len(augment.ROWS) if self.augments else 1
    row = 4 if self.resident else self.clips.examples[0].nbytes
    return self.rooms.sizes[-1] * (rows * row + 64)

  def create_state(self) -> TrainState:
    """A fresh state, with what is learned already."""
    example = jnp.zeros((1, *self.clips.examples.shape[1:]))
    variables = self._init(jax.random.key(self.settings.seed), example)
    variables = merged(variables, self.start.variables(self.job.title))
    return TrainState.start(variables, self.tx, self.settings.average)

  def chance(self) -> float:
    """The log-likelihood of a guess by the shares of the classes."""
    labels = self.clips.labels.select(self.job.validation)
    shares = labels.class_counts() / len(labels)
    return self.objective.chance('log_likelihood', shares)

  def finished(self, step: int, history: History) -> bool:
    """See `loop.System`."""
    settings, waited = self.settings, history.since_best('log_likelihood')
    stopped = settings.keep == 'best' and waited >= settings.patience
    return step >= settings.max_steps or stopped

  def finite(self, state: TrainState) -> np.ndarray:
    """See `loop.System`."""
    trees = (state.params, state.batch_stats, state.average)
    return np.asarray(all_finite(trees))[None]

  def keep_best(
    self, state: TrainState, history: History, checkpoints
  ) -> TrainState:
    """See `loop.System`."""
    step = history.evaluations[-1]['step']
    last = self.settings.keep == 'last'
    if last and step < self.settings.max_steps:
      return state  # a later one takes its place
    if history.kept(self.settings) is history.evaluations[-1]:
      checkpoints.save_best(step, state, dataclasses.asdict(history))
    return state

  def with_best_of(self, state: TrainState, other: TrainState) -> TrainState:
    """See `loop.System`."""
    del other  # the best lies in a checkpoint
    return state

  def evaluate(
    self, state: TrainState, history: History
  ) -> Callable[[], dict[str, float]]:
    """Log-likelihood (and accuracy) of an example of the validation clips."""
    del history
    variables = replicate(state.variables())
    rows = pieces.expand(self.clips.offsets, self.job.validation)
    size = -(-_BLOCK // jax.device_count()) * jax.device_count()
    found = []
    for at, real in batches.padded_blocks(len(rows), size):
      step = {
        'first': rows[at].astype(np.int32),
        'mask': np.arange(size) < real,
      }
      step = self._gathered(_padding_out(step))
      sums = self._sums(variables, self.resident, step)
      # Gathered examples are not to pile up, nor a CPU's collectives.
      wait = on_cpu() or not self.resident
      found.append(np.asarray(sums) if wait else sums)
    return lambda: self._means(found, len(rows))

  def _means(self, found, count) -> dict[str, float]:
    """Of `count` examples, by the sums (2,) of their blocks."""
    totals = np.zeros(2)
    for sums in found:
      totals += np.asarray(sums)
    means = totals / count
    scores = {'log_likelihood': float(means[0])}
    if self.objective.single:
      scores['accuracy'] = float(means[1])
    return scores

  def steps(
    self, state: TrainState, plan
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    """See `loop.System`."""
    return self._steps(state, self.resident, plan)

  def plans(self, spans) -> Iterator[dict]:
    """See `loop.System`; leaves are (device, step, example, …)."""
    for span, plan in zip(spans, self.plan.spans(spans), strict=True):
      rows = [
        pieces.expand(self.clips.offsets, clips).astype(np.int32)
        for clips in plan['first']
      ]
      whole = self.rooms.stacked(rows)
      if self.augments and not self.resident:
        whole |= self._drawn(whole, np.arange(*span))
      yield self._gathered({k: _over_devices(v) for k, v in whole.items()})

  def draws(self, known, rows, mask, steps) -> dict[str, jax.Array]:
    """What becomes of the examples of several batches, by `augment.draw`.

    Args:
      known: of all examples, as it takes it.
      rows, mask: (step, example) of whole batches, over all devices.
      steps: (step,) their numbers.
    """
    draw = functools.partial(
      augment.draw,
      self.settings.augment,
      shape=self.clips.examples.shape[1:],
      seed=self.settings.seed,
    )
    return jax.vmap(draw, (None, 0, 0, 0))(known, rows, mask, steps)

  def _drawn(self, whole, steps) -> dict[str, np.ndarray]:
    """The same by the host, for examples that lie there."""
    with jax.default_device(processor()):
      now = self._draws(self.known, whole['first'], whole['mask'], steps)
      return jax.tree.map(np.asarray, now)

  def _gathered(self, plan):
    return plan if self.resident else gather(self.table, plan)

  def batch_ids(self, member: int, step: int) -> list[str]:
    """See `loop.System`."""
    del member
    (batch,) = self.plan.dataset([(step, step + 1)]).as_numpy_iterator()
    return self.clips.ids[np.unique(batch['first'])].astype(str).tolist()


def _over_devices(x: np.ndarray) -> np.ndarray:
  """(step, example, …) -> this host's (device, step, example, …).

  What a step has one of, (step,), each device has.
  """
  if x.ndim == 1:
    return np.broadcast_to(x, (jax.local_device_count(), *x.shape))
  x = x.reshape(x.shape[0], jax.device_count(), -1, *x.shape[2:])
  here = jax.local_device_count()
  first = jax.process_index() * here
  return np.swapaxes(x[:, first : first + here], 0, 1)


def _padding_out(step: dict) -> dict:
  """(example,) leaves to this host's (device, example)."""
  return {k: _over_devices(v[None])[:, 0] for k, v in step.items()}
