"""Recordings to embed: of one of AudioSet's segment lists, or of a folder.

Lists and recordings may be local or of any file system that TFDS opens.
"""

import csv
import dataclasses
import string

import numpy as np
from absl import logging

from aec_jax.datasets.folders import from_folder
from aec_jax.errors import UserError
from aec_jax.run import remote


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


def of_segments(
  segments: str, audio: str, class_list: str
) -> tuple[list[Recording], list[tuple[str, str]]]:
  """The recordings of one of AudioSet's segment lists.

  Args:
    segments: the list, as `balanced_train_segments.csv`.
    audio: where a file is, with {id} for the YouTube id, {start} and {end}
      for its milliseconds, as 'gs://bucket/{id}_{start}.wav'.
    class_list: `class_labels_indices.csv`.

  Returns:
    The recordings, and (mid, name) of each class.

  Raises:
    UserError: a list is missing or is not one, or `audio` names no file.
  """
  _check_pattern(audio)
  classes = _classes_of(class_list)
  number = {mid: i for i, (mid, _) in enumerate(classes)}
  recordings = []
  for row in _rows(segments):
    try:
      name, start, end, mids = row
      where = audio.format(
        id=name, start=round(1000 * float(start)), end=round(1000 * float(end))
      )
      labels = tuple(sorted(number[mid] for mid in mids.split(',')))
    except (KeyError, ValueError, OverflowError) as error:
      raise UserError(
        f'{segments}: {",".join(row)[:200]}: not YTID, start, end and labels of'
        f' {class_list}'
      ) from error
    recordings.append(Recording(where, name, float(start), labels))
  return recordings, classes


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


def _classes_of(class_list: str) -> list[tuple[str, str]]:
  """(mid, name) of each class."""
  headings, *rows = _rows(class_list) or [[]]
  if not {'mid', 'display_name'} <= {*headings}:
    raise UserError(f'{class_list}: no columns mid and display_name')
  mid, name = map(headings.index, ('mid', 'display_name'))
  if len({row[mid] for row in rows if len(row) > mid}) < len(rows):
    raise UserError(f'{class_list}: a mid is there twice')
  for row in rows:
    if len(row) != len(headings):
      raise UserError(
        f'{class_list}: {",".join(row)[:200]}: not as its heading'
      )
  return [(row[mid], row[name]) for row in rows]


def _rows(path: str) -> list[list[str]]:
  """The cells of a CSV, without its remarks and blank lines.

  Raises:
    UserError: it can't be read, or is no CSV.
  """
  lines = remote.read_text(path).splitlines()
  lines = [line for line in lines if line.strip() and line[0] != '#']
  try:
    return list(csv.reader(lines, skipinitialspace=True, strict=True))
  except csv.Error as error:
    raise UserError(f'{path}: is no CSV: {error}') from error


def of_folder(folder: str) -> tuple[list[Recording], list[tuple[str, str]]]:
  """As `of_segments`, of a folder that `from_folder` understands.

  Raises:
    UserError: as `from_folder` does, or a clip is a part of a file.
  """
  found = from_folder(folder)
  logging.info('%s', found.describe())
  parts = np.flatnonzero(~np.isnan(found.start))
  if len(parts):
    raise UserError(
      f'{folder}: {found.ids[parts[0]]} is a part of a file, and whole files'
      ' are embedded: cut them first'
    )
  labels = np.split(found.label_ids, found.label_offsets[1:-1])
  recordings = [
    Recording(path, name, 0.0, tuple(some.tolist()))
    for path, name, some in zip(
      found.paths.tolist(), found.ids.tolist(), labels, strict=True
    )
  ]
  classes = [(f'/f/{i:03d}', name) for i, name in enumerate(found.classes)]
  return recordings, classes
