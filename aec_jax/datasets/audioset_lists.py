"""Lists recordings by AudioSet's own lists: segments, or events in them.

The audio is anybody's own copy, named by the YouTube id (perhaps after a Y,
perhaps with the segment's start behind it).
"""

import collections
import math
import os
from typing import NamedTuple

from aec_jax.datasets import excerpts
from aec_jax.datasets.class_list import names_of_mids
from aec_jax.datasets.clips import Clips, left_out, roots_of, walk
from aec_jax.datasets.entries import Entry, checked
from aec_jax.datasets.lists import Table, fault, read_table

_PLACES = ('', 'csv', 'meta', 'metadata')
_STRONG = {
  'audioset_train_strong.tsv': 'train',
  'audioset_eval_strong.tsv': 'test',
}
_WEAK = {
  'balanced_train_segments.csv': 'train',
  'unbalanced_train_segments.csv': 'train',
  'eval_segments.csv': 'test',
}
_SEGMENT = ['ytid', 'start_seconds', 'end_seconds', 'positive_labels']
_Event = tuple[float, float, str]  # start, end, mid
LISTS = {*_STRONG, *_WEAK}
_UNLISTED = 'in none of the lists'
_UNCLEAR = (
  'may be any of several segments of its video: put the start behind the id, as'
  ' in ID_30000.wav'
)
_ID = 11  # characters of a YouTube id
_COVERED = 0.5  # of a part, by an event whose label it then has, too


class Segment(NamedTuple):
  """A row of a list of segments.

  Attributes:
    row: its line in the file.
    video: the YouTube id.
    start, end: seconds.
    mids: of its classes.
  """

  row: int
  video: str
  start: float
  end: float
  mids: tuple[str, ...]


def read_segments(path: str) -> list[Segment]:
  """The rows of a list such as `balanced_train_segments.csv`.

  Args:
    path: as `read_table` takes it; lines that begin with # are remarks.

  Raises:
    UserError: it can't be read, or a row is no segment.
  """
  table, found = read_table(path, _SEGMENT, '#'), []
  for number, cells in zip(table.numbers, table.rows, strict=True):
    video, first, last, labels = cells
    mids = tuple(map(str.strip, labels.split(',')))
    try:
      start, end = float(first), float(last)
    except ValueError:
      start = end = math.nan
    if not (video and all(mids) and 0 <= start < end < math.inf):
      what = f'{", ".join(cells)}: not YTID, start, end and labels'
      raise fault(path, number, _SEGMENT[0], what[:200])
    found.append(Segment(number, video, start, end, mids))
  return found


def from_audioset_lists(
  data_dir: str | os.PathLike, on_bad: str = 'skip'
) -> Clips:
  """The clips of AudioSet's lists whose audio is there.

  With strong lists (`audioset_train_strong.tsv`, `audioset_eval_strong.tsv`)
  each event's start and end is a clip; its labels are those of all events that
  cover at least half of it. With lists of segments
  (`balanced_train_segments.csv`, …) each file is a clip with all labels of its
  segment. Train lists are 'train', eval lists 'test'; clips of one video are a
  group. Labels have the names of `class_labels_indices.csv` or
  `mid_to_display_name.tsv`, where one is beside the lists.

  Args:
    data_dir: the folder; the lists are in it or in its `csv/`, `meta/` or
      `metadata/`, the audio anywhere below.
    on_bad: 'skip' leaves out what is unlisted, unreadable or empty, 'error'
      refuses it. Segments without audio are counted, and no fault.

  Raises:
    UserError: a list is faulty, no training clip is usable, or on_bad is
      'error' and a file is bad.
  """
  (root,) = roots_of(data_dir)
  files, skipped = walk(root)
  lists, notes = _lists(root, _STRONG), []
  if lists and (others := _lists(root, _WEAK)):
    unused = ', '.join(os.path.basename(path) for path, _ in others)
    notes.append(f'not used: {unused}, for there are strong lists')
  read = _strong if lists else _weak
  lists = lists or _lists(root, _WEAK)
  folders = list(dict.fromkeys(os.path.dirname(path) for path, _ in lists))
  names = names_of_mids([*folders, root])
  index, entries, unclear = _index(root, files), [], set()
  for path, split in lists:
    found, said, doubtful = read(path, split, index, names)
    entries += found
    unclear |= doubtful
    notes += [f'{os.path.basename(path)}: {note}' for note in said]
  entries, parts, more = excerpts.resolved(entries)
  used = {entry.path for entry in entries}
  rest = [p for p in files if os.path.join(root, *p) not in used]
  skipped += parts + [
    left_out(
      '/'.join(parts),
      _UNCLEAR if os.path.join(root, *parts) in unclear else _UNLISTED,
    )
    for parts in rest
  ]
  classes = tuple(sorted({name for e in entries for name in e.labels}))
  return checked(entries, classes, skipped, on_bad, root, notes + more)


