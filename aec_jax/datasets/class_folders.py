"""Clips whose classes are the folders that they lie in."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets.entries import Entry
from aec_jax.datasets.lists import SPLITS
from aec_jax.errors import UserError

_LEADING_NUMBER = re.compile(r'\d+ *- +')
_FOLD = re.compile(r'fold[ _-]?(\d{1,4})', re.ASCII | re.I)
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


def find(root: str, files: Sequence[_Parts]) -> ClassFolders:
  """The files that lie in class folders.

  Each sub-folder, of the folder or of its `audio/`, is a class. Folders that
  are all called like splits (train, val, test) or folds (fold1, …) are that,
  and the classes are theirs.

  Args:
    root: the folder, for messages.
    files: as `clips.walk` gives them.
  """
  depth = int(any(parts[0] == 'audio' and len(parts) > 2 for parts in files))
  inside = [parts for parts in files if len(parts) > depth + 1]
  if depth:
    inside = [parts for parts in inside if parts[0] == 'audio']
  firsts = sorted({parts[depth] for parts in inside})
  deep = [parts for parts in inside if len(parts) > depth + 2]
  splits = {
    name: SPLITS[name.lower()] for name in firsts if name.lower() in SPLITS
  }
  folds = {name: int(m[1]) for name in firsts if (m := _FOLD.fullmatch(name))}
  for what, found in (('split', splits), ('fold', folds)):
    whole = found and len(found) == len(firsts) and deep
    if whole and (what == 'fold' or 'train' in splits.values()):
      rows = [(p, p[depth + 1], {what: found[p[depth]]}) for p in deep]
      return ClassFolders(rows, _too_few(root, rows), [])
  rows = [(parts, parts[depth], {}) for parts in inside]
  like = sorted({*splits, *folds})
  if folds or len(like) > 1 or any(parts[depth] in splits for parts in deep):
    trouble = (
      f'{root}: folders called {", ".join(like)} are no classes; expected'
      ' folders of classes inside all of them and no others beside them, or'
      ' labels.csv with the columns file, label and split or fold'
    )
    return ClassFolders(rows, trouble, [])
  notes = [f'the folder {name} is taken as a class' for name in like]
  return ClassFolders(rows, _too_few(root, rows), notes)


def _too_few(root, rows) -> str:
  folders = sorted({folder for _, folder, _ in rows})
  if len(folders) > 1:
    return ''
  found = f'only {folders[0]!r}' if folders else 'no recordings'
  nested = '; if it holds the classes, give that folder' if folders else ''
  return (
    f'{root}: {found}; expected a sub-folder of recordings for each class, or'
    f' labels.csv with the columns file and label{nested}'
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
