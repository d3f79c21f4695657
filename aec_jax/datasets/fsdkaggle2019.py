"""Lists the clips of FSDKaggle2019, as Kaggle or Zenodo ship it."""

import os

from aec_jax.datasets.clips import USAGES, Clips, roots_of, visible
from aec_jax.datasets.entries import Entry, checked, not_listed
from aec_jax.datasets.lists import fault, read_list

_META = 'FSDKaggle2019.meta'
# (list, audio, whether a person has checked the labels)
_TRAIN = (
  ('train_curated', 'audio_train_curated', True),
  ('train_noisy', 'audio_train_noisy', False),
)
LISTS = {
  f'{name}{ending}.csv'
  for name in ('train_curated', 'train_noisy', 'test')
  for ending in ('', '_post_competition')
}
_COLUMNS = {'file': ('fname',), 'labels': ('labels',)}


def from_fsdkaggle2019(
  data_dir: str | os.PathLike, on_bad: str = 'skip'
) -> Clips:
  """The clips of FSDKaggle2019: curated, noisy, test, in the lists' order.

  Args:
    data_dir: the folder of Zenodo's `FSDKaggle2019.meta/`,
      `FSDKaggle2019.audio_train_curated/`, `…_noisy/` and
      `FSDKaggle2019.audio_test/`, or of Kaggle's `train_curated.csv`,
      `train_curated/`, `train_noisy.csv`, `train_noisy/` and `test/`. Either
      training set may be absent, and the test set. Without a list of the test
      clips they are those in the folder, without labels.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.

  Raises:
    UserError: a list is faulty, no training clip is usable, or on_bad is
      'error' and a file is bad.
  """
  (root,) = roots_of(data_dir)
  entries, skipped = [], []
  for name, audio, verified in _TRAIN:
    listing, folder = _list(root, name), _audio(root, audio)
    if listing and folder:
      some = _entries(listing, folder, verified=verified)
      skipped += not_listed(folder, some, listing)
      entries += some
  classes = tuple(sorted({name for e in entries for name in e.labels}))
  listing, folder = _list(root, 'test'), _audio(root, 'audio_test')
  if listing and folder:
    tests = _entries(listing, folder, classes, split='test')
    skipped += not_listed(folder, tests, listing)
    entries += tests
  elif folder:
    entries += [
      _entry(folder, name, (), split='test', verified=False)
      for name in visible(folder)
    ]
  return checked(entries, classes, skipped, on_bad, root)


def holds_fsdkaggle2019(data_dir: str | os.PathLike) -> bool:
  """Whether a folder has a training list and its audio."""
  (root,) = roots_of(data_dir)
  return any(_list(root, name) and _audio(root, a) for name, a, _ in _TRAIN)


def _list(root, name) -> str | None:
  names = (f'{name}_post_competition.csv', f'{name}.csv')
  places = (root, os.path.join(root, _META))
  paths = (os.path.join(place, n) for n in names for place in places)
  return next(filter(os.path.lexists, paths), None)


def _audio(root, name) -> str | None:
  """Zenodo's folder, or Kaggle's, which has no `audio_` before it."""
  names = (f'FSDKaggle2019.{name}', name, name.removeprefix('audio_'))
  paths = (os.path.join(root, n) for n in names)
  return next(filter(os.path.isdir, paths), None)


def _entry(folder, name, labels, **fields) -> Entry:
  shown = f'{os.path.basename(folder)}/{name}'
  return Entry(os.path.join(folder, name), name, labels, shown, **fields)


def _entries(path, folder, classes=(), **fields) -> list[Entry]:
  """The clips of a list; their labels are among `classes`, if there are any."""
  entries = []
  for row in read_list(path, _COLUMNS, {'usage': ('usage',)}, tuple(_COLUMNS)):
    labels, usage = tuple(row['labels'].split(',')), row.get('usage', '')
    if usage not in USAGES:
      raise fault(path, row['row'], 'usage', f'{usage!r} is none of {USAGES}')
    unknown = [label for label in labels if classes and label not in classes]
    if unknown:
      what = f'{unknown[0]!r} is not a class of the training lists'
      raise fault(path, row['row'], 'labels', what)
    entries.append(_entry(folder, row['file'], labels, usage=usage, **fields))
  return entries
