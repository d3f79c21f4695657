"""Lists the clips of FSDKaggle2018, as Kaggle or Zenodo ship it."""

import os
from collections.abc import Sequence

from aec_jax.datasets.clips import USAGES, Clips, roots_of, visible
from aec_jax.datasets.entries import Entry, checked, not_listed
from aec_jax.datasets.lists import fault, read_list
from aec_jax.errors import UserError

_META = 'FSDKaggle2018.meta'
_TRAIN_LISTS = (
  'train.csv',
  'train_post_competition.csv',
  f'{_META}/train_post_competition.csv',
)
_TEST_LISTS = (
  'test_post_competition.csv',
  f'{_META}/test_post_competition.csv',
  'test_post_competition_scoring_clips.csv',
  f'{_META}/test_post_competition_scoring_clips.csv',
)
LISTS = {os.path.basename(path) for path in (*_TRAIN_LISTS, *_TEST_LISTS)}
_TRAIN_AUDIO = ('audio_train', 'FSDKaggle2018.audio_train')
_TEST_AUDIO = ('audio_test', 'FSDKaggle2018.audio_test')


def from_fsdkaggle2018(
  data_dir: str | os.PathLike | Sequence, on_bad: str = 'skip'
) -> Clips:
  """The clips of FSDKaggle2018, training clips first, in the lists' order.

  Args:
    data_dir: the folder that holds Kaggle's `train.csv`, `audio_train/` and
      `audio_test/`, or Zenodo's `FSDKaggle2018.meta/`,
      `FSDKaggle2018.audio_train/` and `FSDKaggle2018.audio_test/`, or a
      mixture; several folders are searched in turn. Without a list of the test
      clips they are those in the folder, with label -1.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.

  Raises:
    UserError: neither layout is there, a list is faulty, no training clip is
      usable, or on_bad is 'error' and a file is bad.
  """
  roots = roots_of(data_dir)
  train_list = _find(roots, _TRAIN_LISTS)
  train_audio = _find(roots, _TRAIN_AUDIO)
  where = ', '.join(roots)
  if not train_list or not train_audio:
    missing = 'audio_train/' if train_list else 'train.csv'
    raise UserError(
      f'{where}: no {missing}; FSDKaggle2018 has train.csv and audio_train/ '
      f'(Kaggle) or {_META}/ and FSDKaggle2018.audio_train/ (Zenodo)'
    )
  entries = _fsd_train(train_list, train_audio)
  classes = tuple(sorted({name for e in entries for name in e.labels}))
  skipped, notes = not_listed(train_audio, entries, train_list), []
  test_list, test_audio = _find(roots, _TEST_LISTS), _find(roots, _TEST_AUDIO)
  if test_list:
    folder = test_audio or os.path.join(roots[0], _TEST_AUDIO[0])
    tests = _fsd_test(test_list, folder, classes)
    skipped += not_listed(folder, tests, test_list)
    here = _without_padding(tests)
    if len(here) < len(tests):
      absent = len(tests) - len(here)
      notes.append(f'{absent:,} test clips that are only padding are not there')
    entries += here
  elif test_audio:
    entries += [
      _fsd_entry(test_audio, name, '', split='test', verified=False)
      for name in visible(test_audio)
    ]
  return checked(entries, classes, skipped, on_bad, where, notes)


def holds_fsdkaggle2018(data_dir: str | os.PathLike) -> bool:
  """Whether a folder has a training list and the training audio."""
  roots = roots_of(data_dir)
  return all(_find(roots, names) for names in (_TRAIN_LISTS, _TRAIN_AUDIO))


def _find(roots, names) -> str | None:
  """The first of the names that is there, in the first of the roots."""
  paths = (os.path.join(root, name) for root in roots for name in names)
  return next(filter(os.path.exists, paths), None)


def _fsd_entry(folder, name, label, **fields) -> Entry:
  shown = f'{os.path.basename(folder)}/{name}'
  labels = (label,) if label else ()
  return Entry(os.path.join(folder, name), name, labels, shown, **fields)


def _fsd_train(path, folder) -> list[Entry]:
  columns = {
    'file': ('fname',),
    'label': ('label',),
    'verified': ('manually_verified',),
  }
  return [
    _fsd_entry(folder, row['file'], row['label'], verified=row['verified'])
    for row in read_list(path, columns)
  ]


def _fsd_test(path, folder, classes) -> list[Entry]:
  columns = {'file': ('fname',), 'label': ('label',)}
  optional = {'usage': ('usage',)}
  entries = []
  for row in read_list(path, columns, optional, filled=('file',)):
    label, usage = row['label'], row.get('usage', '')
    if usage not in USAGES:
      raise fault(path, row['row'], 'usage', f'{usage!r} is none of {USAGES}')
    if label in ('', 'None') and usage not in ('Public', 'Private'):
      label = ''  # padding, which is never scored
    elif label not in classes:
      what = f'{label!r} is not a class of the training list'
      raise fault(path, row['row'], 'label', what)
    fields = {'verified': bool(label), 'split': 'test', 'usage': usage}
    entries.append(_fsd_entry(folder, row['file'], label, **fields))
  return entries


def _without_padding(entries) -> list[Entry]:
  """All but the padding that is not there: nothing needs it."""
  return [
    entry
    for entry in entries
    if entry.usage != 'Ignored' or os.path.lexists(entry.path)
  ]
