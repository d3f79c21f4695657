"""Splits and folds of listed clips, by the folders that they lie in."""

import os
from collections.abc import Sequence

from aec_jax.datasets import sides
from aec_jax.datasets.entries import Entry, some
from aec_jax.datasets.list_places import Listing

_UNHEEDED = {
  'split': 'all clips train, of {}, too: a column split says which do',
  'fold': '{} are not heeded as folds: a column fold says which is which',
}


def take(
  root: str, listings: Sequence[Listing], entries: Sequence[Entry]
) -> list[str]:
  """Gives clips the splits or folds of their folders, where no list says any.

  All must lie in folders that are surely called so, as `sides.Side` tells, one
  of them train; else clips stay as they are.

  Args:
    root: the folder.
    listings: the lists that name the clips.
    entries: the clips, which are changed.

  Returns:
    Notes on what is taken so, or might be.
  """
  paths = [os.path.relpath(entry.path, root).split(os.sep) for entry in entries]
  depth = _shared_depth(paths)
  names = [path[depth] if len(path) > depth + 1 else '' for path in paths]
  called = sides.of(set(names) - {''})
  notes = []
  for what, unheeded in _UNHEEDED.items():
    found = {n: side for n, side in called.items() if side.what == what}
    values = {side.value for side in found.values()}
    doubtful = len(values) > 1 or values & {'test', 'validation'}
    if not doubtful or any(listing.says(what) for listing in listings):
      continue
    shown = some(sorted(found))
    sure = all(name in found and found[name].sure for name in names)
    if not sure or (what == 'split' and 'train' not in values):
      notes.append(unheeded.format(shown))
      continue
    for entry, name in zip(entries, names, strict=True):
      setattr(entry, what, found[name].value)
    notes.append(
      f'{shown} are taken as {what}s, for no column {what} says otherwise'
    )
  return notes


def _shared_depth(paths) -> int:
  """How many folders all paths begin with."""
  ends = min(paths)[:-1], max(paths)[:-1]  # in between all begin alike, too
  shared = 0
  for one, other in zip(*ends, strict=False):
    if one != other:
      break
    shared += 1
  return shared
