"""AudioSet's lists of classes: a mid and a readable name each."""

import collections
import os
from collections.abc import Sequence

from aec_jax.datasets.labels import check_count
from aec_jax.datasets.lists import fault, read_table
from aec_jax.errors import UserError

INDICES = 'class_labels_indices.csv'
FILES = (INDICES, 'mid_to_display_name.tsv')
_HEADINGS = ['index', 'mid', 'display_name']


def read(path: str, indexed: bool = False) -> list[tuple[str, str]]:
  """The (mid, readable name) of each class, in the order of their indices.

  Args:
    path: of a list, as `read_table` takes it: index, mid and display_name; or
      of a .tsv of mid and name, which has no heading.
    indexed: whether it must have indices; else its rows may do for them.

  Raises:
    UserError: it is no such list, has a mid twice, or indices other than 0, 1,
      2, ….
  """
  is_pairs = path.lower().endswith('.tsv')
  table = read_table(path, _HEADINGS[1:] if is_pairs else None)
  needed = _HEADINGS if indexed else _HEADINGS[1:]
  missing = [name for name in needed if name not in table.header]
  if missing or not table.rows:
    what = f'no columns {" and ".join(missing)}' if missing else 'no rows'
    raise UserError(f'{path} is no AudioSet class list: {what}')
  mids, names = table.column('mid'), table.column('display_name')
  for number, mid, name in zip(table.numbers, mids, names, strict=True):
    if not (mid and name):
      raise fault(path, number, 'display_name' if mid else 'mid', 'empty')
  classes = list(zip(mids, names, strict=True))
  if 'index' in table.header:
    classes = _in_order(path, classes, table.column('index'))
  (mid, count), *_ = collections.Counter(mids).most_common(1)
  if count > 1:
    raise UserError(f'{path}: the mid {mid!r} is there twice')
  return classes


def of_release(data_dir: str) -> list[tuple[str, str]]:
  """The (mid, readable name) of each class of the embeddings release.

  Args:
    data_dir: its folder; the list is in its `csv/`, or in itself.

  Raises:
    UserError: the class list is missing or is not one.
  """
  tried = [os.path.join(data_dir, d, INDICES) for d in ('csv', '')]
  path = next((path for path in tried if os.path.lexists(path)), None)
  if path is None:
    raise UserError(
      f'no class list: no file {" or ".join(tried)}; download'
      f' {INDICES} from the AudioSet site'
    )
  found = read(path, indexed=True)
  check_count(len(found), path)
  return found


def _in_order(path, classes, indices) -> list[tuple[str, str]]:
  """Classes by their indices, in words."""
  try:
    found = dict(zip(map(int, indices), classes, strict=True))
    return [found[index] for index in range(len(classes))]
  except (KeyError, ValueError) as error:
    raise UserError(
      f'{path} is no AudioSet class list: its indices are not 0, 1, 2, …'
    ) from error


def names_of_mids(folders: Sequence[str]) -> dict[str, str]:
  """{mid: readable name} of the class list in the first folder that has one.

  A name that several mids share has its mid behind it.

  Raises:
    UserError: the list is not one.
  """
  paths = [os.path.join(f, name) for name in FILES for f in folders]
  path = next(filter(os.path.lexists, paths), None)
  if path is None:
    return {}
  classes = read(path)
  uses = collections.Counter(name for _, name in classes)
  return {
    mid: name if uses[name] == 1 else f'{name} ({mid})' for mid, name in classes
  }
