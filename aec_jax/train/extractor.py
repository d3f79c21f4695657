"""Fine-tuned extractors: the stages between log-mel and embeddings (§5.2.2).

An extractor is VGGish with a classifier on top, trained on single examples of
0.96 s that carry their clip's label. A batch is 41 clips with all of their
examples, padded to a fixed number and masked, so that one compiled step serves.
"""

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax import lax

from aec_jax import metrics, models
from aec_jax.errors import UserError
from aec_jax.features.embeddings import blocks, save_variables
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import augment, batches, pieces
from aec_jax.input.plan import Groups, Plan
from aec_jax.models import convert
from aec_jax.run import cache
from aec_jax.train import step as step_lib
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.loop import Trainer
from aec_jax.train.step import AXIS, TrainState

# Raised when extractors change for the same config.
_VERSION = 2
# How much more room a batch has than its mean number of examples.
_ROOM = 1.25
# Fields of the section that do not change what is learnt.
_HOW = ('steps_per_dispatch', 'checkpoint_every', 'examples_on')


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
  """One extractor to be.

  Attributes:
    name: such as 'balanced_first'.
    sampling: 'balanced', 'unbalanced', or 'none': as it is initialised.
    training, validation: (clip,) indices of clips.
  """

  name: str
  sampling: str
  training: np.ndarray
  validation: np.ndarray


def extractor(
  config, clips: ClipExamples, job: Job, cache_dir, may_train: bool = True
) -> Path:
  """The folder of a trained extractor, from the cache or trained now.

  A run that was cut off goes on from its latest checkpoint.

  Raises:
    UserError: a field makes no sense, the initial weights cannot be read,
      another process is training this one, or it is not there and may not be
      trained.
  """
  depends = {
    'version': _VERSION,
    'clips': clips.folder.name,
    'seed': config.seed,
    'extractor': {
      k: v for k, v in config.extractor.to_dict().items() if k not in _HOW
    },
    'weights': weights_digest(config.extractor.init),
    'sampling': job.sampling,
  }
  if job.sampling != 'none':
    depends['training'] = cache.digest(job.training.tolist())
    depends['validation'] = cache.digest(job.validation.tolist())
  name = f'extractor-{job.name}'
  folder = Path(cache_dir) / f'{name}-{cache.digest(depends)}'
  if not folder.exists() and not may_train:
    raise UserError(f'{folder} is gone: run again with --mode=train')

  work = folder.with_name(f'.{folder.name}.training')

  def build(unfinished):
    with cache.only_user(work):
      variables = _train(config, clips, job, work)
      save_variables(unfinished / 'variables.npz', variables)

  cache.stage(cache_dir, name, depends, build)
  # Not before: killed in between, the run would have to train again.
  shutil.rmtree(work, ignore_errors=True)
  return folder


def weights_digest(path: str) -> str:
  """A hash of the initial weights' file; '' for random ones.

  Raises:
    UserError: the file cannot be read.
  """
  if path == 'random':
    return ''
  try:
    with open(path, 'rb') as file:
      return hashlib.file_digest(file, 'blake2b').hexdigest()
  except OSError as error:
    raise UserError(
      f'config.extractor.init: {path}: {error.strerror}; give the file of'
      " python -m aec_jax.models.convert, or 'random'"
    ) from error


def _train(config, clips, job, work) -> dict:
  """The best variables of an extractor, as numpy arrays."""
  tuner = FineTuner(config, clips, job)
  if job.sampling == 'none':
    return jax.tree.map(np.asarray, tuner.create_state().variables())
  logging.info(
    'fine-tuning %s: %s clips, validated on %s; batches of %s clips in'
    ' %s examples',
    job.name, f'{len(job.training):,}', f'{len(job.validation):,}',
    tuner.config.batch_size, tuner.budget,
  )  # fmt: skip
  checkpoints = Checkpoints(work / 'checkpoints')
  with contextlib.closing(checkpoints):
    history = tuner.fit(tuner.validate, checkpoints, _Quiet(), tuner.chance())
    state, _ = checkpoints.restore_best(tuner.create_state())
  best = history.best('log_likelihood')
  logging.info(
    '%s: validation loss %.4f, accuracy %.4f an example, after %s steps',
    job.name, -best['log_likelihood'], best['accuracy'], best['step'],
  )  # fmt: skip
  return state.variables()


class _Quiet:
  """A metric writer for stages, which have no work folder to write to."""

  def write_scalars(self, step, scalars):
    pass


