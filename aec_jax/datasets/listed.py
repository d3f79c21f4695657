"""Clips of a folder that a CSV lists."""

import collections
import os
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets import class_list, clips, excerpts, label_cells
from aec_jax.datasets.entries import Entry, some
from aec_jax.datasets.lists import (
  ENDINGS,
  SPLITS,
  Table,
  fault,
  heading_of,
  read_table,
  rows_of,
)
from aec_jax.errors import PassingError, UserError

_FILE = (
  'file',
  'fname',
  'filename',
  'file_name',
  'path',
  'filepath',
  'file_path',
  'slice_file_name',
)
_OPTIONAL = {
  'fold': ('fold',),
  'verified': ('verified', 'manually_verified'),
  'split': ('split',),
  'group': ('group', 'recording', 'fsid', 'src_file'),
}
# Of parts of files. An offset is where a part begins (as of offset and
# duration), or beside a start where it ends (as of onset and offset).
_STARTS = ('start', 'onset', 'start_seconds')
_ENDS = ('end', 'end_seconds')
_OFFSET = 'offset'
_DURATIONS = ('duration', 'duration_seconds')
_TAKEN = (
  *_FILE,
  *(heading for headings in _OPTIONAL.values() for heading in headings),
  *_STARTS,
  *_ENDS,
  _OFFSET,
  *_DURATIONS,
)
_NAMES = ('labels', 'metadata')  # of a list that no other competes with
_PLACES = ('', 'meta', 'metadata')  # folders that a list may lie in


class Listing(NamedTuple):
  """A list that is used.

  Attributes:
    table: its cells.
    split: of all its clips; '' where its own column says.
  """

  table: Table
  split: str


class Listed(NamedTuple):
  """The clips of lists.

  Attributes:
    entries: in the lists' order.
    skipped: what is left out.
    notes: how the lists were read.
    folds: whether they have a column of folds.
  """

  entries: list[Entry]
  skipped: list[dict[str, str]]
  notes: list[str]
  folds: bool


class Finder:
  """Finds the files that a list names in one way or another."""

  def __init__(self, root: str, files: Sequence[tuple[str, ...]]):
    """Takes the folder and its files, as `clips.walk` gives them."""
    self._root = root
    self._paths = {os.path.join(*parts) for parts in files}
    self._by_name = collections.defaultdict(list)
    for parts in files:
      stem = os.path.splitext(parts[-1])[0]
      for name in {parts[-1], stem}:
        self._by_name[name].append(parts)

  def find(self, name: str) -> list[str]:
    """The paths that a name may mean: none, one or several.

    A name is the path from the folder or from its `audio/`; where there is no
    such file, it is the end of a path, or goes beyond it, as a path on another
    machine does, and may lack the ending. It may have backslashes.
    """
    if exact := self._exact(name):
      return exact
    wanted = [part for part in name.replace('\\', '/').split('/') if part]
    found = [
      parts
      for parts in self._by_name.get(wanted[-1] if wanted else '', ())
      if _one_ends_the_other(parts, wanted)
    ]
    return [os.path.join(self._root, *parts) for parts in found]

  def _exact(self, name) -> list[str]:
    """The files that lie at a path from the folder or from its `audio/`."""
    paths = [
      os.path.normpath(os.path.join(place, within))
      for within in (name, name.replace('\\', '/'))
      for place in ('', 'audio')
    ]
    found = [path for path in dict.fromkeys(paths) if path in self._paths]
    whole = [os.path.join(self._root, path) for path in found or paths]
    return whole if found else list(filter(_is_there, dict.fromkeys(whole)))


def _is_there(path) -> bool:
  """Whether something that is no folder has this name, be it a broken link."""
  return os.path.lexists(path) and not os.path.isdir(path)


def _one_ends_the_other(parts, wanted) -> bool:
  """Whether the folders of the shorter path end those of the longer."""
  folders, others = parts[:-1], tuple(wanted[:-1])
  if folders[:1] == ('audio',) and others[:1] != ('audio',):
    folders = folders[1:]
  shared = min(len(folders), len(others))
  return not shared or folders[-shared:] == others[-shared:]


def choose(
  root: str, finder: Finder, has_classes: bool
) -> tuple[list[Listing], list[str]]:
  """The lists of a folder's clips, and why other CSVs are not used.

  `labels.csv` or `metadata.csv`; else the only CSV with a column of files and
  one of labels; else all such CSVs, if they are called by splits (train.csv,
  test.csv). They lie at the top or in `meta/` or `metadata/`.

  Args:
    root: the folder.
    finder: of its files.
    has_classes: whether its sub-folders can be the classes.

  Returns:
    No lists where the sub-folders are the classes.

  Raises:
    UserError: which one is the list is unclear.
  """
  tables: list[Table] = []
  faults: dict[str, str] = {}
  for path in csvs(root):
    named = _stem(path) in _NAMES
    try:
      found = _list(path)
    except PassingError:
      raise
    except UserError as error:
      if named:
        raise
      found = str(error)
    if isinstance(found, Table):
      tables.append(found)
    elif named and not has_classes:
      raise UserError(found)
    else:
      faults[path] = found
  chosen, why = _chosen(root, tables, finder, has_classes)
  if not chosen and not has_classes and faults:
    paths = csvs(root)
    raise UserError(faults[paths[0]]) if len(paths) == 1 else _unclear(paths)
  used = {listing.table.path for listing in chosen}
  left = {t.path: f'{t.path}: {why}' for t in tables if t.path not in used}
  notes = [
    f'not used: {reason.replace(root + os.sep, "")}'
    for reason in (*left.values(), *faults.values())
  ]
  return chosen, notes


