"""From what lists and folders name to `Clips`: the files are looked at."""

import collections
import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np

from aec_jax.datasets.clips import (
  POLICIES,
  Clips,
  left_out,
  trouble_with,
  visible,
)
from aec_jax.datasets.labels import check_count, offsets_of
from aec_jax.errors import UserError
from aec_jax.run import threads


@dataclasses.dataclass
class Entry:
  """A file, or a part of it, that a list or a folder names."""

  path: str
  id: str
  labels: tuple[str, ...]  # none where unknown
  name: str  # how messages call the file
  verified: bool = True
  fold: int = -1
  split: str = 'train'
  usage: str = ''
  group: str = ''
  start: float = math.nan  # seconds
  end: float = math.nan


def checked(
  entries: Sequence[Entry],
  classes: tuple[str, ...],
  skipped: list[dict[str, str]],
  on_bad: str,
  where: str,
  notes: Sequence[str] = (),
) -> Clips:
  """The clips of all entries whose files are usable.

  Args:
    entries: in the order that the clips are to have.
    classes: names, among which are an entry's labels.
    skipped: what has been left out already.
    on_bad: one of `POLICIES`, what to do with files that are not usable.
    where: what messages call the data set.
    notes: what has been decided already.

  Raises:
    UserError: `on_bad` is none of them, or it is 'error' and a file is bad, a
      clip is listed twice, there are more classes than can be numbered, or no
      training clip is usable.
  """
  if on_bad not in POLICIES:
    raise UserError(f'on_bad is {on_bad!r}, expected one of {POLICIES}')
  check_count(len(classes), where)
  _check_once(entries, where)
  paths = list(dict.fromkeys(entry.path for entry in entries))
  found = threads.over_files(trouble_with, paths)
  troubles = dict(zip(paths, found, strict=True))
  bad = {e.name: troubles[e.path] for e in entries if troubles[e.path]}
  skipped = [left_out(name, why) for name, why in bad.items()] + skipped
  good = [entry for entry in entries if not troubles[entry.path]]
  if skipped and on_bad == 'error':
    raise UserError(f'{where}: {_unusable(skipped, good)}')
  if not any(entry.split == 'train' for entry in good):
    why = [f'{where}: no clip to train on', *notes]
    if good:
      splits = ' or '.join(sorted({entry.split for entry in good}))
      why.append(f'all {len(good):,} usable clips are of {splits}')
    if skipped:
      why.append(_unusable(skipped, good))
    raise UserError('; '.join(why))
  said = [*notes, *_vanished(entries, good), *_straddling(good)]
  return _as_clips(good, classes, skipped, said)


def _unusable(skipped, good) -> str:
  first, n = skipped[0], len(skipped)
  return (
    f'{n} unusable file{"s" * (n > 1)}, {len(good)} usable; the first is'
    f' {first["file"]!r}: {first["reason"]}'
  )


def _check_once(entries, where) -> None:
  """Raises `UserError` for a part of a file that two entries are."""
  seen = set()
  for entry in entries:
    part = os.path.normpath(entry.path), str(entry.start), str(entry.end)
    if part in seen:
      raise UserError(f'{where}: {entry.name!r} is listed twice')
    seen.add(part)


def _vanished(entries, good) -> list[str]:
  """Notes on classes of which no clip is left, or none to train on."""
  listed = {label for entry in entries for label in entry.labels}
  left = {label for entry in good for label in entry.labels}
  trained = {
    label for entry in good if entry.split == 'train' for label in entry.labels
  }
  notes = []
  if gone := sorted(listed - left):
    notes.append(f'no usable clip is left of {some(gone)}')
  if gone := sorted(left - trained):
    notes.append(f'no training clip has {some(gone)}')
  return notes


def _straddling(entries) -> list[str]:
  """Notes on recordings whose pieces are on both sides of a division."""
  notes = []
  for what in ('fold', 'split'):
    sides = collections.defaultdict(set)
    for entry in entries:
      if entry.group:
        sides[entry.group].add(getattr(entry, what))
    torn = sorted(group for group, found in sides.items() if len(found) > 1)
    if torn:
      notes.append(
        f'pieces of one recording are in several {what}s: {some(torn)}'
      )
  return notes


def some(names: Sequence[str]) -> str:
  """The first few of some names, and how many more there are."""
  more = f' and {len(names) - 5:,} more' if len(names) > 5 else ''
  return ', '.join(names[:5]) + more


def not_listed(folder: str, entries: Sequence[Entry], listing: str) -> list:
  """What `skipped` says of the audio right in a folder that has no entry."""
  if not os.path.isdir(folder):
    return []
  listed = {os.path.basename(entry.path) for entry in entries}
  reason = f'not listed in {os.path.basename(listing)}'
  return [
    left_out(f'{os.path.basename(folder)}/{name}', reason)
    for name in visible(folder)
    if name not in listed
  ]


def _as_clips(entries, classes, skipped, notes) -> Clips:
  number = {name: i for i, name in enumerate(classes)}
  labels = [sorted({number[name] for name in e.labels}) for e in entries]
  counts = np.array([len(some) for some in labels], np.int64)
  return Clips(
    paths=np.array([e.path for e in entries], str),
    ids=np.array([e.id for e in entries], str),
    label_ids=np.array([k for some in labels for k in some], np.int16),
    label_offsets=offsets_of(counts),
    classes=classes,
    verified=np.array([e.verified for e in entries], bool),
    fold=np.array([e.fold for e in entries], np.int16),
    split=np.array([e.split for e in entries], str),
    usage=np.array([e.usage for e in entries], str),
    group=np.array([e.group for e in entries], str),
    start=np.array([e.start for e in entries], float),
    end=np.array([e.end for e in entries], float),
    skipped=skipped,
    notes=notes,
  )
