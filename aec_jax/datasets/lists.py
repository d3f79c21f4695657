"""Reads a CSV that lists clips; says in one line where it is at fault."""

import codecs
import csv
import dataclasses
import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aec_jax.errors import UserError
from aec_jax.run import remote

ENDINGS = ('.csv', '.tsv')
_DELIMITERS = ',;\t'
_BOOLEANS = {'1': True, 'true': True, '0': False, 'false': False}
_FOLD = re.compile(r'(?:fold[ _-]?)?(\d+)(?:\.0*)?', re.ASCII | re.I)
_FOLDS = 2**15  # what int16 holds
# What a program writes where it has nothing; in quotes it is a word.
_NOTHING = ('nan', 'na', '<na>', 'null', 'n/a', '#n/a', '#na')
SPLITS = {
  'train': 'train',
  'training': 'train',
  'val': 'validation',
  'valid': 'validation',
  'validation': 'validation',
  'validate': 'validation',
  'dev': 'validation',
  'test': 'test',
  'testing': 'test',
  'eval': 'test',
  'evaluate': 'test',
  'evaluation': 'test',
}


@dataclasses.dataclass(frozen=True)
class Table:
  """A list as text.

  Attributes:
    path: where it lies.
    header: headings in lower case, on one line each.
    names: the headings as they are written.
    rows: cells, as many as headings, without blanks around them; '' where
      there is nothing.
    numbers: the line of the file that each row is in.
  """

  path: str
  header: list[str]
  names: list[str]
  rows: list[list[str]]
  numbers: list[int]

  def place(self, headings: tuple[str, ...]) -> int | None:
    """The column of the first of some headings that is there."""
    found = [self.header.index(h) for h in headings if h in self.header]
    return found[0] if found else None

  def column(self, heading: str) -> list[str]:
    """The cells under a heading that is there."""
    place = self.header.index(heading)
    return [row[place] for row in self.rows]


def read_table(
  path: str, header: list[str] | None = None, remark: str = ''
) -> Table:
  """The cells of a list.

  Args:
    path: in UTF-8, or UTF-16 with its byte order mark; its columns are set
      apart by tabs, where it is a .tsv whose first line has one, else by
      commas, semicolons or tabs, whichever its first line has most. It may be
      of any file system that `remote` opens.
    header: the headings, of a list that has none.
    remark: what lines that are no rows begin with, where some do.

  Raises:
    UserError: the file is not UTF-8 or CSV, or has more cells than headings.
  """
  lines = _lines(path, remark)
  if header is None:
    _, header = next(lines, (0, []))
  names, header = header, _normal(header)
  rows, numbers = [], []
  for number, cells in lines:
    if len(cells) != len(header):
      if any(cells[len(header) :]):
        what = f'{len(cells)} cells under {len(header)} headings'
        raise fault(path, number, header[-1] if header else '', what)
      cells = cells[: len(header)] + [''] * (len(header) - len(cells))
    rows.append(cells)
    numbers.append(number)
  return Table(path, header, names, rows, numbers)


def read_list(
  path: str,
  columns: Mapping[str, tuple[str, ...]],
  optional: Mapping[str, tuple[str, ...]] | None = None,
  filled: tuple[str, ...] = ('file', 'label'),
) -> list[dict]:
  """The rows of a list, in its order.

  Args:
    path: as for `read_table`.
    columns: {name: the headings it may go by}, needed; 'file' is among them.
    optional: the same for columns that may be absent.
    filled: names of the columns that may not have an empty cell.

  Returns:
    As `rows_of`.

  Raises:
    UserError: as `read_table` and `rows_of` do.
  """
  return rows_of(read_table(path), columns, optional, filled)


def rows_of(
  table: Table,
  columns: Mapping[str, tuple[str, ...]],
  optional: Mapping[str, tuple[str, ...]] | None = None,
  filled: tuple[str, ...] = ('file', 'label'),
) -> list[dict]:
  """The rows of a table; arguments as for `read_list`.

  Returns:
    For each row {name: value} and 'row', its line in the file. 'verified' is
    a bool, 'fold' an int (-1 where empty), 'split' one of `clips.SPLITS`
    ('train' where empty), 'start' and 'end' seconds (NaN where empty), anything
    else text. A 'duration', in seconds, becomes the 'end' that it comes to.

  Raises:
    UserError: the table is empty, lacks a column, names a file or a part of
      one twice, or has a cell that is empty or cannot be read.
  """
  path, header = table.path, table.header
  places = _places(table, columns, optional or {})
  rows: list[dict] = []
  first: dict[tuple, int] = {}  # rows by part of a file
  for number, cells in zip(table.numbers, table.rows, strict=True):
    row: dict[str, Any] = {'row': number}
    for name, place in places.items():
      value = cells[place]
      if not value and name in filled:
        raise fault(path, number, header[place], 'empty')
      row[name] = _value(name, value, path, number, header[place])
    if 'duration' in row:
      start = row.get('start', math.nan)
      row['end'] = row.pop('duration') + (0 if math.isnan(start) else start)
    _check_span(row, path, header, places)
    part = tuple(str(row.get(name)) for name in ('file', 'start', 'end'))
    if part in first:
      what = f'{row["file"]!r} is in row {first[part]} already'
      raise fault(path, number, header[places['file']], what)
    first[part] = number
    rows.append(row)
  if not rows:
    raise UserError(f'{path}: no rows below the headings')
  return rows


