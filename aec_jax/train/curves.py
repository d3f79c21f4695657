"""What training leaves for TensorBoard: scalars, its config, a profile.

'training/…' is of steps, 'validation/…' of evaluations, 'members/…' of each of
several members, 'scored/…' of the scored clips where they choose nothing.
`tensorboard --logdir=DIR` shows all of a work folder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from aec_jax.errors import UserError
from aec_jax.run import fields, hosts
from aec_jax.train.step import schedule

# So many points of a whole training; more than a chart has pixels across.
_POINTS = 1000


class Writer:
  """Event files in a folder, through clu; a context that closes them.

  Args:
    folder: of the files; None keeps nothing of what is written, as all hosts
      but the first do.
    config: of the experiment, which is written as text and as hparams.

  Attributes:
    folder: None where nothing is kept.
  """

  def __init__(self, folder: Path | None, config) -> None:
    # clu imports TensorFlow, which scoring does without.
    from clu import metric_writers

    self.folder = folder if hosts.is_first() else None
    self._files: list[Any] = []
    if self.folder:
      self._files = [metric_writers.SummaryWriter(str(self.folder))]
      _write_config(self._files[0], config.to_dict())

  def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
    """Adds points to the curves of these names."""
    # TensorFlow keeps each Python number that it was given for ever, but no
    # array.
    found = {name: np.float32(value) for name, value in scalars.items()}
    for file in self._files:
      file.write_scalars(np.int64(step), found)

  def flush(self) -> None:
    """Lets others read what was written."""
    for file in self._files:
      file.flush()

  def __enter__(self) -> 'Writer':
    return self

  def __exit__(self, *_: object) -> None:
    for file in self._files:
      file.close()


def _write_config(writer, config: Mapping) -> None:
  flat = dict(fields.flattened(config))
  simple = {
    k: v if isinstance(v, bool | int | float) else str(v)
    for k, v in flat.items()
    if v is not None
  }
  writer.write_hparams(simple)
  text = json.dumps(config, indent=2, ensure_ascii=False, default=str)
  writer.write_texts(0, {'config': f'```\n{text}\n```'})


class Curves:
  """Writes what a `loop.System` does; a context that ends its profile.

  Args:
    writer: of them.
    system: that is trained.
  """

  def __init__(self, writer: Writer, system) -> None:
    settings = system.settings
    self._writer, self._names = writer, list(system.names)
    self._batch_size, self._batch_of = settings.batch_size, system.batch_of
    self._rate = schedule(settings.optimizer)
    self._every = max(1, settings.max_steps // _POINTS)
    self._next = 0
    self._profile = _Profile(
      writer.folder, profile_steps(settings.profile_steps)
    )

  def __enter__(self) -> 'Curves':
    return self

  def __exit__(self, *_: object) -> None:
    self._profile.end()

  def begin(self, start: int, stop: int) -> None:
    """A dispatch of the steps from `start` to `stop` is about to begin."""
    self._profile.begin(start, stop)

  def stepped(
    self,
    step: int,
    losses: np.ndarray,
    norms: jax.Array,
    members: np.ndarray,
    rate: float | None,
  ) -> None:
    """A dispatch is done.

    Args:
      step: up to which.
      losses: (step,) means over the members.
      norms: (step, member), of the gradients.
      members: (member,) those that have not diverged.
      rate: steps a second, where it is known.
    """
    self._profile.stepped(step)
    if step < self._next:
      return
    self._next = step + self._every
    at = self._rate(step - 1) if callable(self._rate) else self._rate
    found = {
      'training/loss': float(losses[-1]),
      'training/learning_rate': float(at),
      'training/gradient_norm': float(np.asarray(norms)[-1, members].mean()),
    }
    if rate is not None:
      name = f'training/{self._batch_of}_per_second'
      found[name] = rate * self._batch_size
    self._writer.write_scalars(step, found)

  def evaluated(self, entry: Mapping) -> None:
    """An evaluation, as `History.evaluations` keeps it."""
    found = {
      f'validation/{name}': value
      for name, value in entry.items()
      if name not in ('step', 'loss', 'members', 'scored')
    }
    found |= {f'scored/{k}': v for k, v in entry.get('scored', {}).items()}
    if 'log_likelihood' in entry:
      found['validation/loss'] = -entry['log_likelihood']
    if 'loss' in entry:
      found['training/mean_loss'] = entry['loss']
    if len(self._names) > 1:
      found |= {
        f'members/{metric}/{name}': value
        for metric, values in entry.get('members', {}).items()
        for name, value in zip(self._names, values, strict=True)
        if value is not None
      }
    self._writer.write_scalars(entry['step'], found)
    self._writer.flush()


def profile_steps(text: str) -> tuple[int, int] | None:
  """'100-110' to (100, 110); '' to None.

  Raises:
    UserError: it is neither.
  """
  if not text:
    return None
  first, dash, last = str(text).partition('-')
  if not dash or not (first.isdigit() and last.isdigit()):
    raise UserError(
      f'config.profile_steps is {text!r}; it takes FIRST-LAST, such as 100-110'
    )
  if int(first) >= int(last):
    raise UserError(
      f'config.profile_steps is {text!r}; the last step must come after the'
      ' first'
    )
  return int(first), int(last)


class _Profile:
  """A trace of some steps, for TensorBoard and for Perfetto.

  clu's `periodic_actions.Profile` wants to be asked at its first step exactly,
  and a dispatch has several.
  """

  def __init__(self, folder: Path | None, steps) -> None:
    self._folder = folder
    self._steps = steps if folder else None
    self._running = False

  def begin(self, start: int, stop: int) -> None:
    if self._running or not self._steps:
      return
    first, last = self._steps
    if stop > first and start < last:
      jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
      self._running = True

  def stepped(self, step: int) -> None:
    if self._running and self._steps and step >= self._steps[1]:
      self.end()

  def end(self) -> None:
    if self._running:
      jax.profiler.stop_trace()
      self._running, self._steps = False, None
