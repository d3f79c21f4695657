"""Clips that are parts of longer files."""

import collections
import dataclasses
import math
from collections.abc import Sequence

from aec_jax.audio import decode
from aec_jax.datasets.clips import left_out
from aec_jax.datasets.entries import Entry
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

  Headers only estimate how long some files are: one that a part seems to go
  beyond, or to go to the end of, is heard through.

  Args:
    entries: with `start` and `end` in seconds, NaN where the file's own are
      meant.

  Returns:
    The entries, what is left out, and notes.
  """
  parted = [e for e in entries if not (math.isnan(e.start) and _open(e))]
  seconds = _durations(parted)
  uses = collections.Counter(entry.path for entry in entries)
  names: dict[str, str] = {}  # by path; one file may go by several
  kept, skipped, whole = [], [], 0
  for entry in entries:
    if uses[entry.path] > 1:  # clips of one file go together
      group = names.setdefault(entry.path, entry.name)
      entry = dataclasses.replace(entry, group=entry.group or group)
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
      part = f'{entry.name}:{start:g}-{end:g}'
      skipped.append(left_out(part, 'ends beyond its file'))
  notes = []
  if whole:
    notes.append(
      f'start and end of {whole:,} files lie beyond them: they are taken whole'
    )
  return kept, skipped, notes


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
    id=f'{entry.id}:{start:g}-{end:g}',
    group=entry.group or entry.name,
    start=start,
    end=end,
  )
