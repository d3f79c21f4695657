"""Lists the clips of FSD50K, as Zenodo ships it."""

import os

from aec_jax.datasets.clips import Clips, roots_of
from aec_jax.datasets.entries import Entry, checked, not_listed
from aec_jax.datasets.lists import fault, read_list, read_table
from aec_jax.errors import UserError

_TRUTH = 'FSD50K.ground_truth'
# (list, audio, split where the list has no such column)
_PARTS = (
  ('dev.csv', 'FSD50K.dev_audio', 'train'),
  ('eval.csv', 'FSD50K.eval_audio', 'test'),
)
_COLUMNS = {'file': ('fname',), 'labels': ('labels',)}


def from_fsd50k(data_dir: str | os.PathLike, on_bad: str = 'skip') -> Clips:
  """The clips of FSD50K, development set first, in the lists' order.

  Its own splits: train and val of `dev.csv` are 'train' and 'validation',
  `eval.csv` is 'test'. The classes are in the vocabulary's order.

  Args:
    data_dir: the folder of `FSD50K.ground_truth/`, `FSD50K.dev_audio/` and
      `FSD50K.eval_audio/`.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.

  Raises:
    UserError: a list is faulty, no training clip is usable, or on_bad is
      'error' and a file is bad.
  """
  (root,) = roots_of(data_dir)
  classes = _vocabulary(root)
  entries, skipped = [], []
  for name, audio, split in _PARTS:
    listing = os.path.join(root, _TRUTH, name)
    folder = os.path.join(root, audio)
    if os.path.lexists(listing):
      some = _entries(listing, folder, split, classes)
      skipped += not_listed(folder, some, listing)
      entries += some
  if not classes:
    classes = tuple(sorted({name for e in entries for name in e.labels}))
  return checked(entries, classes, skipped, on_bad, root)


def holds_fsd50k(data_dir: str | os.PathLike) -> bool:
  """Whether a folder has the development set's list and audio."""
  (root,) = roots_of(data_dir)
  name, audio, _ = _PARTS[0]
  listing = os.path.join(root, _TRUTH, name)
  return os.path.lexists(listing) and os.path.isdir(os.path.join(root, audio))


def _vocabulary(root) -> tuple[str, ...]:
  path = os.path.join(root, _TRUTH, 'vocabulary.csv')
  if not os.path.lexists(path):
    return ()
  rows = read_table(path, ['index', 'label', 'mid']).rows
  names = tuple(label for _, label, _ in rows)
  if not names or len(set(names)) < len(names):
    raise UserError(
      f'{path}: expected a line of index,label,mid for each class'
    )
  return names


def _entries(path, folder, split, classes) -> list[Entry]:
  entries, known = [], set(classes)
  for row in read_list(path, _COLUMNS, {'split': ('split',)}, tuple(_COLUMNS)):
    labels = tuple(row['labels'].split(','))  # no name has a comma
    unknown = [label for label in labels if known and label not in known]
    if unknown:
      what = f'{unknown[0]!r} is not in vocabulary.csv'
      raise fault(path, row['row'], 'labels', what)
    name = f'{row["file"]}.wav'
    shown = f'{os.path.basename(folder)}/{name}'
    entry = Entry(os.path.join(folder, name), name, labels, shown)
    entry.split = row.get('split', split)
    entries.append(entry)
  return entries
