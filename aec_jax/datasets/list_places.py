"""Where the lists of a folder lie, and which of them are used."""

import collections
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aec_jax.datasets import class_list, clips, columns, label_cells, sides
from aec_jax.datasets.columns import FILE, TAKEN
from aec_jax.datasets.entries import some
from aec_jax.datasets.finder import Finder
from aec_jax.datasets.lists import ENDINGS, Table, heading_of, read_table
from aec_jax.datasets.sides import Side
from aec_jax.errors import PassingError, UserError

_NAMES = ('labels', 'metadata')  # of a list that no other competes with
_PLACES = ('', 'meta', 'metadata')  # folders that a list may lie in


class Listing(NamedTuple):
  """A list that is used.

  Attributes:
    table: its cells.
    side: the split or the fold of its clips, by its name or its folder's; None
      where they say none. The list's own columns come first.
    folder: that its files are named from, below the data set's; '' for that.
  """

  table: Table
  side: Side | None = None
  folder: str = ''

  def says(self, what: str) -> bool:
    """Whether it says the 'split' or the 'fold' of its clips."""
    by_name = self.side is not None and self.side.what == what
    return by_name or columns.says(self.table, what)


class _Fault(NamedTuple):
  """Why a CSV is no list.

  Attributes:
    why: in words, with its path.
    is_broken: whether it can't be read, or has other cells than a list; else it
      is a table of something else.
  """

  why: str
  is_broken: bool


class _Read(NamedTuple):
  """What some CSVs are, by path."""

  tables: dict[str, Table]
  faults: dict[str, _Fault]


def choose(
  root: str, finder: Finder, lists: Sequence[str], has_classes: bool
) -> tuple[list[Listing], list[str]]:
  """The lists of a folder's clips, and notes on them and on other CSVs.

  `labels.csv` or `metadata.csv`; else the only CSV with a column of files and
  one of labels; else all such CSVs, if they are called by splits (train.csv,
  test.csv) or by folds. They lie at the top or in `meta/` or `metadata/`. Where
  there is none, such lists in any folders are used that list what lies beside
  them: of all the sound, if sub-folders can be the classes.

  Args:
    root: the folder.
    finder: of its files.
    lists: the paths of all CSVs below it.
    has_classes: whether its sub-folders can be the classes.

  Returns:
    No lists where the sub-folders are the classes.

  Raises:
    UserError: which one is the list is unclear, or it is faulty.
  """
  paths = csvs(root)
  top = _read(paths)
  for path, fault in top.faults.items():
    if _stem(path) in _NAMES and (fault.is_broken or not has_classes):
      raise UserError(fault.why)
  chosen, why = _chosen(root, list(top.tables.values()), finder, has_classes)
  others = sorted(set(lists) - set(paths))
  beside = _Read({}, {})
  if not chosen:
    beside = _read(others)
    chosen = _beside(root, beside, finder, has_classes)
  perhaps = [path for path in top.faults if not _is_handed_in(path)]
  if not chosen and not has_classes and perhaps:
    one = len(perhaps) == 1
    raise UserError(top.faults[perhaps[0]].why) if one else _unclear(perhaps)
  used = {listing.table.path for listing in chosen}
  left = [path for path in top.tables if path not in used]
  reasons = [
    *(f'{os.path.relpath(path, root)}: {why}' for path in left),
    *_first(root, [fault.why for fault in top.faults.values()]),
    *_elsewhere(root, others, beside, used),
  ]
  notes = [f'not used: {reason}' for reason in reasons]
  return chosen, _named(root, chosen) + notes


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


def _read(paths) -> _Read:
  """What some CSVs are."""
  read = _Read({}, {})
  for path in paths:
    try:
      found = _list(path)
    except PassingError:
      raise
    except UserError as error:
      read.faults[path] = _Fault(str(error), True)
      continue
    if isinstance(found, Table):
      read.tables[path] = found
    else:
      read.faults[path] = _Fault(found, False)
  return read


def _list(path) -> Table | str:
  """The list of files and labels that a CSV is, or why it is none."""
  if _is_handed_in(path):
    return f'{path}: by its name what is to be handed in'
  header = heading_of(path)
  if not set(FILE) & set(header):
    has = f'it has {", ".join(header)}' if header else 'the file is empty'
    return f'{path}: no column {" or ".join(FILE[:5])} or alike; {has}'
  table = read_table(path)
  if table.rows and not label_cells.has_labels(table, TAKEN):
    return str(label_cells.no_labels(table))
  return table


