"""Labels of a list: one in a cell, several, or a column a class."""

import ast
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from aec_jax.datasets import class_list
from aec_jax.datasets.entries import some
from aec_jax.datasets.lists import Table, fault
from aec_jax.errors import UserError

ONE = (
  'label',
  'category',
  'class',
  'event_label',
  'scene_label',
  'primary_label',
)
SEVERAL = (
  'labels',
  'categories',
  'classes',
  'tags',
  'event_labels',
  'positive_labels',
  'mids',
)
# Yes or no, and no sounds.
_NO_CLASSES = ('verified', 'manually_verified', 'esc10', 'target', 'salience')
_TRUE, _FALSE = ('1', '1.0', 'true'), ('0', '0.0', 'false')
# What may stand for no label, or be the name of a class.
_PERHAPS_NONE = ('none', '-', '--', '?')
_MID = re.compile(r'/[a-z]+/\w+')


class Labels(NamedTuple):
  """What a list says of its clips.

  Attributes:
    sets: the labels of each row, none where it has none.
    columns: the headings that they stand under.
    notes: how they were read, where that was not plain.
  """

  sets: list[tuple[str, ...]]
  columns: tuple[str, ...]
  notes: list[str]


def labels_of(table: Table, taken: Sequence[str], separator: str) -> Labels:
  """The labels of each row of a list.

  Under a heading of `ONE` stands one label, unless the cells hold ';' or '|',
  or all parts between commas are labels of other rows or are mids; under one of
  `SEVERAL` there may be none or several. Else each column that has only 0 and 1
  is a class.

  Args:
    table: the list.
    taken: headings of other meaning.
    separator: what stands between labels; '' to find that out.

  Raises:
    UserError: there is no such column, one that takes one label has an empty
      cell, or commas may set apart labels or belong to their names.
  """
  several = table.place(SEVERAL)
  place = table.place(ONE) if several is None else several
  if place is None:
    return _column_a_class(table, taken)
  cells = [row[place] for row in table.rows]
  if several is None and '' in cells:
    number = table.numbers[cells.index('')]
    raise fault(table.path, number, table.header[place], 'empty')
  columns: tuple[str, ...] = (table.header[place],)
  mids = table.place(('mids',))
  parallel = [] if mids is None else [row[mids] for row in table.rows]
  if mids is not None:
    columns += ('mids',)
  split, notes = _split(cells, several is not None, separator, table, parallel)
  sets = [_clean(parts) for parts in split]
  where = f'{os.path.basename(table.path)}: '
  notes = [where + note for note in notes + _perhaps_none(sets)]
  return Labels(sets, columns, notes)


def _perhaps_none(sets) -> list[str]:
  """A note on labels that may mean none."""
  found = {x for names in sets for x in names if x.lower() in _PERHAPS_NONE}
  if not found:
    return []
  names = ', '.join(map(repr, sorted(found)))
  are = 'are classes' if len(found) > 1 else 'is a class'
  return [f'{names} {are}: leave such cells empty, if they mean no label']


def has_labels(table: Table, taken: Sequence[str]) -> bool:
  """Whether a list has a column of labels, or a column a class."""
  one = table.place((*ONE, *SEVERAL)) is not None
  return one or len(_class_columns(table, taken)) > 1


def no_labels(table: Table) -> UserError:
  """The error to raise for a list without them."""
  has = f'it has {", ".join(table.header)}' if table.header else 'it is empty'
  wanted = ' or '.join((*ONE[:3], SEVERAL[0]))
  return UserError(
    f'{table.path}: no column {wanted}, nor a column of 0 and 1 for each'
    f' class; {has}'
  )


