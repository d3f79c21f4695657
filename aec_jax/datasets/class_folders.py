"""Clips whose classes are the folders that they lie in."""

import collections
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets import sides
from aec_jax.datasets.clips import subfolders
from aec_jax.datasets.entries import Entry, some
from aec_jax.errors import UserError

_LEADING_NUMBER = re.compile(r'\d+ *- +')
_Parts = tuple[str, ...]


class ClassFolders(NamedTuple):
  """Files in class folders.

  Attributes:
    files: (parts of the path, class folder, {'split' or 'fold': value}) each.
    trouble: why these are no classes; '' where they are.
    notes: what is taken for what, where that was not plain.
  """

  files: list[tuple[_Parts, str, dict]]
  trouble: str
  notes: list[str]


def find(
  root: str, files: Sequence[_Parts], lists: Sequence[_Parts] = ()
) -> ClassFolders:
  """The files that lie in class folders.

  Each sub-folder, of the folder or of its `audio/`, or of the only folder that
  has folders with sound, is a class. Folders that are all called by splits
  (train, val, test) or by folds (fold1, …), as `sides` tells, are that, and the
  classes are theirs; or they lie inside the classes.

  Args:
    root: the folder, for messages.
    files: as `clips.walk` gives them.
    lists: the CSVs; a folder of some, without sound, is no class that lacks it.
  """
  base = _base(files)
  depth = len(base)
  inside = [p for p in files if len(p) > depth + 1 and p[:depth] == base]
  deep = [p for p in inside if len(p) > depth + 2]
  firsts, seconds = {p[depth] for p in inside}, {p[depth + 1] for p in deep}
  outer, inner = sides.of(firsts), sides.of(seconds)
  notes = []
  if base not in ((), ('audio',)):
    notes.append(f'the classes are the folders in {"/".join(base)}/')
  above, trouble = [base], ''
  if _divide(firsts, outer, deep, depth, depth + 1):
    rows = [(p, p[depth + 1], _fields(outer[p[depth]])) for p in deep]
    above = [(*base, first) for first in sorted(firsts)]
    if not all(side.sure for side in outer.values()):
      notes.append(f'{some(sorted(firsts))} are taken as {_kind(outer)}')
    notes += sides.notes_on(outer)
  elif (
    len(deep) == len(inside)
    and not outer
    and len(seconds) > 1
    and _divide(seconds, inner, deep, depth + 1, depth)
  ):
    rows = [(p, p[depth], _fields(inner[p[depth + 1]])) for p in deep]
    notes.append(
      f'{some(sorted(seconds))} in the classes are taken as {_kind(inner)}'
    )
    notes += sides.notes_on(inner)
  else:
    rows = [(parts, parts[depth], {}) for parts in inside]
    trouble = _no_classes(root, firsts, outer, deep, depth)
    notes += [f'the folder {name} is taken as a class' for name in outer]
    notes += _unheeded(inner, inside, deep, depth)
  silent = _silent(root, above, {folder for _, folder, _ in rows}, lists)
  if silent:
    notes.append(f'no usable clip is left of {some(silent)}')
  return ClassFolders(rows, trouble or _too_few(root, rows, silent), notes)


def _base(files) -> _Parts:
  """The folder whose sub-folders are looked at."""
  base: _Parts = ()
  if any(parts[0] == 'audio' and len(parts) > 2 for parts in files):
    base = ('audio',)
  top = base
  while True:
    inside = [p for p in files if p[: len(base)] == base and p[len(base) + 1 :]]
    firsts = {parts[len(base)] for parts in inside}
    if len(firsts) != 1 or sides.of(firsts):
      return base
    if any(len(parts) == len(base) + 2 for parts in inside):
      return top
    base += tuple(firsts)


def _divide(names, found, deep, level, other) -> bool:
  """Whether the folders at a level of the paths are splits or folds.

  Where their names leave it in doubt, the same classes in them tell.
  """
  values = {side.value for side in found.values()}
  whats = {side.what for side in found.values()}
  if not deep or len(found) < len(names) or len(whats) != 1:
    return False
  if whats == {'split'} and 'train' not in values:
    return False
  if all(side.sure for side in found.values()):
    return True
  return len(names) > 1 and _alike(deep, level, other)


