"""Lists the clips of a folder: of a known data set, or of anybody's own."""

import dataclasses
import os
import re
from collections.abc import Callable

from aec_jax.datasets import (
  audioset_lists,
  class_folders,
  class_list,
  fsd50k,
  fsdkaggle2018,
  fsdkaggle2019,
  listed,
  sides,
)
from aec_jax.datasets.clips import Clips, left_out, roots_of, walk
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

  A data set of `_KNOWN` is loaded as what it is. Else a CSV at the top (or in
  `meta/` or `metadata/`, or beside what it lists) lists the clips:
  `labels.csv`, `metadata.csv`, or the only one with a column of files and one
  of labels. It may have columns split, fold, group, start, end and verified; a
  clip may have several labels. Files are named from the folder or from its
  `audio/`, or by so much of their path as tells them apart. Without a CSV each
  sub-folder (of the folder or of its `audio/`) is a class; folders train, val
  and test, or fold1, fold2, … hold class folders, or lie in them. When every
  file is named as ESC-10's or ESC-50's are, and no list says otherwise, the
  first digit is the fold.

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
  for holds, load, lists in _KNOWN:
    if holds(root):
      clips = load(root, on_bad)
      notes = _unread(root, lists)
      if load is not audioset_lists.from_audioset_lists:  # it names all sound
        notes = _unused(root, clips) + notes
      return dataclasses.replace(clips, notes=clips.notes + notes)
  return _by_rules(root, on_bad, separator)


def _by_rules(root: str, on_bad: str, separator: str) -> Clips:
  """The clips of a folder that is none of `_KNOWN`."""
  found, skipped = walk(root, also=_is_list)
  files = [parts for parts in found if not _is_list(parts[-1])]
  csvs = [parts for parts in found if _is_list(parts[-1])]
  folders = class_folders.find(root, files, csvs)
  finder = Finder(root, files)
  listings, notes = listed.choose(
    root,
    finder,
    [os.path.join(root, *parts) for parts in csvs],
    not folders.trouble,
  )
  if listings:
    read = listed.entries_of(root, listings, finder, separator)
    entries, folds = read.entries, read.folds
    parts, notes = read.skipped, notes + read.notes + _unsplit(root, entries)
    names = [
      os.path.join(one.folder, os.path.basename(one.table.path))
      for one in listings
    ]
    reason = f'not listed in {" or ".join(names)}'
  elif folders.trouble:
    raise UserError('; '.join([folders.trouble, *notes]))
  else:
    entries, parts = class_folders.entries_of(root, folders), []
    folds = any(entry.fold >= 0 for entry in entries)
    notes += folders.notes
    reason = 'not in a class folder'
  if not folds:
    _take_esc_folds(entries)
  skipped = parts + _others(root, files, skipped, entries, reason)
  classes = tuple(sorted({name for e in entries for name in e.labels}))
  return checked(entries, classes, skipped, on_bad, root, notes)


def _unsplit(root: str, entries: list[Entry]) -> list[str]:
  """A note on listed clips that all train, from folders called by splits."""
  if any(entry.split != 'train' for entry in entries):
    return []
  paths = [os.path.relpath(entry.path, root).split(os.sep) for entry in entries]
  within = [path[path[0] == 'audio' :] for path in paths]
  called = sides.of({path[0] for path in within if len(path) > 1})
  splits = {n: s.value for n, s in called.items() if s.what == 'split'}
  if len(set(splits.values())) < 2:
    return []
  names = some(sorted(splits))
  return [f'all clips train, of {names}, too: a column split says which do']


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
  names = [path[len(root) + 1 :] for path in listed.csvs(root)]
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
