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
_NUMBERED = re.compile(r'([^\W\d_]*)[ _-]*\d+')
# Words before a number that are seldom labels.
_SOURCES = {
  'actor', 'batch', 'channel', 'chunk', 'day', 'device', 'disc', 'disk', 'id',
  'mic', 'night', 'participant', 'patient', 'person', 'rec', 'recording',
  'room', 's', 'sensor', 'session', 'site', 'spk', 'speaker', 'station',
  'sub', 'subject', 'take', 'user',
}  # fmt: skip
_Parts = tuple[str, ...]


class ClassFolders(NamedTuple):
  """Files in class folders.

  Attributes:
    files: (parts of the path, class folder, {'split' or 'fold': value}) each.
    trouble: why these are no classes; '' where they are.
    notes: what is taken for what, where that was not plain.
    base: the folder, below the data set's, that all lie in.
    sides: whether folders say splits or folds.
  """

  files: list[tuple[_Parts, str, dict]]
  trouble: str
  notes: list[str]
  base: _Parts
  sides: bool


class Reading(NamedTuple):
  """What two levels of folders are.

  Attributes:
    classes: the level, 0 or 1, of the classes.
    sides: what the folders of the other level are called, where they are splits
      or folds; none where they are nothing, and classes are at level 0.
  """

  classes: int
  sides: dict[str, sides.Side]


def reading_of(paths: Sequence[_Parts]) -> Reading:
  """Which level of folders are classes, and which are splits or folds.

  Folders that are all called by splits or by folds, as `sides` tells, are that,
  and the classes are theirs. Else the folders in them are, where all sound lies
  in such, and of the upper ones no more than one is called by a split, as a
  class may be.

  Args:
    paths: of the files, by parts, from the folder that has the upper level.
  """
  deep = [parts for parts in paths if len(parts) > 2]
  firsts, seconds = _names(paths, 0), _names(deep, 1)
  outer, inner = sides.of(firsts), sides.of(seconds)
  if _divide(firsts, outer, deep, 0):
    return Reading(1, outer)
  all_deep = len(deep) == len(paths) and len(seconds) > 1
  if all_deep and not _several(outer) and _divide(seconds, inner, deep, 1):
    return Reading(0, inner)
  return Reading(0, {})


def find(
  root: str, files: Sequence[_Parts], lists: Sequence[_Parts] = ()
) -> ClassFolders:
  """The files that lie in class folders.

  Each sub-folder, of the folder or of its `audio/`, or of the only folder that
  has folders with sound, is a class; or those of splits and folds are, as
  `reading_of` says.

  Args:
    root: the folder, for messages.
    files: as `clips.walk` gives them.
    lists: the CSVs; a folder of some, without sound, is no class that lacks it.
  """
  base = _base(files)
  depth = len(base)
  inside = [p for p in files if len(p) > depth + 1 and p[:depth] == base]
  paths = [p[depth:] for p in inside]
  reading = reading_of(paths)
  level, found = reading.classes, reading.sides
  notes, trouble = [], ''
  if base not in ((), ('audio',)):
    notes.append(f'the classes are the folders in {"/".join(base)}/')
  rows = [
    (whole, p[level], _fields(found[p[1 - level]]) if found else {})
    for whole, p in zip(inside, paths, strict=True)
    if len(p) > level + 1
  ]
  notes += _notes_on(reading)
  if not level:
    outer = sides.of(_names(paths, 0))
    notes += [f'the folder {name} is taken as a class' for name in outer]
  if not found:
    trouble = _no_classes(root, paths)
  elif _several(sides.of(classes := {folder for _, folder, _ in rows})):
    trouble = _no_such(root, sorted(classes))
  notes += _not_heeded(_below(paths, reading))
  above = [(*base, name) for name in found] if level else [base]
  silent = _silent(root, above, {folder for _, folder, _ in rows}, lists)
  if silent:
    notes.append(f'no sound that can be used is in {some(silent)}')
  notes += _unlike_classes({folder for _, folder, _ in rows})
  trouble = trouble or _too_few(root, rows, silent)
  return ClassFolders(rows, trouble, notes, base, bool(found))


def _names(paths, level) -> set[str]:
  return {parts[level] for parts in paths}


def _notes_on(reading) -> list[str]:
  """Notes on folders that are taken as splits or folds."""
  found, names = reading.sides, some(sorted(reading.sides))
  if not found:
    return []
  notes = sides.notes_on(found)
  if reading.classes and all(side.sure for side in found.values()):
    return notes
  where = '' if reading.classes else ' in the classes'
  taken = f'are taken as {_kind(found)}s'
  if len(found) == 1:
    taken = f'is taken as a {_kind(found)}'
  return [f'{names}{where} {taken}', *notes]


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


