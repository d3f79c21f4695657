"""Recordings to embed: of one of AudioSet's segment lists, or of a folder.

Lists and recordings may be local or of any file system that TFDS opens.
"""

import collections
import dataclasses
import string
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from aec_jax.datasets import class_list
from aec_jax.datasets.audioset_lists import read_segments
from aec_jax.datasets.clips import Clips, left_out
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.lists import fault
from aec_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Recording:
  """A file to embed.

  Attributes:
    path: of the file.
    id: its `video_id`.
    start: seconds from the beginning of the video to that of the file.
    labels: indices of classes.
  """

  path: str
  id: str
  start: float
  labels: tuple[int, ...]


class Found(NamedTuple):
  """Recordings to embed.

  Attributes:
    recordings: one a clip.
    classes: (mid, name) of each class.
    skipped, notes: a {'file', 'reason'} each of what was left out when they
      were listed, and of how that was done.
  """

  recordings: list[Recording]
  classes: list[tuple[str, str]]
  skipped: Sequence[dict[str, str]] = ()
  notes: Sequence[dict[str, str]] = ()


def of_segments(segments: str, audio: str, classes_path: str) -> Found:
  """The recordings of one of AudioSet's segment lists.

  Args:
    segments: the list, as `balanced_train_segments.csv`.
    audio: where a file is, with {id} for the YouTube id, {start} and {end}
      for its milliseconds, as 'gs://bucket/{id}_{start}.wav'.
    classes_path: of `class_labels_indices.csv`.

  Raises:
    UserError: a list is missing or is not one, or `audio` names no file.
  """
  _check_pattern(audio)
  classes = class_list.read(classes_path)
  number = {mid: i for i, (mid, _) in enumerate(classes)}
  recordings = []
  for row, video, start, end, mids in read_segments(segments):
    try:
      where = audio.format(
        id=video, start=round(1000 * start), end=round(1000 * end)
      )
      labels = tuple(sorted({number[mid] for mid in mids}))
    except KeyError as error:
      what = f'{error.args[0]!r} is not in {classes_path}'
      raise fault(segments, row, 'positive_labels', what) from error
    except (ValueError, OverflowError) as error:
      what = f'--audio={audio}: {error}'
      raise fault(segments, row, 'ytid', what) from error
    recordings.append(Recording(where, video, start, labels))
  return Found(recordings, classes)


def _check_pattern(audio: str) -> None:
  """Raises `UserError` for what `of_segments` can't make names of."""
  try:
    fields = list(string.Formatter().parse(audio))
    names = {name for _, name, _, _ in fields if name is not None}
    if 'id' not in names or not names <= {'id', 'start', 'end'}:
      raise ValueError(f'it has {names or "none"}')
    if any(spec and len(spec) > 4 for _, _, spec, _ in fields):
      raise ValueError('too long a format')
    audio.format(id='', start=0, end=0)
  except ValueError as error:
    raise UserError(
      f'--audio={audio}: {error}; it takes {{id}}, and perhaps {{start}} and'
      ' {end}'
    ) from error


def of_folder(folder: str, split: str) -> Found:
  """As `of_segments`, of a folder that `from_folder` understands.

  Clips without a label are left out: a record has at least one.

  Args:
    folder: with classes, which all are the records', and perhaps splits.
    split: that the records are to be. Of a folder with several splits, 'eval'
      takes its test clips (without any, its validation clips) and the others
      its training clips; of a folder with one, all of them.

  Raises:
    UserError: as `from_folder` does, or a clip is a part of a file.
  """
  clips = from_folder(folder)
  chosen, said = _of_split(clips, split)
  has = np.diff(chosen.label_offsets) > 0
  skipped = clips.skipped + [
    left_out(name, 'no label') for name in chosen.ids[~has].tolist()
  ]
  chosen = chosen.select(has)
  notes = [left_out(folder, note) for note in (*clips.notes, *said)]
  logging.info('%s', '; '.join([clips.describe(), *said]))
  parts = np.flatnonzero(~np.isnan(chosen.start))
  if len(parts):
    raise UserError(
      f'{folder}: {chosen.ids[parts[0]]} is a part of a file, and whole files'
      ' are embedded: cut them first'
    )
  labels = np.split(chosen.label_ids, chosen.label_offsets[1:-1])
  recordings = [
    Recording(path, name, 0.0, tuple(some.tolist()))
    for path, name, some in zip(
      chosen.paths.tolist(), chosen.ids.tolist(), labels, strict=True
    )
  ]
  classes = [(f'/f/{i:03d}', name) for i, name in enumerate(clips.classes)]
  return Found(recordings, classes, skipped, notes)


def _of_split(clips: Clips, split: str) -> tuple[Clips, list[str]]:
  """The clips for one of AudioSet's splits, and a note on the others."""
  there = collections.Counter(clips.split.tolist())
  wanted = ('test', 'validation') if split == 'eval' else ('train',)
  name = next((w for w in wanted if there[w]), wanted[0])
  if len(there) == 1:
    return clips, []
  others = [f'{n:,} {s}' for s, n in there.items() if s != name]
  note = f'{split} is of the {name} clips, without {" and ".join(others)}'
  return clips.select(clips.split == name), [note]
