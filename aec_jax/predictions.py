"""What a scored experiment keeps of its clips: predictions.npz."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from aec_jax.datasets.labels import Labels
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.run import files

FILE = 'predictions.npz'
# Sums of float32 may be a little above one.
_MOST = 1.001
_ARRAYS = ('probabilities', 'ids', 'label_ids', 'label_offsets')


def save(
  path: Path, ids: np.ndarray, labels: Labels, probabilities: np.ndarray
) -> None:
  """Writes what ensembles and comparisons need of a scored experiment.

  Args:
    path: of the .npz.
    ids, labels: of the scored clips.
    probabilities: (clip, class) float32.
  """
  with files.whole(path) as unfinished, open(unfinished, 'wb') as file:
    np.savez(
      file,
      probabilities=probabilities,
      ids=ids,
      label_ids=labels.ids,
      label_offsets=labels.offsets,
    )


def load(folder: str | Path) -> dict[str, np.ndarray]:
  """The predictions of a finished experiment.

  Raises:
    UserError: the folder holds none, or they are damaged.
  """
  path = Path(folder) / FILE
  files.check_file(path, needed=False)
  try:
    with np.load(path, allow_pickle=False) as file:
      found = {name: file[name] for name in _ARRAYS}
    _check(**found)
    return found
  except UNREADABLE as error:
    raise UserError(
      f'{folder} holds no finished experiment (cannot read {path.name}): run'
      ' it first'
    ) from error


def _check(probabilities, ids, label_ids, label_offsets) -> None:
  """Raises `ValueError` for arrays that do not belong together."""
  clips, classes = probabilities.shape
  if (
    probabilities.dtype.kind != 'f'
    or len(ids) != clips
    or label_offsets.shape != (clips + 1,)
    or label_offsets[0] != 0
    or label_offsets[-1] != len(label_ids)
    or (np.diff(label_offsets) < 0).any()
    or not ((label_ids >= 0) & (label_ids < classes)).all()
  ):
    raise ValueError('its arrays do not belong together')
  if not ((probabilities >= 0) & (probabilities <= _MOST)).all():  # or NaN
    raise ValueError('its probabilities are none')


def finished(folders: Sequence[str]) -> list[str]:
  """The work folders among some, as `runs/*` gives others, too.

  Those without a finished experiment are named on stderr; where none has one,
  all are returned, and reading them says why.
  """
  kept = [f for f in folders if (Path(f) / FILE).exists()]
  for folder in folders if kept else ():
    if folder not in kept:
      print(f'passed over: {folder}: no finished experiment', file=sys.stderr)
  return kept or list(folders)


def mean_probabilities(
  folders: Sequence[str | Path],
) -> tuple[np.ndarray, np.ndarray]:
  """Targets and the mean probabilities of experiments on the same examples.

  Returns:
    targets (example, class) bool and probabilities (example, class) float32.

  Raises:
    UserError: a folder is unfinished, or scored on other examples or by other
      labels.
  """
  total: np.ndarray = np.zeros((), np.float32)
  for found in _of_same_clips(folders):
    total = total + found['probabilities']
  return targets_of(found), total / len(folders)


def all_probabilities(
  folders: Sequence[str | Path],
) -> tuple[np.ndarray, np.ndarray]:
  """As `mean_probabilities`, of each: (folder, example, class)."""
  found = list(_of_same_clips(folders))
  every = np.stack([one['probabilities'] for one in found])
  return targets_of(found[0]), every


def _of_same_clips(folders) -> Iterator[dict[str, np.ndarray]]:
  """What `load` returns of each; `UserError` where clips or labels differ."""
  first: dict = {}
  for folder in folders:
    found = load(folder)
    first = first or found
    if not _same_clips(found, first):
      raise UserError(
        f'{folder} was scored on other examples than {folders[0]}'
      )
    if not _same_labels(found, first):
      raise UserError(
        f'{folder} was scored by other labels than {folders[0]}: its classes'
        ' are others or in another order, or labels were changed'
      )
    yield found


def _same_clips(one, other) -> bool:
  same = one['probabilities'].shape == other['probabilities'].shape
  return same and np.array_equal(one['ids'], other['ids'])


def _same_labels(one, other) -> bool:
  return all(
    np.array_equal(one[name], other[name])
    for name in ('label_ids', 'label_offsets')
  )


def targets_of(predictions: Mapping[str, np.ndarray]) -> np.ndarray:
  """The labels of what `load` returns: (example, class) bool."""
  classes = predictions['probabilities'].shape[1]
  return Labels(
    predictions['label_ids'], predictions['label_offsets'], classes
  ).multi_hot()