def _divide(names, found, deep, level) -> bool:
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
  return (len(names) > 1 or whats == {'split'}) and _alike(deep, level)


def _alike(deep, level) -> bool:
  """Whether the folders of one level have the same ones at the other level.

  Some may lack some.
  """
  across = collections.defaultdict(set)
  for parts in deep:
    across[parts[level]].add(parts[1 - level])
  most = max(across.values(), key=len)
  return len(most) > 1 and all(names <= most for names in across.values())


def _several(found) -> bool:
  """Whether these are more than one split, or folds: no names of classes."""
  splits = [side for side in found.values() if side.what == 'split']
  folds = [side for side in found.values() if side.what == 'fold']
  return len(splits) > 1 or any(side.sure for side in folds)


def _fields(side) -> dict:
  return {side.what: side.value}


def _kind(found) -> str:
  return found[min(found)].what


def _no_classes(root, paths) -> str:
  """Why folders that are called by splits or folds are no classes."""
  firsts, deep = _names(paths, 0), [parts for parts in paths if len(parts) > 2]
  found = sides.of(firsts)
  all_are = len(found) == len(firsts) > 1
  splits = [n for n, side in found.items() if side.what == 'split']
  holds = any(parts[0] in splits for parts in deep)
  if not (all_are or holds or _several(found)):
    return ''
  trains = any(found[name].value == 'train' for name in splits)
  if len(splits) == len(firsts) and len(deep) == len(paths) and not trains:
    return (
      f'{root}: no folder is called train, only {some(sorted(splits))}; to'
      ' train on what one of them holds, give that folder'
    )
  folds = [n for n, s in found.items() if s.what == 'fold' and s.sure]
  return _no_such(root, sorted(found if all_are else {*folds, *splits}))


def _no_such(root, names) -> str:
  return (
    f'{root}: folders called {", ".join(names)} are no classes; expected'
    ' folders of classes inside all of them and no others beside them, or'
    ' labels.csv with the columns file, label and split or fold (without these,'
    ' where the folders are classes all the same)'
  )


def _below(paths, reading) -> list[_Parts]:
  """Paths from the class folders, without those that are splits or folds."""
  if reading.classes:
    return [parts[1:] for parts in paths if len(parts) > 2]
  return [(p[0], *p[2:]) for p in paths] if reading.sides else list(paths)


def _not_heeded(paths) -> list[str]:
  """Notes on folders in the classes that may be meant as something."""
  deep = [parts for parts in paths if len(parts) > 2]
  names = _names(deep, 1)
  inner = sides.of(names)
  kinds = {(side.what, side.value) for side in inner.values()}
  if len(kinds) > 1 or kinds & {('split', 'test'), ('split', 'validation')}:
    like = some(sorted(inner))
    return [f'folders in the classes are not heeded as splits or folds: {like}']
  tops = _names(paths, 0)
  same = [
    names
    for level in range(1, min(map(len, paths), default=0) - 1)
    if len(names := _names(paths, level)) > 1
    and len({(parts[0], parts[level]) for parts in paths})
    == len(tops) * len(names)
  ]
  if not same or len(tops) < 2:
    return []
  shown = '; '.join(some(sorted(names)) for names in same)
  return [
    f'all classes hold the same folders ({shown}), which are not heeded: the'
    ' outer folders are taken as the classes'
  ]


def _unlike_classes(names) -> list[str]:
  """Notes on folders of classes that are called as other things are."""
  notes = []
  hidden = sorted(name for name in names if name[0] == '_')
  if hidden:
    notes.append(f'folders with _ before are classes, too: {some(hidden)}')
  words = {match[1].lower() for n in names if (match := _NUMBERED.match(n))}
  numbered = all(_NUMBERED.fullmatch(name) for name in names)
  if (
    len(names) > 1
    and numbered
    and len(words) == 1
    and (words <= _SOURCES or _padded(names))
  ):
    notes.append(
      f'{some(sorted(names))} are taken as classes, and may be called by who'
      ' or what was recorded: labels.csv says other labels'
    )
  return notes


def _padded(names) -> bool:
  """Whether names are numbers of one width, as those of many files are."""
  return any(name[0] == '0' for name in names) and all(
    name.isdecimal() and len(name) > 1 for name in names
  )


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
  lacking = (
    f'; no sound that can be used is in {some(silent)}' if silent else ''
  )
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
