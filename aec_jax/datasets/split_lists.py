"""Files that say of which split clips are whose labels stand elsewhere."""

import os
import re
from collections.abc import Sequence

from aec_jax.datasets import clips, sides
from aec_jax.datasets.columns import FILE
from aec_jax.datasets.entries import Entry, some
from aec_jax.datasets.finder import Finder
from aec_jax.datasets.lists import ENDINGS, read_table
from aec_jax.errors import UserError
from aec_jax.run import remote

_NUMBER = re.compile(r'\d+')
FOLDER = 'evaluation_setup'  # of DCASE's sets, beside their meta.csv


def take(
  root: str, bases: Sequence[str], finder: Finder, entries: Sequence[Entry]
) -> tuple[list[Entry], list[str]]:
  """Clips of the splits that files put them into.

  A file is called by a split (`validation_list.txt` and `testing_list.txt`, as
  of Speech Commands; `train_filtered.txt`, as of GTZAN; `fold1_train.csv`, of
  DCASE's scenes), and each of its lines, or the cells of its column of files,
  is a file's path, as `Finder` takes it. Clips of no list train, unless a list
  is called so: then they are left out.

  Args:
    root: the folder.
    bases: the folders below it that such files may lie in, or in their
      `evaluation_setup/`, beside the folder itself.
    finder: of the folder's files.
    entries: the clips, without splits.

  Returns:
    The clips that are left, and notes.

  Raises:
    UserError: lists of two splits name a file, a name may mean several, or a
      CSV can't be read.
  """
  split_of: dict[str, tuple[str, str]] = {}  # and the list, by path
  values, notes = set(), []
  for name, split in _called(root, bases).items():
    paths, missing = _paths(root, name, finder)
    for path in paths:
      first, other = split_of.setdefault(path, (split, name))
      if first != split:
        shown = os.path.relpath(path, root)
        raise UserError(f'{root}: {shown!r} is in {other} and in {name}')
    if paths:
      values.add(split)
      notes.append(f'{name} lists {split} clips')
    if paths and missing:
      notes.append(f'{name}: {missing:,} files that it names are not here')
  kept = [e for e in entries if e.path in split_of or 'train' not in values]
  for entry in kept:
    entry.split, _ = split_of.get(entry.path, ('train', ''))
  if left := len(entries) - len(kept):
    notes.append(f'{left:,} clips that no such list names are left out')
  return kept, notes


def _called(root, bases) -> dict[str, str]:
  """The files that are called by splits: {path from the root: split}."""
  found = {}
  places = [
    os.path.join(root, base, within)
    for base in dict.fromkeys(['', *bases])
    for within in ('', FOLDER)
  ]
  for place in filter(os.path.isdir, places):
    names = clips.visible(place, _endings(place))
    called = sides.of({_stem(name) for name in names})
    splits = {
      name: str(called[_stem(name)].value)
      for name in names
      if _stem(name) in called and called[_stem(name)].what == 'split'
    }
    if len({tuple(_NUMBER.findall(name)) for name in splits}) > 1:
      continue  # splits of several folds
    for name, split in splits.items():
      found[os.path.relpath(os.path.join(place, name), root)] = split
  return found


def _endings(place) -> tuple[str, ...]:
  """Of such files; CSVs lie apart from the list of labels."""
  return ENDINGS if os.path.basename(place) == FOLDER else ('.txt',)


def _stem(name) -> str:
  return os.path.splitext(name)[0]


def _paths(root, name, finder) -> tuple[list[str], int]:
  """The files that a list names, and how many of them are not there.

  None where most are not: then it is a text of something else.
  """
  lines = _lines(os.path.join(root, name))
  found = [finder.find(line) for line in lines]
  missing = found.count([])
  if missing > len(lines) / 2:
    return [], missing
  for line, paths in zip(lines, found, strict=True):
    if len(paths) > 1:
      inside = [os.path.relpath(path, root) for path in paths]
      raise UserError(f'{root}: {line!r} of {name} may be {some(inside)}')
  return [path for paths in found for path in paths], missing


def _lines(path) -> list[str]:
  """The names that a file has."""
  if path.lower().endswith(ENDINGS):
    table = read_table(path)
    place = table.place(FILE)
    return [] if place is None else [row[place] for row in table.rows]
  text = remote.read_bytes(path).decode('utf-8', 'replace')
  return [line.strip() for line in text.splitlines() if line.strip()]