def _chosen(root, tables, finder, has_classes) -> tuple[list[Listing], str]:
  """The lists at the top that are used, and why others are not."""
  found = [_in_its_folder(one, finder) for one in _of_one_folder(tables)]
  if found and (len(found) > 1 or _stem(found[0].table.path) in _NAMES):
    return found, f'{os.path.relpath(found[0].table.path, root)} is the list'
  if len(tables) > 1:
    if has_classes and not any(_says_else(table, finder) for table in tables):
      return [], 'one of several, and sub-folders are the classes'
    raise _unclear([table.path for table in tables])
  if found and has_classes:
    side = found[0].side
    if side and not _trains(side):
      what = f'it lists {side.value} clips alone by its name'
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
    return [Listing(first[0], None, folder)]
  called = sides.of([_stem(table.path) for table in tables])
  if len(tables) == 1:
    side = called.get(_stem(tables[0].path))
    if side and (side.what == 'fold' or columns.says(tables[0], 'split')):
      side = None
    return [Listing(tables[0], side, folder)]
  found: dict[str | int, Listing] = {}
  for table in tables:
    if side := called.get(_stem(table.path)):
      found[side.value] = Listing(table, side, folder)
  kinds = {side.what for side in called.values()}
  if len(found) < len(tables) or len(kinds) > 1:
    return []
  order = clips.SPLITS if kinds == {'split'} else sorted(found)
  return [found[value] for value in order if value in found]


def _in_its_folder(listing, finder) -> Listing:
  """A list that names what is in the only folder that is called as it is."""
  called = sides.of(finder.folders())
  folders = [
    name
    for name, side in called.items()
    if listing.side and side[:2] == listing.side[:2]
  ]
  if len(folders) == 1 and _is_of(folders[0], listing.table, finder):
    return listing._replace(folder=folders[0])
  return listing


def _has_own(listing) -> bool:
  """Whether a column says what its name or its folder's does, too."""
  return bool(listing.side) and columns.says(listing.table, listing.side.what)


def _trains(side) -> bool:
  """Whether clips are called by nothing else than what trains."""
  return not side or side.what == 'fold' or side.value == 'train'


def _beside(root, read, finder, has_classes) -> list[Listing]:
  """Lists of what lies beside them."""
  tables: dict[str, list[Table]] = collections.defaultdict(list)
  for path, table in read.tables.items():
    if table.rows:
      tables[os.path.dirname(os.path.relpath(path, root))].append(table)
  listings = {
    folder: found
    for folder, together in tables.items()
    if tables.keys().isdisjoint(_above(folder))
    and (found := _of_one_folder(together, folder))
    and all(_is_of(folder, listing.table, finder) for listing in found)
  }
  if not listings or (has_classes and not finder.all_in(list(listings))):
    return []
  for path, fault in read.faults.items():
    folder = os.path.dirname(os.path.relpath(path, root))
    if fault.is_broken and _stem(path) in _NAMES and not finder.lacks(folder):
      raise UserError(fault.why)
  called = _folder_sides(listings)
  return [
    listing._replace(side=listing.side or called.get(folder))
    for folder in sorted(listings)
    for listing in listings[folder]
  ]


def _above(folder) -> set[str]:
  """The folders that a folder is in."""
  parts = folder.split(os.sep)
  return {os.sep.join(parts[:i]) for i in range(1, len(parts))}


def _folder_sides(folders: Iterable[str]) -> dict[str, Side]:
  """The folders of lists that are called by splits or folds, by path.

  Folds in doubt (part1, set2) may be anything, so they are none.
  """
  names = {folder: _name(folder) for folder in folders}
  called = sides.of(set(names.values()))
  return {
    folder: called[name]
    for folder, name in names.items()
    if name in called and (called[name].what == 'split' or called[name].sure)
  }


def _name(folder) -> str:
  """What a folder is called; its audio/ is called as it is."""
  above, name = os.path.split(folder)
  return os.path.basename(above) if name == 'audio' and above else name


def _says_else(table, finder) -> bool:
  """Whether a list has other labels than the folders of most of its files."""
  place, label = table.place(FILE), table.place(label_cells.ONE)
  if label is None or _missing(table, finder) > len(table.rows) / 2:
    return False
  others = 0
  for row in table.rows:
    paths = finder.find(row[place])
    ends = (f'{os.sep}{row[label]}{os.sep}', f' {row[label]}{os.sep}')
    others += not any(end in path for path in paths for end in ends)
  return others > len(table.rows) / 2


