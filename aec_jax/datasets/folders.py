"""Lists the clips of a folder: of a known data set, or of anybody's own."""

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from aec_jax.datasets import (
  audioset_lists,
  class_folders,
  class_list,
  folder_sides,
  fsd50k,
  fsdkaggle2018,
  fsdkaggle2019,
  list_places,
  listed,
  sides,
  split_lists,
)
from aec_jax.datasets.clips import (
  Clips,
  left_out,
  roots_of,
  subfolders,
  visible,
  walk,
)
from aec_jax.datasets.entries import Entry, checked, some
from aec_jax.datasets.finder import Finder
from aec_jax.datasets.lists import ENDINGS
from aec_jax.errors import UserError

# Data sets that are known by their files; others are read by general rules.
# (whether a folder holds it, what lists it, the lists that it reads)
_KNOWN: tuple[tuple[Callable, Callable, set[str]], ...] = (
  (
    fsdkaggle2018.holds_fsdkaggle2018,
    fsdkaggle2018.from_fsdkaggle2018,
    fsdkaggle2018.LISTS,
  ),
  (
    fsdkaggle2019.holds_fsdkaggle2019,
    fsdkaggle2019.from_fsdkaggle2019,
    fsdkaggle2019.LISTS,
  ),
  (fsd50k.holds_fsd50k, fsd50k.from_fsd50k, set()),
  (
    audioset_lists.holds_audioset_lists,
    audioset_lists.from_audioset_lists,
    audioset_lists.LISTS,
  ),
)
# ESC-10's F-ID-T.ogg and ESC-50's F-ID-T-C.wav: F is the fold.
_ESC_NAME = re.compile(r'(\d)-\d+-[A-Z](-\d+)?\.\w+')


def from_folder(
  data_dir: str | os.PathLike, on_bad: str = 'skip', separator: str = ''
) -> Clips:
  """The clips of a folder of recordings; docs/data.md has all the layouts.

  A data set of `_KNOWN` is loaded as what it is. Else CSVs list the clips, as
  `list_places.choose` finds them; they may have columns split, fold, group,
  start, end and verified, and a clip may have several labels. Files are named
  from the folder or from its `audio/`, or by so much of their path as tells
  them apart. Without a CSV sub-folders are the classes, and folders or texts
  say splits and folds, as `class_folders.find` and `split_lists.take` have it.
  When every file is named as ESC-10's or ESC-50's are, and nothing else says
  folds, the first digit is the fold. Where all this is in the only folder that
  is there, as an archive is unpacked, that is the folder.

  Args:
    data_dir: the folder.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.
    separator: what stands between the labels of a clip in a CSV; '' to find
      that out.

  Raises:
    UserError: nothing of the kind is there, the CSV is faulty, no clip is
      usable, or on_bad is 'error' and a file is bad.
  """
  (root,) = roots_of(data_dir)
  inner = _downloaded(root)
  clips = _from(inner or root, on_bad, separator)
  if not inner:
    return clips
  note = f'the data set is in {os.path.relpath(inner, root)}/'
  return dataclasses.replace(clips, notes=[note, *clips.notes])


def _downloaded(root: str) -> str:
  """The only folder in a folder, where it is a data set with lists; else ''."""
  try:
    inner = [name for name in subfolders(root) if name != '__MACOSX']
    others = [*visible(root), *list_places.csvs(root)]
  except OSError:  # `walk` says of it
    return ''
  if others or len(inner) != 1 or inner == ['audio'] or sides.of(inner):
    return ''
  within = os.path.join(root, *inner)
  known = any(holds(within) for holds, _, _ in _KNOWN)
  lists = [os.path.dirname(path) for path in list_places.csvs(within)]
  return within if known or any(path != within for path in lists) else ''


def _from(root: str, on_bad: str, separator: str) -> Clips:
  """The clips of a folder that is a data set."""
  for holds, load, lists in _KNOWN:
    if holds(root):
      clips = load(root, on_bad)
      notes = _unread(root, lists)
      if load is not audioset_lists.from_audioset_lists:  # it names all sound
        notes = _unused(root, clips) + notes
      return dataclasses.replace(clips, notes=clips.notes + notes)
  return _by_rules(root, on_bad, separator)


class _Found(NamedTuple):
  """What lists or class folders name.

  Attributes:
    entries: the clips.
    skipped: what is left out of them.
    notes: how they were read.
    reason: why other files are no clips.
    bases: the folders that they lie in, from the data set's.
    has_splits, has_folds: whether lists or folders say any.
  """

  entries: list[Entry]
  skipped: list[dict[str, str]]
  notes: list[str]
  reason: str
  bases: list[str]
  has_splits: bool
  has_folds: bool


