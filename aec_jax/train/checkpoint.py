"""Checkpoints through orbax: the latest to go on from, the best to score.

States are saved as host arrays, so that a checkpoint written on N devices
restores on any other number. Of several hosts, the first writes and reads.
"""

import contextlib
import textwrap
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from aec_jax.errors import UserError, may_pass
from aec_jax.run import checksums, files, hosts

# What orbax raises of files that are not as it wrote them.
_DAMAGED = (AttributeError, KeyError, TypeError, ValueError)


class Checkpoints:
  """Two series of checkpoints under one folder: `latest/` and `best/`.

  Saving is synchronous: the training state is donated to the next step, and
  must have been copied by then. A save that was cut off leaves a temporary
  folder that is never taken for a checkpoint. Each keeps a checksum of all of
  its files, and is held against them before it is read.
  """

  def __init__(self, folder: str | Path) -> None:
    folder = Path(folder).absolute()
    self.folder = folder
    first = hosts.is_first()
    self._latest = _manager(folder / 'latest', keep=2) if first else None
    self._best = _manager(folder / 'best', keep=1) if first else None

  def save(self, step: int, state, history: dict, anew: bool = False) -> None:
    """Saves what training goes on from.

    Args:
      step: that it has reached.
      state: at it.
      history: up to it.
      anew: whether in place of what may be saved of that step already.
    """
    if self._latest and anew and step in self._latest.all_steps():
      self._latest.delete(step)
    _save(self._latest, step, state, history)

  def save_best(self, step: int, state, history: dict) -> None:
    """Saves what will be scored, in place of the best so far."""
    _save(self._best, step, state, history)

  def restore(self, template):
    """The latest (state, history), or None where nothing was saved yet."""
    return _restore(self._latest, template)

  def restore_best(self, template):
    """The best (state, history).

    Raises:
      UserError: there is none.
    """
    found = _restore(self._best, template)
    if found is None:
      raise UserError(
        f'{self.folder} holds no checkpoint: train first (--mode=train)'
      )
    return found

  def close(self) -> None:
    for manager in (self._latest, self._best):
      if manager is not None:
        manager.close()


def holds_any(folder: Path) -> bool:
  """Whether training can go on from a folder; nothing is opened or made."""
  return any(p.name.isdigit() for p in (folder / 'latest').glob('*'))


def latest_history(folder: Path) -> tuple[int, dict] | None:
  """The step that training can go on from, and its history; of this host.

  Raises:
    UserError: the checkpoint is damaged.
  """
  if not holds_any(folder):
    return None
  with contextlib.closing(_manager(folder / 'latest', keep=2)) as manager:
    step = manager.latest_step()
    if step is None:
      return None
    with _undamaged(manager, step):
      return step, _restored(manager, step)['history']


def _manager(folder: Path, keep: int) -> ocp.CheckpointManager:
  folder.mkdir(parents=True, exist_ok=True)
  options = ocp.CheckpointManagerOptions(
    max_to_keep=keep,
    cleanup_tmp_directories=True,
    enable_async_checkpointing=False,
    create=False,
    # Orbax is not to wait for the other hosts.
    multiprocessing_options=ocp.options.MultiprocessingOptions(
      active_processes={0}
    ),
  )
  try:
    return ocp.CheckpointManager(folder, options=options)
  except _DAMAGED as error:
    raise _damaged(f'a checkpoint in {folder}', error) from error


def _save(manager, step, state, history):
  if not manager or step in manager.all_steps():
    # A resumed run comes past the same step with the same bits.
    return
  host = jax.tree.map(np.array, state)
  manager.save(
    step,
    args=ocp.args.Composite(
      state=ocp.args.StandardSave(host), history=ocp.args.JsonSave(history)
    ),
    force=True,
  )
  manager.wait_until_finished()
  folder = Path(manager.directory)
  # TensorStore has none of the values of large arrays.
  checksums.write(folder / str(step))
  # Orbax leaves it to the system when the disk has it.
  files.settle_folder(folder)


def _restore(manager, template):
  found = hosts.lead(lambda: _read(manager, template))
  if found is None:
    return None
  state, history = found
  return serialization.from_state_dict(template, state), history


def _read(manager, template):
  step = manager.latest_step()
  if step is None:
    return None
  shapes = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), template)
  with _undamaged(manager, step):
    state = ocp.args.StandardRestore(shapes)
    found = _restored(manager, step, state=state)
    if jax.tree.map(np.shape, found['state']) != jax.tree.map(np.shape, shapes):
      raise ValueError('other shapes')
  return serialization.to_state_dict(found['state']), found['history']


@contextlib.contextmanager
def _undamaged(manager, step: int) -> Iterator[None]:
  """Holds a checkpoint against its checksums before it is read."""
  folder = Path(manager.directory) / str(step)
  try:
    checksums.check(folder)
    yield
  except (OSError, *_DAMAGED) as error:
    if may_pass(error):
      raise
    raise _damaged(folder, error) from error


def _restored(manager, step: int, **more):
  """The history of a checkpoint, and what more is asked for."""
  args = ocp.args.Composite(history=ocp.args.JsonRestore(), **more)
  found = manager.restore(step, args=args)
  if not isinstance(found['history'].get('evaluations'), list):
    raise ValueError('its history has no evaluations')
  return found


def _damaged(what, error) -> UserError:
  reason = textwrap.shorten(str(error), 200)
  return UserError(
    f'{what} is damaged, or not of this model ({reason}): delete it and run'
    ' again, or use another --workdir'
  )