def _split(cells, several, separator, table, parallel):
  """The parts of each cell, and notes on how they were told apart."""
  lists = {i: _list(cell) for i, cell in enumerate(cells) if cell[:1] == '['}
  bare = ['' if i in lists else cell for i, cell in enumerate(cells)]
  marks = [mark for mark in ';|' if any(mark in cell for cell in bare)]
  notes, commas = [], [cell for cell in bare if ',' in cell]
  if separator or marks:
    mark = separator or marks[0]
    split = [cell.split(mark) for cell in bare]
    if not several and any(mark in cell for cell in bare):
      notes.append(f'{mark!r} stands between labels')
  elif not commas:
    split = [[cell] for cell in bare]
  elif _all_mids(commas) or _as_many(bare, parallel):
    split = [cell.split(',') for cell in bare]
  else:
    split, notes = _at_commas(bare, several, table)
  return [lists.get(i, parts) for i, parts in enumerate(split)], notes


def _at_commas(cells, several, table):
  """Splits where the parts are labels of other rows, too."""
  alone = {cell for cell in cells if ',' not in cell}
  known: set[str] = set()
  names: set[str] = set()
  for cell in cells:
    if ',' in cell:
      parts = {part.strip() for part in cell.split(',')}
      (known if parts <= alone else names).add(cell)
  notes = []
  if several and names and not any(re.search(r',\s', cell) for cell in names):
    # In names a blank follows; between labels seldom.
    notes.append('a comma stands between labels, for no blank follows it')
    known, names = known | names, set()
  elif several and names:
    first = next(i for i, cell in enumerate(cells) if cell in names)
    raise UserError(
      f'{table.path}: row {table.numbers[first]}: {cells[first]!r} may be one'
      " label or several: set labels apart by ';', or give"
      " --config.label_separator (',' where each comma does)"
    )
  elif known:
    notes.append(
      f'a comma in {len(known):,} cells stands between labels, for all parts'
      f' are labels of other rows: {some(sorted(known))!r}'
    )
  if names:
    notes.append(
      f'a comma is taken as part of a name in {some(sorted(names))!r}; else'
      " give --config.label_separator=','"
    )
  return [cell.split(',') if cell in known else [cell] for cell in cells], notes


def _all_mids(cells) -> bool:
  parts = (part.strip() for cell in cells for part in cell.split(','))
  return all(map(_MID.fullmatch, parts))


def _as_many(cells, mids) -> bool:
  """Whether each cell has as many parts as there are mids beside it."""
  return bool(mids) and all(
    bool(mid) == bool(cell) and cell.count(',') == mid.count(',')
    for cell, mid in zip(cells, mids, strict=True)
  )


def _list(cell) -> list[str]:
  """The parts of a cell as "['a', 'b']" or "[a, b]"."""
  try:
    return [str(part) for part in ast.literal_eval(cell)]
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return cell.strip('[]').split(',')


def _clean(parts) -> tuple[str, ...]:
  """Labels without blanks and left-over quotes, each once."""
  bare = (part.strip().strip('\'"').strip() for part in parts)
  return tuple(dict.fromkeys(part for part in bare if part))


def _class_columns(table, taken) -> list[int]:
  """The columns that hold only 0 and 1."""
  known = {*_TRUE, *_FALSE}
  return [
    i
    for i, heading in enumerate(table.header)
    if heading not in taken and heading not in _NO_CLASSES
    if table.rows and all(row[i].lower() in known for row in table.rows)
  ]


def _column_a_class(table, taken) -> Labels:
  places = _class_columns(table, taken)
  if len(places) < 2:
    raise no_labels(table)
  columns = tuple(table.header[i] for i in places)
  sets = [
    _clean(table.names[i] for i in places if row[i].lower() in _TRUE)
    for row in table.rows
  ]
  note = f'{os.path.basename(table.path)}: each column of 0 and 1 is a class'
  names = [table.names[i] for i in places]
  return Labels(sets, columns, [f'{note}: {some(names)}'])


def named(sets: list[tuple[str, ...]], folders: Sequence[str]) -> list:
  """Labels that are all mids by their names, where a class list is at hand."""
  if not all(_MID.fullmatch(label) for labels in sets for label in labels):
    return sets
  names = class_list.names_of_mids(folders)
  return [tuple(names.get(label, label) for label in labels) for labels in sets]