def _by_rules(root: str, on_bad: str, separator: str) -> Clips:
  """The clips of a folder that is none of `_KNOWN`."""
  walked, skipped = walk(root, also=_is_list)
  files = [parts for parts in walked if not _is_list(parts[-1])]
  csvs = [parts for parts in walked if _is_list(parts[-1])]
  setups = [parts for parts in csvs if split_lists.FOLDER in parts[:-1]]
  folders = class_folders.find(root, files, csvs)
  finder = Finder(root, files)
  lists = [os.path.join(root, *p) for p in csvs if p not in setups]
  listings, notes = list_places.choose(root, finder, lists, not folders.trouble)
  if listings:
    found = _by_lists(root, listings, finder, separator)
  elif folders.trouble:
    raise UserError('; '.join([folders.trouble, *notes]))
  else:
    found = _by_folders(root, folders)
  notes += found.notes
  entries, reason = found.entries, found.reason
  if not found.has_splits:
    entries, said = split_lists.take(root, found.bases, finder, entries)
    reason += ', or in no list of a split' if said else ''
    notes += said
  notes += _unused_setups(setups, notes)
  if not found.has_folds:
    _take_esc_folds(entries)
  skipped = found.skipped + _others(root, files, skipped, entries, reason)
  classes = tuple(sorted({name for e in entries for name in e.labels}))
  notes += _alike(classes)
  return checked(entries, classes, skipped, on_bad, root, notes)


def _by_lists(root, listings, finder, separator) -> _Found:
  read = listed.entries_of(root, listings, finder, separator)
  notes = read.notes + folder_sides.take(root, listings, read.entries)
  names = [os.path.relpath(one.table.path, root) for one in listings]
  several = some(names) if len(names) > 5 else ' or '.join(names)
  return _Found(
    read.entries,
    read.skipped,
    notes,
    f'not listed in {several}',
    [one.folder for one in listings],
    any(one.says('split') for one in listings)
    or any(entry.split != 'train' for entry in read.entries),
    read.folds or any(entry.fold >= 0 for entry in read.entries),
  )


def _by_folders(root, folders) -> _Found:
  entries = class_folders.entries_of(root, folders)
  return _Found(
    entries,
    [],
    folders.notes,
    'not in a class folder',
    [os.path.join('', *folders.base)],
    folders.sides,
    any(entry.fold >= 0 for entry in entries),
  )


def _unused_setups(setups, notes) -> list[str]:
  """A note on lists of splits that nothing has been made of."""
  paths = ['/'.join(parts) for parts in setups]
  left = [path for path in paths if not any(path in note for note in notes)]
  return [f'not used: {some(left)}'] * bool(left)


def _alike(classes) -> list[str]:
  """A note on classes that are called the same but for capitals or blanks."""
  by_name = collections.defaultdict(list)
  for name in classes:
    bare = ' '.join(unicodedata.normalize('NFC', name).casefold().split())
    by_name[bare].append(name)
  names = [' and '.join(some) for some in by_name.values() if len(some) > 1]
  if not names:
    return []
  return [f'classes whose names differ in capitals or blanks: {some(names)}']


def _is_list(path: str) -> bool:
  name = os.path.basename(path)
  return name.lower().endswith(ENDINGS) and name not in class_list.FILES


def _unused(root: str, clips: Clips) -> list[str]:
  """A note on sound that is none of a known data set."""
  files, skipped = walk(root)
  named = {entry['file'] for entry in clips.skipped}
  named |= {path[len(root) + 1 :] for path in clips.paths.tolist()}
  found = {'/'.join(parts) for parts in files}
  rest = sorted((found | {entry['file'] for entry in skipped}) - named)
  if not rest:
    return []
  return [f'{len(rest):,} other sound files are not used: {some(rest)}']


def _unread(root: str, lists: set[str]) -> list[str]:
  """A note on lists that are none of a known data set."""
  names = [path[len(root) + 1 :] for path in list_places.csvs(root)]
  names = [name for name in names if os.path.basename(name) not in lists]
  if not names:
    return []
  return [f'not used: {some(names)}, for the data set has other lists']


def _others(root, files, skipped, entries, reason) -> list[dict[str, str]]:
  """What is left out, with the files of no entry, without those of one."""
  used = {os.path.normpath(entry.path) for entry in entries}
  shown = {left_out(os.path.relpath(p, root), '')['file'] for p in used}
  walked = [entry for entry in skipped if entry['file'] not in shown]
  return walked + [
    left_out(os.path.relpath(path, root), reason)
    for path in (os.path.join(root, *parts) for parts in files)
    if path not in used
  ]


def _take_esc_folds(entries: list[Entry]) -> None:
  """The first digits as folds, when every file has a name of ESC's."""
  names = [_ESC_NAME.fullmatch(os.path.basename(e.path)) for e in entries]
  for entry, name in zip(entries, names, strict=True):
    if name and all(names):
      entry.fold = int(name[1])
