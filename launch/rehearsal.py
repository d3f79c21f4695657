"""A synthetic data set of AudioSet's size, to rehearse on.

  python -m launch.rehearsal --csv=AUDIOSET/csv --out=REHEARSAL

Writes 2,041,789 clips of unbal_train in 4,096 TFRecord files, 22,160 of
bal_train and an eval set of 20,371, in the release's form:
`--config.data_dir=REHEARSAL` trains on the 2,063,949 of the first two.

The label sets are those of the segment lists in `csv`, drawn anew: those of
unbal_train from its own list where that is there, else from the balanced
one. A clip's embeddings are noise about the sum of its classes' directions.
"""

import csv
import glob
import itertools
import os
import shutil
import sys
from collections.abc import Sequence

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import numpy as np

from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.audioset_tfrecord import EMBEDDING_SIZE, MAX_SEGMENTS
from aec_jax.errors import UserError
from aec_jax.run import console
from aec_jax.run.files import check_file, whole_folder

# Clips, and the segment lists whose label sets they take, the best first.
_SPLITS = {
  'unbal_train': (2_041_789, ('unbalanced_train', 'balanced_train')),
  'eval': (20_371, ('eval',)),
  'bal_train': (22_160, ('balanced_train',)),
}


def label_sets(folder: str, names: Sequence[str]) -> list[list[int]]:
  """The label sets of the first segment list that is there.

  Raises:
    UserError: none is, or it is no file.
  """
  path = os.path.join(folder, 'class_labels_indices.csv')
  check_file(path, remedy="--csv is the folder of AudioSet's lists")
  with open(path, encoding='utf-8') as file:
    number = {row['mid']: int(row['index']) for row in csv.DictReader(file)}
  for name in names:
    path = os.path.join(folder, f'{name}_segments.csv')
    if os.path.lexists(path):
      check_file(path)
      with open(path, encoding='utf-8') as file:
        lines = [line for line in file if not line.startswith('#')]
      rows = csv.reader(lines, skipinitialspace=True)
      return [sorted(number[mid] for mid in row[3].split(',')) for row in rows]
  raise UserError(f'{folder} has no {names[-1]}_segments.csv')


class Templates:
  """Records of the release's format, made by filling in serialised ones.

  To serialise a clip takes 30 times as long as to copy a clip with the same
  labels and put another id and other embeddings in.
  """

  _ID = b'0' * 11
  # Bytes that do not end what precedes them, the frame's length.
  _FRAMES = np.repeat(
    np.arange(200, 200 + MAX_SEGMENTS, dtype=np.uint8), EMBEDDING_SIZE
  ).reshape(MAX_SEGMENTS, EMBEDDING_SIZE)

  def __init__(self):
    self._made = {}

  def fill(self, labels: tuple[int, ...], id: bytes, frames: np.ndarray):
    """The record of a clip with an id of 11 bytes and ten frames."""
    if labels not in self._made:
      self._made[labels] = self._make(labels)
    record, place, first, stride = self._made[labels]
    record = bytearray(record)
    record[place : place + len(id)] = id
    np.ndarray(frames.shape, np.uint8, record, first, (stride, 1))[:] = frames
    return bytes(record)

  def _make(self, labels):
    record = audioset_tfrecord.serialize(
      {
        'video_id': self._ID,
        'start_time_seconds': 0.0,
        'end_time_seconds': 10.0,
        'labels': labels,
        'audio_embedding': self._FRAMES,
      }
    )
    first, second = (record.index(f.tobytes()) for f in self._FRAMES[:2])
    return record, record.index(self._ID), first, second - first


def write_split(
  folder: str, sets: Sequence[Sequence[int]], clips: int, files: int, seed: int
) -> None:
  """Writes a split as NNNN.tfrecord.

  Args:
    folder: what to write.
    sets: label sets to draw from.
    clips, files: how many.
    seed: equal seeds give equal files.
  """
  from tensorflow.io import TFRecordWriter

  os.makedirs(folder)
  classes = 1 + max(map(max, sets))
  # In steps of the quantised embeddings; the same for all splits.
  rng = np.random.default_rng(0)
  directions = rng.normal(0, 24, (classes, EMBEDDING_SIZE)).astype(np.int16)
  centres = 128 + np.stack([directions[list(s)].sum(0) for s in sets])
  noise = rng.normal(0, 48, 1 << 22).astype(np.int16)
  templates = Templates()
  sets = [tuple(s) for s in sets]
  rng = np.random.default_rng([1, seed])
  bounds = np.linspace(0, clips, files + 1).astype(int)
  for file, (start, stop) in enumerate(itertools.pairwise(bounds)):
    drawn = rng.integers(len(sets), size=stop - start)
    size = (stop - start, MAX_SEGMENTS, EMBEDDING_SIZE)
    shift = rng.integers(len(noise) - np.prod(size))
    block = noise[shift : shift + np.prod(size)].reshape(size)
    frames = block + centres[drawn][:, None]
    frames = np.clip(frames, 0, 255).astype(np.uint8)
    with TFRecordWriter(os.path.join(folder, f'{file:04d}.tfrecord')) as writer:
      for i, row in enumerate(drawn):
        name = b'%1d%010d' % (seed, start + i)
        writer.write(templates.fill(sets[row], name, frames[i]))


def make(csv_folder: str, out: str, clips: int, files: int) -> None:
  """Writes the whole set; `out` is new.

  Raises:
    UserError: `out` exists or the lists are missing.
  """
  if os.path.exists(out):
    raise UserError(f'{out} exists: give another --out')
  try:
    found = [label_sets(csv_folder, names) for _, names in _SPLITS.values()]
  except (OSError, KeyError, ValueError, IndexError, csv.Error) as error:
    what = ' '.join(f'{type(error).__name__}: {error}'.split())
    raise UserError(f"{csv_folder} lacks AudioSet's lists: {what}") from error
  sizes = [min(clips, most) for most, _ in _SPLITS.values()]
  sizes[0] = clips
  with whole_folder(out) as unfinished:
    _copy_lists(csv_folder, os.path.join(unfinished, 'csv'))
    for seed, (split, sets, size) in enumerate(
      zip(_SPLITS, found, sizes, strict=True)
    ):
      folder = os.path.join(unfinished, 'features', split)
      write_split(folder, sets, size, min(files, size), seed)


def _copy_lists(folder: str, copy: str) -> None:
  """Copies the lists; a pipe among them is never read to its end."""
  for path in glob.iglob(f'{glob.escape(folder)}/**', recursive=True):
    if not os.path.isdir(path):
      check_file(path)
  shutil.copytree(folder, copy)


def main(argv: Sequence[str]) -> int:
  parser = console.Parser(__doc__)
  parser.add_argument('--csv', required=True)
  parser.add_argument('--out', required=True)
  parser.add_argument('--clips', type=int, default=_SPLITS['unbal_train'][0])
  parser.add_argument('--files', type=int, default=4096)
  options = parser.parse_args(argv[1:])
  make(options.csv, options.out, options.clips, options.files)
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(lambda: main(sys.argv)))
