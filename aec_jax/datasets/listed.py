"""Clips of a folder that a CSV lists."""

import collections
import os
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets import class_list, clips, excerpts, label_cells, sides
from aec_jax.datasets.entries import Entry, some
from aec_jax.datasets.finder import Finder
from aec_jax.datasets.lists import (
  ENDINGS,
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
    folder: that its files are named from, below the data set's; '' for that.
  """

  table: Table
  split: str
  folder: str = ''


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


def choose(
  root: str, finder: Finder, lists: Sequence[str], has_classes: bool
) -> tuple[list[Listing], list[str]]:
  """The lists of a folder's clips, and notes on them and on other CSVs.

  `labels.csv` or `metadata.csv`; else the only CSV with a column of files and
  one of labels; else all such CSVs, if they are called by splits (train.csv,
  test.csv). They lie at the top or in `meta/` or `metadata/`. Where there is
  none, such lists in any folders are used that list what lies beside them: of
  all the sound, if sub-folders can be the classes.

  Args:
    root: the folder.
    finder: of its files.
    lists: the paths of all CSVs below it.
    has_classes: whether its sub-folders can be the classes.

  Returns:
    No lists where the sub-folders are the classes.

  Raises:
    UserError: which one is the list is unclear.
  """
  tables: list[Table] = []
  faults: dict[str, str] = {}
  paths = csvs(root)
  for path in paths:
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
  others = [path for path in lists if path not in paths]
  elsewhere = {} if chosen else _tables(others)
  if not chosen:
    chosen = _beside(root, elsewhere, finder, has_classes)
  if not chosen and not has_classes and faults:
    raise UserError(faults[paths[0]]) if len(paths) == 1 else _unclear(paths)
  used = {listing.table.path for listing in chosen}
  left = {t.path: f'{t.path}: {why}' for t in tables if t.path not in used}
  reasons = [
    *left.values(),
    *faults.values(),
    *_elsewhere(root, others, elsewhere, used),
  ]
  notes = [f'not used: {why.replace(root + os.sep, "")}' for why in reasons]
  return chosen, _named(root, chosen) + notes


def _chosen(root, tables, finder, has_classes) -> tuple[list[Listing], str]:
  """The lists that are used, and why others are not."""
  found = _of_one_folder(tables)
  if found and (len(found) > 1 or _stem(found[0].table.path) in _NAMES):
    return found, f'{found[0].table.path} is the list'
  if len(tables) > 1 and has_classes:
    return [], 'one of several, and sub-folders are the classes'
  if len(tables) > 1:
    raise _unclear([table.path for table in tables])
  if found and has_classes:
    if found[0].split not in ('', 'train'):
      what = f'it lists {found[0].split} clips alone by its name'
      return [], f'{what}, and sub-folders are the classes'
    missing = _missing(tables[0], finder)
    if missing > len(tables[0].rows) / 2:
      what = f'of {len(tables[0].rows):,} files that it names {missing:,}'
      return [], f'{what} are not here, and sub-folders are the classes'
  return found, ''


def _of_one_folder(tables, folder='') -> list[Listing]:
  """The lists among those that lie together; none where that is unclear."""
  first = [table for table in tables if _stem(table.path) in _NAMES][:1]
  if first:
    return [Listing(first[0], '', folder)]
  called = sides.of([_stem(table.path) for table in tables])
  splits = [str(s.value) for s in called.values() if s.what == 'split']
  if len(tables) == 1:
    own = tables[0].place(_OPTIONAL['split']) is not None
    return [Listing(tables[0], '' if own else ''.join(splits), folder)]
  if len(splits) < len(tables) or len(set(splits)) < len(splits):
    return []
  found = {called[_stem(table.path)].value: table for table in tables}
  return [Listing(found[s], s, folder) for s in clips.SPLITS if s in found]


def _tables(paths) -> dict[str, Table]:
  """Those CSVs that are lists, by path; the others are named as not used."""
  found = {}
  for path in paths:
    try:
      table = _list(path)
    except PassingError:
      raise
    except UserError:
      continue
    if isinstance(table, Table) and table.rows:
      found[path] = table
  return found


def _beside(root, lists, finder, has_classes) -> list[Listing]:
  """Lists of what lies beside them."""
  tables: dict[str, list[Table]] = collections.defaultdict(list)
  for path, table in lists.items():
    tables[os.path.dirname(os.path.relpath(path, root))].append(table)
  listings = {
    folder: some
    for folder, together in tables.items()
    if not any(_is_in(folder, other) for other in tables)
    and (some := _of_one_folder(together, folder))
    and all(_is_of(folder, listing.table, finder) for listing in some)
  }
  if has_classes and not finder.all_in(list(listings)):
    return []
  called = sides.of([os.path.basename(folder) for folder in listings])
  chosen = []
  for folder in sorted(listings):
    side = called.get(os.path.basename(folder))
    for listing in listings[folder]:
      if side and side.what == 'split':
        listing = listing._replace(split=str(side.value))
      chosen.append(listing)
  return chosen


def _is_of(folder, table, finder) -> bool:
  """Whether at least half of what a list names is in its folder."""
  return _missing(table, finder, folder) <= len(table.rows) / 2


def _is_in(folder, other) -> bool:
  return folder.startswith(other + os.sep)


def _named(root, chosen) -> list[str]:
  """Notes on lists that lie elsewhere than most, or have splits by a name."""
  notes = []
  for listing in chosen:
    name = os.path.relpath(listing.table.path, root)
    if listing.folder and listing.split:
      notes.append(f'{name} lists {listing.split} clips')
    elif listing.folder:
      notes.append(f'{name} is the list of what is in {listing.folder}/')
  if len(chosen) == 1 and chosen[0].split not in ('', 'train'):
    name = os.path.basename(chosen[0].table.path)
    notes.append(
      f'{name} lists {chosen[0].split} clips by its name: call it labels.csv,'
      ' if they are to train'
    )
  return notes


def _elsewhere(root, paths, lists, used) -> list[str]:
  """Why CSVs that lie elsewhere than lists do are not used."""
  if used:
    why = (
      f'{some(sorted(os.path.relpath(path, root) for path in used))} is used'
    )
  else:
    why = (
      'a list of all clips lies at the top, in meta/ or in metadata/, or beside'
      ' what it lists'
    )
  names: dict[str, list[str]] = collections.defaultdict(list)
  for path in paths:
    if path not in used:
      reason = why if used or path in lists else 'no list of files and labels'
      names[reason].append(os.path.relpath(path, root))
  return [f'{some(found)}: {reason}' for reason, found in names.items()]


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


def _missing(table, finder, folder='') -> int:
  """How many of a list's files are not there, or not in its own folder."""
  place = table.place(_FILE)
  inside = os.path.join(finder.root, folder, '')
  return sum(
    not any(p.startswith(inside) for p in finder.find(row[place], folder))
    for row in table.rows
  )


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
  shown = os.path.join(listing.folder, file)
  found = finder.find(file, listing.folder)
  if len(found) > 1:
    inside = [os.path.relpath(path, root) for path in found]
    what = f'{file!r} may be {some(inside)}: name its folder, too'
    raise fault(listing.table.path, row['row'], 'file', what)
  path = found[0] if found else os.path.join(root, shown)
  fields = {
    name: row[name] for name in (*_OPTIONAL, 'start', 'end') if name in row
  }
  if listing.split:
    fields['split'] = listing.split
  return Entry(path, shown, names, shown, **fields)
