"""The TFRecord format of the AudioSet embeddings release.

One SequenceExample a clip: the context has `video_id` (bytes), the float
`start_time_seconds` and `end_time_seconds`, and `labels` (int64 list); the
feature list `audio_embedding` has 1 to 10 frames of 128 uint8. Records of other
forms that `clip_record` reads are read as well, of any number of frames.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from aec_jax.datasets import class_list, clip_record, tfrecord
from aec_jax.datasets.examples import Examples, Writer
from aec_jax.datasets.labels import offsets_of
from aec_jax.errors import UNREADABLE, UserError, check_choice
from aec_jax.run import remote, threads

SPLITS = ('bal_train', 'unbal_train', 'eval')
MAX_SEGMENTS = 10
EMBEDDING_SIZE = 128

# What `features.tar.gz` unpacks to, under the data folder or as it.
_ROOTS = ('features', 'audioset_v1_embeddings', '')
_CHUNK_BYTES = 4 << 20


@functools.cache
def import_tensorflow():
  """TensorFlow, which takes 6 s to import, without its hold on the GPUs."""
  import tensorflow as tf

  with contextlib.suppress(RuntimeError):  # the caller has started it already
    tf.config.set_visible_devices([], 'GPU')
  return tf


def list_splits(data_dir: str) -> dict[str, str]:
  """The folder of each split that there is under `data_dir`."""
  found = {}
  for split in SPLITS:
    for root in _ROOTS:
      folder = os.path.join(data_dir, root, split)
      if split not in found and os.path.isdir(folder):
        found[split] = folder
  return found


def list_files(data_dir: str, split: str) -> list[str]:
  """The paths of a split's TFRecord files, sorted.

  Raises:
    UserError: the split or its files are not there.
  """
  found = list_splits(data_dir)
  if split not in found:
    tried = ' or '.join(os.path.join(data_dir, r, split) for r in _ROOTS)
    there = ', '.join(found) or 'none'
    raise UserError(
      f'no AudioSet split {split!r}: no folder {tried}; splits there:'
      f' {there}; unpack features.tar.gz there or set config.data_dir'
    )
  with os.scandir(found[split]) as entries:
    names = [entry.name for entry in entries]
  files = sorted(
    name
    for name in names
    if not name.startswith('.')
    and tfrecord.is_called_one(os.path.join(found[split], name))
  )
  if not files:
    raise UserError(
      f'{found[split]} has no *.tfrecord files ({len(names)} others): unpack'
      ' features.tar.gz again or set config.data_dir'
    )
  return [os.path.join(found[split], name) for name in files]


def listed_beside(folder, kind: str) -> list[dict[str, str]]:
  """What `features.embedded_recordings` says of the recordings in a split.

  Args:
    folder: of the split; a `pathlib.Path` or one of etils'.
    kind: 'skipped', of what was left out, or 'notes', of what is odd.

  Returns:
    A {'file', 'reason'} each; none of the release's own files.

  Raises:
    UserError: a list is damaged.
  """
  found = []
  for path in sorted(folder.glob(f'[!.]*.{kind}.json')):
    try:
      entries = json.loads(remote.read_bytes(os.fspath(path)).decode())
      found += [{k: str(e[k]) for k in ('file', 'reason')} for e in entries]
    except UNREADABLE as error:
      raise UserError(f'{path}: not a list of files and reasons') from error
  return found


def read_classes(data_dir: str) -> tuple[str, ...]:
  """The readable names of the classes, by index.

  Raises:
    UserError: the class list is missing or is not one.
  """
  return tuple(name for _, name in class_list.of_release(data_dir))


def pack(
  data_dir: str,
  split: str,
  out_folder: str,
  on_bad: str = 'error',
  progress: Callable[[int, int], None] | None = None,
  float_range: Sequence[float] = (),
) -> None:
  """Reads a split and writes it as a folder for `Examples.load`.

  Args:
    data_dir: the folder of the release.
    split: one of `SPLITS`.
    out_folder: what to write; in the order of files and of records in them.
    on_bad: 'error', or 'skip' to leave damaged records out and list them.
    progress: called with the number of files read, and of all files.
    float_range: as `clip_record.read` takes it.

  Raises:
    UserError: something is missing, or a record is damaged.
  """
  check_choice('config.on_bad', on_bad, ('error', 'skip'))
  paths = list_files(data_dir, split)
  classes = read_classes(data_dir)
  read = functools.partial(
    _read, classes=classes, on_bad=on_bad, float_range=float_range
  )
  chunks = _chunks(paths)
  n_files = n_examples = 0
  with Writer(out_folder, classes) as writer:
    parts = threads.map_in_order(read, chunks, min(8, os.cpu_count() or 1))
    for chunk, part in zip(chunks, parts, strict=True):
      if part.skipped and on_bad == 'error':
        raise UserError(_complaint(part.skipped[0]))
      writer.append(part)
      n_examples += len(part)
      n_files += len(chunk)
      if progress:
        progress(n_files, len(paths))
    if not n_examples:
      raise UserError(f'no whole record in {os.path.dirname(paths[0])}')


def _complaint(entry):
  return (
    f'{entry["file"]}, record {entry["record"]}: {entry["reason"]};'
    ' config.on_bad=skip skips such records and lists them'
  )


def _chunks(paths):
  """Cuts the list of files into lists of about `_CHUNK_BYTES`."""
  chunks: list[list[str]] = [[]]
  size = 0
  for path in paths:
    if chunks[-1] and size > _CHUNK_BYTES:
      chunks.append([])
      size = 0
    chunks[-1].append(path)
    with contextlib.suppress(OSError):  # reading it will tell
      size += os.path.getsize(path)
  return chunks


def _read(paths, classes, on_bad, float_range=()) -> Examples:
  """Reads files at once, or where anything is wrong, by halves down to one.

  With on_bad='error' it goes no further than the first damaged file.
  """
  part = _read_fast(paths, classes)
  if part is not None:
    return part
  if len(paths) == 1:
    return _read_carefully(paths[0], classes, float_range)
  middle = len(paths) // 2
  first = _read(paths[:middle], classes, on_bad, float_range)
  if first.skipped and on_bad == 'error':
    return first
  second = _read(paths[middle:], classes, on_bad, float_range)
  return Examples.concatenate([first, second])


def _read_fast(paths, classes) -> Examples | None:
  """Reads undamaged files; None if anything is wrong."""
  tf = import_tensorflow()
  try:
    n_bytes = [os.path.getsize(path) for path in paths]
    serialized = _records_reader()(tf.constant(paths))
    # TensorFlow takes a file that is empty, or cut right behind a length, for
    # one that ends there.
    if not all(n_bytes):
      return None
    payloads = tf.strings.length(serialized).numpy().astype(np.int64)
    if np.sum(payloads + tfrecord.FRAME) != sum(n_bytes):
      return None
    context, lists, _ = tf.io.parse_sequence_example(
      serialized,
      context_features={
        'video_id': tf.io.RaggedFeature(tf.string),
        'labels': tf.io.RaggedFeature(tf.int64),
      },
      sequence_features={'audio_embedding': tf.io.RaggedFeature(tf.string)},
    )
  except (OSError, tf.errors.OpError):
    return None
  ids, labels = context['video_id'], context['labels']
  frames = lists['audio_embedding']  # (example, frame, 1)
  n_segments = frames.row_lengths().numpy()
  n_labels = labels.row_lengths().numpy()
  names = ids.flat_values.numpy()
  labels = labels.flat_values.numpy()
  sizes = tf.strings.length(frames.flat_values).numpy()
  if not (
    (ids.row_lengths().numpy() == 1).all()
    and all(names)
    and (frames.values.row_lengths().numpy() == 1).all()
    and (sizes == EMBEDDING_SIZE).all()
    and (n_segments >= 1).all()
    and (n_labels >= 1).all()
    and ((labels >= 0) & (labels < len(classes))).all()
  ):
    return None
  frames = tf.io.decode_raw(frames.flat_values, tf.uint8).numpy()
  return _examples(names, frames, n_segments, labels, n_labels, classes, [])


@functools.cache
def _records_reader():
  """A function from paths to all their records; raises where there are none.

  Compiled, since to build a dataset anew takes 18 ms.
  """
  tf = import_tensorflow()

  @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
  def read(paths):
    records = tf.data.TFRecordDataset(paths, buffer_size=1 << 20)
    return records.batch(1 << 40).get_single_element()

  return read


def _examples(names, frames, n_segments, labels, n_labels, classes, skipped):
  """Puts checked fields together.

  Args:
    names: (example,) bytes.
    frames: (frame, 128) uint8 of all examples one after another.
    n_segments: (example,) how many of them each example has.
    labels: (label,) integers of all examples one after another.
    n_labels: (example,) how many of them each example has.
    classes: readable names.
    skipped: entries of what was left out.
  """
  n = len(n_segments)
  per_example = -(-n_segments // MAX_SEGMENTS)
  # Of a row how many frames: all of its example's but those of rows before.
  valid = np.full(per_example.sum(), MAX_SEGMENTS)
  valid[np.cumsum(per_example) - 1] -= per_example * MAX_SEGMENTS - n_segments
  embeddings = np.zeros((len(valid), MAX_SEGMENTS, EMBEDDING_SIZE), np.uint8)
  embeddings[np.arange(MAX_SEGMENTS) < valid[:, None]] = frames
  # One number for an example and a label sorts labels and drops repeats.
  keys = np.unique(np.repeat(np.arange(n), n_labels) * len(classes) + labels)
  rows, labels = np.divmod(keys, len(classes))
  return Examples(
    embeddings=embeddings,
    n_segments=n_segments.astype(
      np.uint8 if n_segments.max(initial=0) < 256 else np.int32
    ),
    label_ids=labels.astype(np.int16),
    label_offsets=offsets_of(np.bincount(rows, minlength=n)),
    ids=np.array(names, dtype='S'),
    classes=classes,
    skipped=skipped,
  )


def _read_carefully(path, classes, float_range=()) -> Examples:
  """Reads a file record by record, with a reason for each damaged one.

  A record without a video id is called by its file and number.
  """
  names, frames, n_segments, labels, n_labels = [], [], [], [], []
  skipped = []
  for index, (payload, reason) in enumerate(tfrecord.walk(path)):
    try:
      if reason:
        raise _Damage(reason)
      name, segments, of_clip = _parse(payload, len(classes), float_range)
    except _Damage as damage:
      skipped.append({'file': path, 'record': index, 'reason': str(damage)})
      continue
    names.append(name or os.fsencode(f'{os.path.basename(path)}:{index}'))
    frames.extend(segments)
    n_segments.append(len(segments))
    labels.extend(of_clip)
    n_labels.append(len(of_clip))
  return _examples(
    names,
    np.frombuffer(b''.join(frames), np.uint8).reshape(-1, EMBEDDING_SIZE),
    np.array(n_segments, np.int64),
    np.array(labels, np.int64),
    np.array(n_labels, np.int64),
    classes,
    skipped,
  )


class _Damage(Exception):
  """What is wrong with a record."""


def _parse(
  payload, n_classes, float_range=()
) -> tuple[bytes, list[bytes], list[int]]:
  """Takes a record apart: video id, b'' if it has none, frames, labels; or
  raises `_Damage`.
  """
  try:
    names, frames, labels = clip_record.read(payload, float_range)
  except ValueError as error:
    raise _Damage(str(error)) from error
  if not frames:
    raise _Damage('audio_embedding has 0 frames')
  if not labels:
    raise _Damage('no labels')
  for label in labels:
    if not 0 <= label < n_classes:
      raise _Damage(f'label {label} is outside 0 to {n_classes - 1}')
  return names[0] if names else b'', frames, labels


def write(records: Iterable[dict], path: str) -> None:
  """Writes clips as one file of the release's format.

  Args:
    records: clips as dicts of video_id (bytes), start_time_seconds,
      end_time_seconds, labels (integers) and audio_embedding, (segment, 128)
      uint8.
    path: of the file.
  """
  tf = import_tensorflow()
  with tf.io.TFRecordWriter(path) as writer:
    for record in records:
      writer.write(serialize(record))


def serialize(record: dict) -> bytes:
  """A clip, as `write` takes it, to a SequenceExample."""
  tf = import_tensorflow()

  def floats(value):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

  def data(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

  labels = tf.train.Int64List(value=[int(k) for k in record['labels']])
  context = {
    'video_id': data(record['video_id']),
    'start_time_seconds': floats(record['start_time_seconds']),
    'end_time_seconds': floats(record['end_time_seconds']),
    'labels': tf.train.Feature(int64_list=labels),
  }
  segments = np.asarray(record['audio_embedding'], np.uint8)
  frames = tf.train.FeatureList(feature=[data(s.tobytes()) for s in segments])
  example = tf.train.SequenceExample(
    context=tf.train.Features(feature=context),
    feature_lists=tf.train.FeatureLists(
      feature_list={'audio_embedding': frames}
    ),
  )
  # Equal clips give equal files.
  return example.SerializeToString(deterministic=True)