def heading_of(path: str) -> list[str]:
  """The headings of a list.

  Raises:
    UserError: the file is not UTF-8 or CSV.
  """
  _, header = next(_lines(path), (0, []))
  return _normal(header)


def fault(path: str, row: int, column: str, what: str) -> UserError:
  """The error to raise for a cell."""
  return UserError(f'{path}: row {row}, column {column}: {what}')


def _lines(path, remark='') -> Iterator[tuple[int, list[str]]]:
  """(line number, cells) of each row that is not blank."""
  lines = list(io.StringIO(_text(path), newline=''))
  if remark:
    lines = ['\n' if ln.startswith(remark) else ln for ln in lines]
  reader = csv.reader(
    lines,
    delimiter=_delimiter(path, lines),
    skipinitialspace=True,
    strict=True,
  )
  try:
    for cells in reader:
      cells = [cell.strip() for cell in cells]
      if any(cells):
        yield reader.line_num, _filled(cells, lines[reader.line_num - 1])
  except csv.Error as error:
    raise UserError(f'{path}: row {reader.line_num}: {error}') from error


def _filled(cells, line) -> list[str]:
  """Cells with '' for what stands for nothing, unless quotes make it a word."""
  if not any(len(c) < 5 and c.lower() in _NOTHING for c in cells):
    return cells
  return [
    '' if cell.lower() in _NOTHING and f'"{cell}"' not in line else cell
    for cell in cells
  ]


def _text(path) -> str:
  try:
    data = remote.read_bytes(path)
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode('utf-16' if utf16 else 'utf-8-sig')
    return text.removeprefix('\ufeff')
  except UnicodeDecodeError as error:
    if error.encoding.startswith('utf-16'):
      raise UserError(f'{path}: is not UTF-16, as it says') from error
    byte = error.object[error.start]
    row = error.object.count(b'\n', 0, error.start) + 1
    raise UserError(
      f'{path}: row {row}: byte {byte:#04x} is not UTF-8'
    ) from error


def _delimiter(path, lines) -> str:
  """A .tsv's is the tab; else what the first line has most of outside quotes.

  A comma if in doubt.
  """
  first = next((line for line in lines if line.strip()), '')
  bare = re.sub(r'"[^"]*"?', '', first)
  if path.lower().endswith('.tsv') and '\t' in bare:
    return '\t'
  return max(_DELIMITERS, key=bare.count)


def _normal(header) -> list[str]:
  """Headings in lower case, on one line each, for messages show them."""
  return [' '.join(cell.strip('"# ').lower().split()) for cell in header]


def _places(table, columns, optional) -> dict[str, int]:
  """{name: index of its column}, for those that are there."""
  places = {}
  for name, headings in {**columns, **optional}.items():
    place = table.place(headings)
    if place is not None:
      places[name] = place
    elif name in columns:
      header = table.header
      has = f'it has {", ".join(header)}' if header else 'the file is empty'
      wanted = ' or '.join(headings)
      raise UserError(f'{table.path}: no column {wanted}; {has}')
  return places


def _value(name, value, path, row, column):
  if name == 'verified':
    if value.lower().removesuffix('.0') not in _BOOLEANS:
      raise fault(path, row, column, f'{value!r} is not 0 or 1')
    return _BOOLEANS[value.lower().removesuffix('.0')]
  if name == 'fold':
    found = _FOLD.fullmatch(value)
    if not value:
      return -1
    if not found:
      raise fault(path, row, column, f'{value!r} is not a whole number')
    digits = found[1].lstrip('0')  # of which Python takes no thousands
    if len(digits) > len(str(_FOLDS)) or int(digits or 0) >= _FOLDS:
      what = f'{value:.40} is too large: a fold is up to {_FOLDS - 1:,}'
      raise fault(path, row, column, what)
    return int(digits or 0)
  if name == 'split':
    if value and value.lower() not in SPLITS:
      known = ', '.join(SPLITS)
      raise fault(path, row, column, f'{value!r} is none of {known}')
    return SPLITS[value.lower()] if value else 'train'
  if name in ('start', 'end', 'duration'):
    return _seconds(value, path, row, column)
  return value


def _seconds(value, path, row, column) -> float:
  try:
    seconds = float(value or 'nan')
  except ValueError:
    seconds = -1.0
  if seconds < 0 or math.isinf(seconds):
    raise fault(path, row, column, f'{value!r} is not a number of seconds')
  return seconds


def _check_span(row, path, header, places):
  start, end = row.get('start', math.nan), row.get('end', math.nan)
  if end <= start or end == 0:  # never true of NaN
    what = f'ends at {end:g} s and begins at {0 if end == 0 else start:g} s'
    place = places['duration' if 'duration' in places else 'end']
    raise fault(path, row['row'], header[place], what)
