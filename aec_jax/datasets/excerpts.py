"""Clips that are parts of longer files."""

import collections
import dataclasses
import math
from collections.abc import Sequence

from aec_jax.audio import decode
from aec_jax.datasets.clips import left_out
from aec_jax.datasets.entries import Entry, some
from aec_jax.run import threads

_SLACK = 0.05  # seconds by which headers and lists differ


def resolved(
  entries: Sequence[Entry],
) -> tuple[list[Entry], list[dict[str, str]], list[str]]:
  """Entries whose start and end lie in their files.

  A start and an end beyond the file are positions in another recording, which
  the file was cut from (as UrbanSound8K's): such a file is a clip as a whole.
  Where a file has several such parts, there is no telling, and they are left
  out. A part that is all of its file is no part.

  Clips of one file go together: a row without a group is of the one that
  another row of its file has.

  Headers only estimate how long some files are: one that a part seems to go
  beyond, or to go to the end of, is heard through.

  Args:
    entries: with `start` and `end` in seconds, NaN where the file's own are
      meant.

  Returns:
    The entries, what is left out, and notes.
  """
  uses = collections.Counter(entry.path for entry in entries)
  entries, notes = _grouped(entries, uses)
  parted = [e for e in entries if not (math.isnan(e.start) and _open(e))]
  seconds = _durations(parted)
  kept, skipped, whole = [], [], 0
  for entry in entries:
    duration = seconds.get(entry.path)
    if duration is None:  # no part, or unreadable, which is named elsewhere
      kept.append(entry)
      continue
    start = 0.0 if math.isnan(entry.start) else entry.start
    end = duration if _open(entry) else entry.end
    if start < duration and end <= duration + _SLACK:
      kept.append(_part(entry, start, min(end, duration), duration))
    elif uses[entry.path] == 1:
      whole += 1
      kept.append(_part(entry, 0.0, duration, duration))
    else:
      part = f'{entry.name}:{_span(start, end)}'
      skipped.append(left_out(part, 'ends beyond its file'))
  if whole:
    notes.append(
      f'files whose start and end lie beyond them, taken whole: {whole:,}'
    )
  return kept, skipped, notes


def _grouped(entries, uses) -> tuple[list[Entry], list[str]]:
  """Entries of one file in one group, and notes on files with several."""
  names: dict[str, str] = {}  # by path; one file may go by several
  groups: dict[str, list[str]] = collections.defaultdict(list)
  for entry in entries:
    names.setdefault(entry.path, entry.name)
    if entry.group:
      groups[entry.path].append(entry.group)
  torn = [names[path] for path, found in groups.items() if len(set(found)) > 1]
  grouped = []
  for entry in entries:
    if uses[entry.path] > 1 and not entry.group:
      group = next(iter(groups[entry.path]), names[entry.path])
      entry = dataclasses.replace(entry, group=group)
    grouped.append(entry)
  said = f'clips of one file are in several groups: {some(torn)}'
  return grouped, [said] * bool(torn)


def _open(entry) -> bool:
  return math.isnan(entry.end)


def _durations(parted) -> dict[str, float | None]:
  """Seconds by path, of the files that some parts are of."""
  paths = list(dict.fromkeys(entry.path for entry in parted))
  estimated = threads.over_files(decode.seconds_of, paths)
  found = dict(zip(paths, estimated, strict=True))
  doubtful = list(
    dict.fromkeys(e.path for e in parted if _beyond(e, found[e.path]))
  )
  heard = threads.over_files(decode.heard_seconds_of, doubtful)
  return {**found, **dict(zip(doubtful, heard, strict=True))}


def _beyond(entry, duration) -> bool:
  """Whether a part goes to a file's end or, as far as is known, beyond it."""
  if duration is None or _open(entry):
    return True
  return entry.end > duration + _SLACK


def _part(entry, start, end, duration) -> Entry:
  """The entry for a part."""
  if start == 0 and end == duration:
    return dataclasses.replace(entry, start=math.nan, end=math.nan)
  return dataclasses.replace(
    entry,
    id=f'{entry.id}:{_span(start, end)}',
    group=entry.group or entry.name,
    start=start,
    end=end,
  )


def _span(start, end) -> str:
  """Seconds in digits enough to tell parts of a recording of days apart."""
  return f'{start:.12g}-{end:.12g}'