def _chosen(root, tables, finder, has_classes) -> tuple[list[Listing], str]:
  """The lists that are used, and why others are not."""
  first = [table for table in tables if _stem(table.path) in _NAMES][:1]
  if first:
    return [Listing(first[0], '')], f'{first[0].path} is the list'
  splits = [SPLITS.get(_stem(table.path)) for table in tables]
  if len(tables) > 1 and all(splits) and len(set(splits)) == len(splits):
    found = dict(zip(splits, tables, strict=True))
    return [Listing(found[s], s) for s in clips.SPLITS if s in found], ''
  if len(tables) > 1 and has_classes:
    return [], 'one of several, and sub-folders are the classes'
  if len(tables) > 1:
    raise _unclear([table.path for table in tables])
  if tables and has_classes:
    missing = _missing(tables[0], finder)
    if missing > len(tables[0].rows) / 2:
      what = f'of {len(tables[0].rows):,} files that it names {missing:,}'
      return [], f'{what} are not here, and sub-folders are the classes'
  return [Listing(table, '') for table in tables], ''


def csvs(root: str) -> list[str]:
  """The CSVs where a list may lie; lists of classes are none."""
  found = []
  for place in _PLACES:
    folder = os.path.join(root, place) if place else root
    if os.path.isdir(folder):
      names = clips.visible(folder, ENDINGS)
      found += [os.path.join(folder, name) for name in names]
  lists = class_list.FILES
  return [path for path in found if os.path.basename(path) not in lists]


def _stem(path) -> str:
  return os.path.splitext(os.path.basename(path))[0].lower()


def _unclear(paths) -> UserError:
  folder, names = os.path.dirname(paths[0]), map(os.path.basename, paths)
  return UserError(
    f'{folder}: several CSV files ({", ".join(names)}); call the one with the'
    ' labels labels.csv'
  )


def _list(path) -> Table | str:
  """The list of files and labels that a CSV is, or why it is none."""
  header = heading_of(path)
  if not set(_FILE) & set(header):
    has = f'it has {", ".join(header)}' if header else 'the file is empty'
    return f'{path}: no column {" or ".join(_FILE)}; {has}'
  table = read_table(path)
  if table.rows and not label_cells.has_labels(table, _TAKEN):
    return str(label_cells.no_labels(table))
  return table


def _optional(table) -> dict[str, tuple[str, ...]]:
  """The headings that columns beside files and labels go by in a table."""
  found: dict[str, tuple[str, ...]] = {
    **_OPTIONAL,
    'start': _STARTS,
    'end': _ENDS,
  }
  for part in ('start', 'end'):
    if table.place(found[part]) is None:
      found[part] = (_OFFSET,)
      break
  has = {part: table.place(found[part]) is not None for part in found}
  # Without a start it may be what the whole file lasts.
  if has['start'] and not has['end']:
    found['duration'] = _DURATIONS
  return found


def _missing(table, finder) -> int:
  place = table.place(_FILE)
  return sum(not finder.find(row[place]) for row in table.rows)


def entries_of(
  root: str, listings: Sequence[Listing], finder: Finder, separator: str
) -> Listed:
  """The clips that lists name, in their order.

  Args:
    root: the folder.
    listings: what `choose` returns.
    finder: of the folder's files.
    separator: what stands between labels; '' to find that out.

  Raises:
    UserError: a list is at fault, or a name may mean several files.
  """
  entries, notes, folds = [], [], False
  seen: dict[tuple, tuple[str, int]] = {}  # list and row by part of a file
  for listing in listings:
    table = listing.table
    rows = rows_of(table, {'file': _FILE}, _optional(table), ('file',))
    found = label_cells.labels_of(table, _TAKEN, separator)
    folder = os.path.dirname(table.path)
    sets = label_cells.named(found.sets, [folder, root])
    notes += found.notes + _offsets(table) + _ignored(table, found.columns)
    folds |= 'fold' in rows[0]
    for row, names in zip(rows, sets, strict=True):
      entry = _entry(root, listing, finder, row, names)
      part = os.path.normpath(entry.path), str(entry.start), str(entry.end)
      if part in seen:
        path, number = seen[part]
        where = f' of {os.path.basename(path)}' if path != table.path else ''
        what = f'{row["file"]!r} is in row {number}{where} already'
        raise fault(table.path, row['row'], 'file', what)
      seen[part] = table.path, row['row']
      entries.append(entry)
  entries, skipped, more = excerpts.resolved(entries)
  return Listed(entries, skipped, notes + more, folds)


def _offsets(table) -> list[str]:
  """A note on a column of offsets that are not the ends of parts."""
  place = table.place(_optional(table)['start'])
  if place is None or table.header[place] != _OFFSET:
    return []
  where = os.path.basename(table.path)
  return [f'{where}: an offset is where a part begins, for there is no start']


def _ignored(table, columns) -> list[str]:
  """A note on the columns that nothing is made of."""
  used = {table.place(names) for names in (_FILE, *_optional(table).values())}
  names = [
    heading
    for i, heading in enumerate(table.header)
    if i not in used and heading not in columns
  ]
  if not names:
    return []
  where = os.path.basename(table.path)
  return [f'{where}: columns that are not used: {some(names)}']


def _entry(root, listing, finder, row, names) -> Entry:
  file = row['file']
  found = finder.find(file)
  if len(found) > 1:
    inside = [os.path.relpath(path, root) for path in found]
    what = f'{file!r} may be {some(inside)}: name its folder, too'
    raise fault(listing.table.path, row['row'], 'file', what)
  path = found[0] if found else os.path.join(root, file)
  fields = {
    name: row[name] for name in (*_OPTIONAL, 'start', 'end') if name in row
  }
  if listing.split:
    fields['split'] = listing.split
  return Entry(path, file, names, file, **fields)
