"""The training loop: plans, steps, evaluations, checkpoints, early stopping."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np

from aec_jax.errors import UserError
from aec_jax.input import batches
from aec_jax.run import files, hosts, termination
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.progress import History, Progress, warn_at_chance
from aec_jax.train.step import (
  TrainState,
  all_finite,
  check_shares,
  create_state,
  make_train_steps,
  on_device,
  optimizer,
  replicate,
)

# Of which the plans are one tf.data pipeline.
_SPANS = 10_000


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
      files.write_json(path, {'what': what, 'step': step, 'examples': ids})
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
