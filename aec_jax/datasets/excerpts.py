"""Clips that are parts of longer files."""

import collections
import concurrent.futures
import dataclasses
import math
from collections.abc import Sequence

from aec_jax.audio import decode
from aec_jax.datasets.clips import left_out
from aec_jax.datasets.entries import Entry

_SLACK = 0.05  # seconds by which headers and lists differ


def resolved(
  entries: Sequence[Entry],
) -> tuple[list[Entry], list[dict[str, str]], list[str]]:
  """Entries whose start and end lie in their files.

  A start and an end beyond the file are positions in another recording, which
  the file was cut from (as UrbanSound8K's): such a file is a clip as a whole.
  Where a file has several such parts, there is no telling, and they are left
  out. A part that is all of its file is no part.

  Args:
    entries: with `start` and `end` in seconds, NaN where the file's own are
      meant.

  Returns:
    The entries, what is left out, and notes.
  """
  parted = [e for e in entries if not (math.isnan(e.start) and _open(e))]
  seconds = _durations({entry.path for entry in parted})
  uses = collections.Counter(entry.path for entry in entries)
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


def _durations(paths) -> dict[str, float | None]:
  # Threads: on a network disk the wait for each file is what takes the time.
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    return dict(zip(paths, pool.map(decode.seconds_of, paths), strict=True))


def _part(entry, start, end, duration) -> Entry:
  """The entry for a part; its clips go together, unless a list says how."""
  if start == 0 and end == duration:
    return dataclasses.replace(entry, start=math.nan, end=math.nan)
  return dataclasses.replace(
    entry,
    id=f'{entry.id}:{start:g}-{end:g}',
    group=entry.group or entry.name,
    start=start,
    end=end,
  )