def _alike(deep, level, other) -> bool:
  """Whether the folders of one level have the same ones at another level.

  Some may lack some.
  """
  across = collections.defaultdict(set)
  for parts in deep:
    across[parts[level]].add(parts[other])
  most = max(across.values(), key=len)
  return len(most) > 1 and all(names <= most for names in across.values())


def _fields(side) -> dict:
  return {side.what: side.value}


def _kind(found) -> str:
  return 'splits' if found[min(found)].what == 'split' else 'folds'


def _no_classes(root, firsts, found, deep, depth) -> str:
  """Why folders that are called by splits or folds are no classes."""
  all_are = len(found) == len(firsts) > 1
  folds = [n for n, side in found.items() if side.what == 'fold' and side.sure]
  splits = [n for n, side in found.items() if side.what == 'split']
  holds = any(parts[depth] in splits for parts in deep)
  if not (all_are or folds or len(splits) > 1 or holds):
    return ''
  like = sorted(found if all_are else {*folds, *splits})
  return (
    f'{root}: folders called {", ".join(like)} are no classes; expected folders'
    ' of classes inside all of them and no others beside them, or labels.csv'
    ' with the columns file, label and split or fold (without these, where the'
    ' folders are classes all the same)'
  )


def _unheeded(inner, inside, deep, depth) -> list[str]:
  """Notes on folders in the classes that may be meant as something."""
  if len({(side.what, side.value) for side in inner.values()}) > 1:
    like = some(sorted(inner))
    return [f'folders in the classes are not heeded as splits or folds: {like}']
  tops = {parts[depth] for parts in inside}
  if len(deep) < len(inside) or len(tops) < 2:
    return []
  seconds = {(parts[depth], parts[depth + 1]) for parts in deep}
  names = {name for _, name in seconds}
  if len(names) < 2 or len(seconds) < len(tops) * len(names):
    return []
  return [
    f'all classes hold the same folders ({some(sorted(names))}), which are not'
    ' heeded: the outer folders are taken as the classes'
  ]


def _silent(root, above, classes, lists) -> list[str]:
  """The folders beside the classes' that have no sound."""
  listing = {parts[:-1] for parts in lists}
  found = set()
  for place in above:
    for name in subfolders(os.path.join(root, *place)):
      if (*place, name) not in listing and name not in classes:
        found.add(name)
  return sorted(found)


def _too_few(root, rows, silent) -> str:
  folders = sorted({folder for _, folder, _ in rows})
  if len(folders) > 1:
    return ''
  found = f'only {folders[0]!r}' if folders else 'no recordings'
  nested = '; if it holds the classes, give that folder' if folders else ''
  lacking = f'; no usable clip is in {some(silent)}' if silent else ''
  return (
    f'{root}: {found}; expected a sub-folder of recordings for each class, or'
    f' labels.csv with the columns file and label{nested}{lacking}'
  )


def entries_of(root: str, found: ClassFolders) -> list[Entry]:
  """Entries in the order of the folders' and files' names.

  A class is called as its folder is, but for a leading number as in
  '001 - Dog bark'.

  Raises:
    UserError: the folders are no classes, or two have one name.
  """
  if found.trouble:
    raise UserError(found.trouble)
  class_of: dict[str, str] = {}  # by folder
  for folder in sorted({folder for _, folder, _ in found.files}):
    name = _LEADING_NUMBER.sub('', folder, count=1) or folder
    for other, taken in class_of.items():
      if taken == name:
        both = f'{other!r} and {folder!r}'
        raise UserError(f'{root}: the folders {both} are both named {name!r}')
    class_of[folder] = name
  names = {parts[-1] for parts, _, _ in found.files}
  unique = len(names) == len(found.files)
  entries = []
  for parts, folder, fields in found.files:
    path, shown = os.path.join(root, *parts), '/'.join(parts)
    clip_id = parts[-1] if unique else shown
    labels = (class_of[folder],)
    entries.append(Entry(path, clip_id, labels, shown, **fields))
  return entries