class FineTuner(Trainer):
  """Trains a classifier of examples on batches of whole clips."""

  rate_field = 'config.extractor.optimizer.learning_rate'

  def __init__(self, config, clips: ClipExamples, job: Job):
    settings = config.extractor.copy_and_resolve_references()
    with settings.unlocked():
      settings.seed, settings.metric = config.seed, 'log_likelihood'
    self.config, self.clips, self.job = settings, clips, job
    self.ids = clips.ids
    self.devices = jax.local_device_count()
    self.model = models.extractor(settings, len(clips.classes), AXIS)
    self.tx = step_lib.optimizer(settings.optimizer, settings.cosine_steps)
    groups = groups_of(clips.labels, job.training, job.sampling)
    self.plan = Plan(groups, settings.batch_size, config.seed)
    self.budget = self._budget()
    self.table = {
      'examples': clips.examples,
      'labels': clips.example_labels().astype(np.int32),
    }
    on_device = step_lib.on_device(settings)
    self.resident = step_lib.replicate(self.table) if on_device else {}
    self.steps = make_steps(self.model, self.tx, settings)
    self.sums = _make_sums(self.model)

  def _budget(self) -> int:
    """Examples of a batch: one number for all extractors, compiled once."""
    counts = np.diff(self.clips.offsets)[self.clips.split == 'train']
    needed = _ROOM * counts.mean() * self.config.batch_size
    unit = 8 * self.devices
    return int(-(-max(needed, counts.max()) // unit) * unit)

  def create_state(self) -> TrainState:
    """A fresh state, with the converted weights where they are given."""
    config, shape = self.config, self.clips.examples.shape[1:]

    @jax.jit
    def create(key):
      variables = self.model.init(key, jnp.zeros((1, *shape)), train=True)
      return variables['params'], variables.get('batch_stats', {})

    params, batch_stats = create(jax.random.key(config.seed))
    if config.init != 'random':
      loaded = convert.load(config.init, config.width)
      params['vggish'] = {**params['vggish'], **loaded}
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=batch_stats,
      opt_state=self.tx.init(params),
      average={},
    )

  def chance(self) -> float:
    """The log-likelihood of a guess by the shares of the classes."""
    counts = np.bincount(self.clips.labels[self.job.validation])
    return metrics.chance('log_likelihood', counts / counts.sum())

  def validate(self, state) -> dict[str, float]:
    """Log-likelihood and accuracy of an example of the validation clips."""
    variables = step_lib.replicate(state.variables())
    rows = pieces.expand(self.clips.offsets, self.job.validation)
    totals = np.zeros(2)
    for indices, mask in blocks(len(rows), self.devices):
      step = {'first': rows[indices].astype(np.int32)}
      if not self.resident:
        step = batches.gather(self.table, step)
      sums = self.sums(variables, self.resident, step, mask)
      totals += np.asarray(sums, np.float64).sum(0)
    means = totals / len(rows)
    return {'log_likelihood': float(means[0]), 'accuracy': float(means[1])}

  def _plans(self, todo):
    spans = iter(todo)
    for plan in self.plan.dataset(todo).as_numpy_iterator():
      start, stop = next(spans)
      steps = [
        self._step(clips, step)
        for clips, step in zip(plan['first'], range(start, stop), strict=True)
      ]
      plan = {k: np.stack([step[k] for step in steps]) for k in steps[0]}
      if not self.resident:
        plan = gather(self.table, plan)
      yield jax.tree.map(self._split, plan)

  def _step(self, clips: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """A step's plan, all (budget, …): 'first', 'mask', what `augment` draws."""
    rows, mask = self._fill(clips, step)
    plan = {'first': rows, 'mask': mask}
    if augment.is_on(self.config.augment):
      # Partners are valid ones: all that is padding comes last.
      count, rng = (
        mask.sum(),
        np.random.default_rng([self.config.seed, step, 1]),
      )
      drawn = augment.draw(
        self.config.augment,
        self.clips.offsets,
        rows[:count],
        self.clips.examples.shape[1:],
        rng,
      )
      plan |= {k: _padded(v, self.budget) for k, v in drawn.items()}
    return plan

  def _fill(self, clips: np.ndarray, step: int):
    """A batch's clips to examples (budget,) and mask (budget,).

    What is too many is left out by a draw that is a function of (seed, step).
    """
    rows = pieces.expand(self.clips.offsets, clips).astype(np.int32)
    if len(rows) > self.budget:
      rng = np.random.default_rng([self.config.seed, step])
      rows = rows[rng.permutation(len(rows))[: self.budget]]
    mask = np.arange(self.budget) < len(rows)
    # Padding repeats the first example: any would do.
    return np.resize(rows, self.budget) * mask + rows[0] * ~mask, mask


def _padded(rows: np.ndarray, count: int) -> np.ndarray:
  """Rows, and the first of them again until there are `count`."""
  return np.concatenate([rows, np.repeat(rows[:1], count - len(rows), 0)])


def gather(table: dict, plan: dict) -> dict:
  """Replaces the rows that a plan names by {'examples', 'labels'}."""
  return {
    name: batches.take(table, value) if name in augment.ROWS else value
    for name, value in plan.items()
  }


def check(settings) -> None:
  """Raises `UserError` for a section `extractor` that makes no sense."""
  models.extractor(settings, classes=2)
  step_lib.optimizer(settings.optimizer, field='config.extractor.optimizer')
  step_lib.on_device(settings, 'config.extractor')
  if settings.init == 'random':
    return
  if settings.model != 'vggish':
    raise UserError("config.extractor.init must be 'random' for a baseline")
  convert.load(settings.init, settings.width)


def groups_of(labels: np.ndarray, rows: np.ndarray, sampling: str) -> Groups:
  """What a plan draws from: some rows, all together or class by class.

  Args:
    labels: (row,) of all rows.
    rows: which of them may be drawn.
    sampling: 'balanced' or anything else.
  """
  if sampling != 'balanced':
    return Groups(rows.astype(np.int32), np.array([0, len(rows)], np.int64))
  order = np.argsort(labels[rows], kind='stable')
  counts = np.bincount(labels[rows])
  offsets = np.concatenate([[0], np.cumsum(counts)])
  return Groups.of_classes(rows[order], offsets)


def step(model, tx, config, state: TrainState, batch: dict):
  """One update from one device's share of a batch; runs inside `pmap`.

  Args:
    batch: 'first' {'examples' (example, 96, 64), 'labels' (example,)}, 'mask'
      (example,): False where there is only padding; and what `augment.draw`
      returns, its rows gathered likewise, where the config asks for it.

  Returns:
    The new state, equal on all devices, and the global batch's mean loss.
  """
  mask = batch['mask'].astype(jnp.float32)
  examples = batch['first']['examples'].astype(jnp.float32)
  if 'second' in batch:
    examples = augment.apply(
      batch, {k: batch[k]['examples'] for k in augment.ROWS}
    )
  share = lax.pmean(jnp.sum(mask), AXIS)

  def objective(params):
    logits, updates = model.apply(
      {'params': params, 'batch_stats': state.batch_stats},
      examples,
      batch['mask'],
      train=True,
      mutable=['batch_stats'],
    )
    losses = _cross_entropy(logits, batch)
    loss = jnp.sum(losses * mask) / share
    c = config.optimizer
    extra = step_lib.penalty(params, c.l1, c.l2)
    return loss + extra, (loss, updates.get('batch_stats', {}))

  grads, (loss, batch_stats) = jax.grad(objective, has_aux=True)(state.params)
  grads, loss = lax.pmean((grads, loss), AXIS)
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return TrainState(state.step + 1, params, batch_stats, opt_state, {}), loss


def _cross_entropy(logits, batch):
  """(example,) losses; those of mixed examples mixed likewise."""
  loss = optax.softmax_cross_entropy_with_integer_labels
  losses = loss(logits, batch['first']['labels'])
  if 'second' in batch:
    others = loss(logits, batch['second']['labels'])
    losses = others + batch['weight'] * (losses - others)
  return losses


def make_steps(model, tx, config) -> Callable:
  """As `step_lib.make_train_steps`, for a table of examples and labels."""

  def steps(state, table, plan):
    def body(state, now):
      batch = gather(table, now) if table else now
      return step(model, tx, config, state, batch)

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


def _make_sums(model) -> Callable:
  """Sums of log-likelihoods and of right guesses, (device, 2)."""

  def sums(variables, table, now, mask):
    rows = batches.take(table, now['first']) if table else now['first']
    logits = model.apply(variables, rows['examples'].astype(jnp.float32))
    labels = rows['labels']
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    right = jnp.argmax(logits, -1) == labels
    return jnp.stack([jnp.sum(x * mask) for x in (-losses, right)])

  return jax.pmap(sums, axis_name=AXIS, in_axes=(None, None, 0, 0))
