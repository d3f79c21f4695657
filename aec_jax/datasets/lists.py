"""Reads a CSV that lists clips; says in one line where it is at fault."""

import csv
import io
import re
from collections.abc import Iterator

from aec_jax.errors import UserError

_BOOLEANS = {'1': True, 'true': True, '0': False, 'false': False}


def read_list(
  path: str,
  columns: dict[str, tuple[str, ...]],
  optional: dict[str, tuple[str, ...]] | None = None,
  filled: tuple[str, ...] = ('file', 'label'),
) -> list[dict]:
  """The rows of a list, in its order.

  Args:
    path: a CSV in UTF-8, with or without a byte order mark.
    columns: {name: the headings it may go by}, needed; 'file' is among them.
    optional: the same for columns that may be absent.
    filled: names of the columns that may not have an empty cell.

  Returns:
    For each row {name: value} and 'row', its line in the file. 'verified' is
    a bool, 'fold' an int (-1 where empty), anything else text.

  Raises:
    UserError: the file is empty, is not UTF-8 or CSV, lacks a column, names a
      file twice, or has a cell that is empty or cannot be read.
  """
  lines = _lines(path)
  _, header = next(lines, (0, []))
  header = _normal(header)
  places = _places(path, header, columns, optional or {})
  rows, first = [], {}
  for number, cells in lines:
    if any(cells[len(header) :]):
      what = f'{len(cells)} cells under {len(header)} headings'
      raise fault(path, number, header[-1], what)
    cells += [''] * (len(header) - len(cells))
    row = {'row': number}
    for name, place in places.items():
      value = cells[place].strip()
      if not value and name in filled:
        raise fault(path, number, header[place], 'empty')
      row[name] = _value(name, value, path, number, header[place])
    file = row['file']
    if file in first:
      what = f'{file!r} is in row {first[file]} already'
      raise fault(path, number, header[places['file']], what)
    first[file] = number
    rows.append(row)
  if not rows:
    raise UserError(f'{path}: no rows below the headings')
  return rows


def has_columns(path: str, columns: dict[str, tuple[str, ...]]) -> bool:
  """Whether the first line of a CSV has a heading for each of the columns."""
  with open(path, encoding='utf-8-sig', errors='replace') as f:
    header = _normal(f.readline().split(','))
  return all(set(headings) & set(header) for headings in columns.values())


def fault(path: str, row: int, column: str, what: str) -> UserError:
  """The error to raise for a cell."""
  return UserError(f'{path}: row {row}, column {column}: {what}')


def _lines(path) -> Iterator[tuple[int, list[str]]]:
  """(line number, cells) of each row that is not blank."""
  try:
    with open(path, 'rb') as f:
      data = f.read()
    text = data.decode('utf-8-sig')
  except OSError as error:
    raise UserError(f'{path}: {error.strerror}') from error
  except UnicodeDecodeError as error:
    byte = error.object[error.start]
    row = error.object.count(b'\n', 0, error.start) + 1
    raise UserError(
      f'{path}: row {row}: byte {byte:#04x} is not UTF-8'
    ) from error
  reader = csv.reader(io.StringIO(text, newline=''), strict=True)
  try:
    for cells in reader:
      if any(cell.strip() for cell in cells):
        yield reader.line_num, cells
  except csv.Error as error:
    raise UserError(f'{path}: row {reader.line_num}: {error}') from error


def _normal(header) -> list[str]:
  """Headings in lower case, on one line each, for messages show them."""
  return [' '.join(cell.strip('"').lower().split()) for cell in header]


def _places(path, header, columns, optional) -> dict[str, int]:
  """{name: index of its column}, for those that are there."""
  places = {}
  for name, headings in {**columns, **optional}.items():
    found = [header.index(heading) for heading in headings if heading in header]
    if found:
      places[name] = found[0]
    elif name in columns:
      has = f'it has {", ".join(header)}' if header else 'the file is empty'
      raise UserError(f'{path}: no column {" or ".join(headings)}; {has}')
  return places


def _value(name, value, path, row, column):
  if name == 'verified':
    if value.lower() not in _BOOLEANS:
      raise fault(path, row, column, f'{value!r} is not 0 or 1')
    return _BOOLEANS[value.lower()]
  if name == 'fold':
    if not re.fullmatch(r'\d{0,4}', value, re.ASCII):
      raise fault(path, row, column, f'{value!r} is not a whole number')
    return int(value or -1)
  return value
