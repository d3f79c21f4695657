"""The clips that lists of a folder name."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets import columns, excerpts, label_cells
from aec_jax.datasets.entries import Entry, some
from aec_jax.datasets.finder import Finder
from aec_jax.datasets.list_places import Listing
from aec_jax.datasets.lists import fault, rows_of


class Listed(NamedTuple):
  """The clips of lists.

  Attributes:
    entries: in the lists' order.
    skipped: what is left out.
    notes: how the lists were read.
    folds: whether they have a column of folds, or are called by folds.
  """

  entries: list[Entry]
  skipped: list[dict[str, str]]
  notes: list[str]
  folds: bool


def entries_of(
  root: str, listings: Sequence[Listing], finder: Finder, separator: str
) -> Listed:
  """The clips that lists name, in their order.

  Args:
    root: the folder.
    listings: what `list_places.choose` returns.
    finder: of the folder's files.
    separator: what stands between labels; '' to find that out.

  Raises:
    UserError: a list is at fault, or a name may mean several files.
  """
  entries, notes, folds = [], [], False
  seen: dict[tuple, tuple[str, int]] = {}  # list and row by part of a file
  for listing in listings:
    table = listing.table
    optional = columns.optional(table)
    rows = rows_of(table, {'file': columns.FILE}, optional, ('file',))
    found = label_cells.labels_of(table, columns.TAKEN, separator)
    folder = os.path.dirname(table.path)
    sets = label_cells.named(found.sets, [folder, root])
    notes += found.notes + columns.offsets(table)
    notes += columns.ignored(table, found.columns)
    notes += _take_side(root, listing, rows)
    folds |= 'fold' in rows[0]
    for row, names in zip(rows, sets, strict=True):
      entry = _entry(root, listing, finder, row, names)
      part = os.path.normpath(entry.path), str(entry.start), str(entry.end)
      if part in seen:
        path, number = seen[part]
        where = f' of {os.path.relpath(path, root)}'
        what = f'{row["file"]!r} is in row {number}'
        what += f'{where if path != table.path else ""} already'
        raise fault(table.path, row['row'], 'file', what)
      seen[part] = table.path, row['row']
      entries.append(entry)
  entries, skipped, more = excerpts.resolved(entries)
  notes = list(dict.fromkeys(notes))  # lists of one form have the same
  return Listed(entries, skipped, notes + more, folds)


def _take_side(root: str, listing: Listing, rows: list[dict]) -> list[str]:
  """Gives rows the side of their list, where its own column says none.

  Returns:
    A note where the column says another.
  """
  side, table = listing.side, listing.table
  if not side:
    return []
  place = table.place(columns.optional(table)[side.what])
  others = 0
  for row, cells in zip(rows, table.rows, strict=True):
    if place is None or not cells[place]:
      row[side.what] = side.value
    others += row[side.what] != side.value
  if not others:
    return []
  name = os.path.relpath(table.path, root)
  return [
    f'{name}: {others:,} of {len(rows):,} clips are not of {side.what}'
    f' {side.value}, as it or its folder is called: its column {side.what} says'
    ' so'
  ]


def _entry(root, listing, finder, row, names) -> Entry:
  file, folder = row['file'], listing.folder
  found = finder.find(file, folder)
  if len(found) > 1:
    inside = [os.path.relpath(path, root) for path in found]
    what = f'{file!r} may be {some(inside)}: name its folder, too'
    raise fault(listing.table.path, row['row'], 'file', what)
  whole = bool(found) and found[0] == _joined(root, file)
  shown = file if whole else os.path.join(folder, file)
  path = found[0] if found else os.path.join(root, shown)
  kinds = (*columns.OPTIONAL, 'start', 'end')
  fields = {name: row[name] for name in kinds if name in row}
  return Entry(path, shown, names, shown, **fields)


def _joined(root, file) -> str:
  """A path from the folder, which may have backslashes."""
  return os.path.normpath(os.path.join(root, file.replace('\\', '/')))