def holds_audioset_lists(data_dir: str | os.PathLike) -> bool:
  """Whether a folder has one of the lists."""
  (root,) = roots_of(data_dir)
  return bool(_lists(root, {**_STRONG, **_WEAK}))


def _lists(root, names) -> list[tuple[str, str]]:
  """(path, split) of the lists of these names."""
  found = []
  for name, split in names.items():
    paths = (os.path.join(root, place, name) for place in _PLACES)
    path = next(filter(os.path.lexists, paths), None)
    if path:
      found.append((os.path.normpath(path), split))
  return found


def _index(root, files) -> dict[str, str]:
  """Paths by the file's name, without ending and without a Y before the id."""
  index: dict[str, str] = {}
  for parts in files:
    stem, path = os.path.splitext(parts[-1])[0], os.path.join(root, *parts)
    index.setdefault(stem, path)
    if stem[0] == 'Y':
      index.setdefault(stem[1:], path)
  return index


def _weak(path, split, index, names) -> tuple[list[Entry], list[str], set[str]]:
  """The clips of a list of segments, notes, and no unclear files."""
  starts: dict[str, str] = {}  # paths by YouTube id
  for stem, file in index.items():
    if stem[_ID : _ID + 1] in ('', '_'):
      starts.setdefault(stem[:_ID], file)
  entries, absent = [], 0
  for _, video, _, _, mids in read_segments(path):
    found = index.get(video) or starts.get(video)
    if not found:
      absent += 1
      continue
    labels = tuple(names.get(mid, mid) for mid in mids)
    name = os.path.basename(found)
    entries.append(Entry(found, name, labels, name, split=split, group=video))
  return entries, _absence(absent), set()


def _absence(count) -> list[str]:
  return [f'{count:,} segments have no audio here'] if count else []


def _strong(
  path, split, index, names
) -> tuple[list[Entry], list[str], set[str]]:
  """The clips of a list of events, notes, and files of unclear segments."""
  entries, absent = [], 0
  by_segment, instants = _events(read_table(path))
  videos = {
    segment: segment.rpartition('_')[0] or segment for segment in by_segment
  }
  segments = collections.Counter(videos.values())
  unclear = set()
  for segment, events in by_segment.items():
    video = videos[segment]
    found = index.get(segment)
    if not found and video in index and segments[video] > 1:
      unclear.add(index[video])
      continue
    found = found or index.get(video)
    if not found:
      absent += 1
      continue
    name = os.path.basename(found)
    for start, end in dict.fromkeys((a, b) for a, b, _ in events):
      mids = dict.fromkeys(
        mid
        for a, b, mid in events
        if min(b, end) - max(a, start) >= _COVERED * (end - start)
      )
      labels = tuple(names.get(mid, mid) for mid in mids)
      entries.append(
        Entry(
          *(found, name, labels, name),
          split=split,
          group=video,
          start=start,
          end=end,
        )
      )
  notes = _absence(absent)
  if instants:
    notes.append(f'{instants:,} events of no duration are no clips')
  return entries, notes, unclear


def _events(table: Table) -> tuple[dict[str, list[_Event]], int]:
  """The events of each segment, and how many that last no time are left out."""
  headings = ('segment_id', 'start_time_seconds', 'end_time_seconds', 'label')
  for heading in headings:
    if heading not in table.header:
      raise fault(table.path, 1, heading, 'no such column')
  places = [table.header.index(heading) for heading in headings]
  events: dict[str, list[_Event]] = collections.defaultdict(list)
  instants = 0
  for number, row in zip(table.numbers, table.rows, strict=True):
    segment, *times, mid = (row[place] for place in places)
    try:
      start, end = map(float, times)
    except ValueError:
      start, end = -1.0, -1.0
    if not (mid and 0 <= start <= end):
      what = f'{" to ".join(times)}, {mid!r}: no event'
      raise fault(table.path, number, 'start_time_seconds', what)
    if start < end:
      events[segment].append((start, end, mid))
    else:
      instants += 1
  return events, instants