def _is_of(folder, table, finder) -> bool:
  """Whether at least half of what a list names is in its folder."""
  return _missing(table, finder, folder) <= len(table.rows) / 2


def _missing(table, finder, folder='') -> int:
  """How many of a list's files are not there, or not in its own folder."""
  place = table.place(FILE)
  return sum(not finder.has(row[place], folder) for row in table.rows)


def _named(root, chosen) -> list[str]:
  """Notes on lists that lie elsewhere than most, or have sides by a name."""
  notes = []
  groups = collections.defaultdict(list)  # by what they list
  called = _folder_sides({one.folder for one in chosen if one.folder})
  for listing in chosen:
    name = os.path.relpath(listing.table.path, root)
    side = None if _has_own(listing) else listing.side
    if _lies_in(root, listing):
      groups[_clips_of(side) if side else ''].append(name)
    folder = called.get(listing.folder)
    own = listing.side
    if folder and own and folder.what == own.what and folder[:2] != own[:2]:
      what = f'{listing.folder}/ is not heeded as {_side(folder)}'
      notes.append(f'{what}, for {name} is called otherwise')
  for what, names in groups.items():
    if what:
      notes.append(f'{some(names)} list{"s" * (len(names) == 1)} {what}')
    elif len(names) > 1:
      notes.append(f'{some(names)} list what lies beside them')
    else:
      notes.append(
        f'{names[0]} is the list of what is in {os.path.dirname(names[0])}/'
      )
  if len(chosen) == 1 and not (_trains(chosen[0].side) or _has_own(chosen[0])):
    notes.append(_not_to_train(root, chosen[0]))
  return notes


def _lies_in(root, listing) -> bool:
  """Whether a list lies in the folder of what it lists, not at the top."""
  folder = os.path.dirname(os.path.relpath(listing.table.path, root))
  return bool(listing.folder) and folder == listing.folder


def _clips_of(side) -> str:
  is_split = side.what == 'split'
  return f'{side.value} clips' if is_split else f'clips of fold {side.value}'


def _side(side) -> str:
  return str(side.value) if side.what == 'split' else f'fold {side.value}'


def _not_to_train(root, listing) -> str:
  """A note on the only list, which is none of training clips by a name."""
  path = listing.table.path
  own = sides.of([_stem(path)])
  whose = 'its name' if own else "its folder's name"
  remedies = ['call it labels.csv'] if own else []
  if _lies_in(root, listing) and _folder_sides([listing.folder]):
    remedies.append(f'give {os.path.join(root, listing.folder)} as the folder')
  what = f'{os.path.relpath(path, root)} lists {_clips_of(listing.side)}'
  then = ' and '.join(remedies)
  return f'{what} by {whose}: {then}, if they are to train'


def _elsewhere(
  root: str, paths: list[str], read: _Read, used: set[str]
) -> list[str]:
  """Why CSVs that lie elsewhere than lists do are not used."""
  if used:
    names = sorted(os.path.relpath(path, root) for path in used)
    why = f'{some(names)} {"are" if len(names) > 1 else "is"} used'
  else:
    why = (
      'a list of all clips lies at the top, in meta/ or in metadata/, or beside'
      ' what it lists'
    )
  groups: Mapping[str, list[str]] = collections.defaultdict(list)
  broken = []
  for path in paths:
    fault = read.faults.get(path)
    if fault and fault.is_broken:
      broken.append(fault.why)
    elif path not in used:
      reason = 'no list of files and labels' if fault else why
      groups[reason].append(os.path.relpath(path, root))
  reasons = [f'{some(found)}: {reason}' for reason, found in groups.items()]
  return reasons + _first(root, broken)


def _first(root, reasons) -> list[str]:
  """The first few of many, with paths from the folder."""
  more = [f'{len(reasons) - 5:,} more CSVs'] if len(reasons) > 5 else []
  return [why.replace(root + os.sep, '') for why in reasons[:5]] + more


def _is_handed_in(path) -> bool:
  """Whether a CSV is the form for results of a competition."""
  return 'submission' in _stem(path)


def _stem(path) -> str:
  return os.path.splitext(os.path.basename(path))[0].lower()


def _unclear(paths) -> UserError:
  folder, names = os.path.dirname(paths[0]), map(os.path.basename, paths)
  return UserError(
    f'{folder}: several CSV files ({", ".join(names)}); call the one with the'
    ' labels labels.csv, or put those together into it'
  )
