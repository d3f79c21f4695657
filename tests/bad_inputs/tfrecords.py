"""Bad TFRecords, each in a release of AudioSet beside a good one."""

import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aec_jax.datasets import audioset_tfrecord, tfrecord
from aec_jax.datasets.examples import Examples
from tests.bad_inputs.case import READ, REFUSED, SKIPPED, Broken, Case

# Odd records that are read: as `predict` tags them.
_ODD = (
  '11 frames', 'an empty video_id', 'no video_id', 'a number as video_id',
  'two video_ids',
)  # fmt: skip


def tfrecord_cases(folder: Path) -> Iterator[Case]:
  """Each is packed with on_bad=error and with on_bad=skip."""
  for i, (what, data) in enumerate(_records()):
    root = write_release(folder / f'records{i}', data)
    for on_bad, wanted in (('error', REFUSED), ('skip', SKIPPED)):
      if what in _ODD:
        wanted = READ
      run = lambda root=root, on_bad=on_bad: _pack(root, on_bad)
      name = f'{what}, on_bad={on_bad}'
      yield Case('TFRecord', name, wanted, run, '01.tfrecord')
  for what, change in (
    ('no such split', lambda root: shutil.rmtree(root / 'features')),
    ('no files', lambda root: [
      p.unlink() for p in (root / 'features/eval').iterdir()]),
    ('no class list', lambda root: (
      root / 'class_labels_indices.csv').unlink()),
  ):  # fmt: skip
    root = write_release(folder / what, b'')
    change(root)
    run = lambda root=root: _pack(root, 'error')
    yield Case('TFRecord', what, REFUSED, run, str(root))


def _records() -> Iterator[tuple[str, bytes]]:
  """(what, bytes of a file) with a damaged record in each."""
  good = good_record()
  # One bit of every field of the framing, and of places in the payload.
  places = [
    *range(16),
    *range(16, len(good) - 4, 97),
    *range(len(good) - 4, len(good)),
  ]
  for place in places:
    flipped = bytearray(good)
    flipped[place] ^= 1 << place % 8
    yield f'bit {place % 8} of byte {place} flipped', bytes(flipped) + good
  for size in (1, 7, 8, 11, 12, 13, 40, 400, len(good) - 5, len(good) - 1):
    yield f'cut after {size} bytes', good + good[:size]
  yield 'an empty file', b''
  yield 'a text file', b'not a record\n' * 9
  yield 'zeros', bytes(100)
  yield 'a length past the end', struct.pack('<Q', 1 << 60) + good[8:]
  zeros = np.zeros((11, 128), np.uint8)
  for what, changes in (
    ('127-byte frames', {'audio_embedding': zeros[:10, :127]}),
    ('129-byte frames', {'audio_embedding': np.zeros((10, 129), np.uint8)}),
    ('frames of 0 bytes', {'audio_embedding': zeros[:10, :0]}),
    ('0 frames', {'audio_embedding': zeros[:0]}),
    ('11 frames', {'audio_embedding': zeros}),
    ('no labels', {'labels': []}),
    ('label 4 of 4 classes', {'labels': [0, 4]}),
    ('label -1', {'labels': [-1]}),
    ('label 2^40', {'labels': [1 << 40]}),
    ('an empty video_id', {'video_id': b''}),
  ):
    yield what, _framed(_record(**changes)) + good
  tf = audioset_tfrecord.import_tensorflow()
  example = tf.train.Example()
  example.features.feature['video_id'].bytes_list.value.append(b'x')
  yield (
    'an Example, not a SequenceExample',
    _framed(example.SerializeToString()),
  )
  for what, change in (
    ('no video_id', lambda r: r.context.feature.pop('video_id')),
    ('no labels at all', lambda r: r.context.feature.pop('labels')),
    ('no embedding', lambda r: r.feature_lists.feature_list.pop(
      'audio_embedding')),
    ('labels in words', lambda r: r.context.feature['labels'].bytes_list
     .value.append(b'dog')),
    ('a number as video_id', lambda r: r.context.feature['video_id']
     .int64_list.value.append(3)),
    ('two video_ids', lambda r: r.context.feature['video_id']
     .bytes_list.value.append(b'b')),
    ('floats as frames', lambda r: [
      f.float_list.value.append(1.0)
      for f in r.feature_lists.feature_list['audio_embedding'].feature]),
  ):  # fmt: skip
    record = tf.train.SequenceExample.FromString(_record())
    change(record)
    yield what, _framed(record.SerializeToString()) + good
  yield 'an empty record', _framed(b'') + good


def _record(**changes) -> bytes:
  """The payload of one clip, with fields changed."""
  clip = {
    'video_id': b'0123456789a', 'start_time_seconds': 0.0,
    'end_time_seconds': 10.0, 'labels': [0, 2],
    'audio_embedding': np.arange(1280).reshape(10, 128).astype(np.uint8),
    **changes,
  }  # fmt: skip
  return audioset_tfrecord.serialize(clip)


def _framed(payload: bytes) -> bytes:
  length = struct.pack('<Q', len(payload))
  crc = tfrecord._masked_crc32c
  return b''.join(
    [length, struct.pack('<I', crc(length)), payload,
     struct.pack('<I', crc(payload))]
  )  # fmt: skip


def good_record() -> bytes:
  """One clip, framed, as a file of a release has it."""
  return _framed(_record())


def write_release(root: Path, data: bytes) -> Path:
  """A release of one good file and one with `data`."""
  files = root / 'features' / 'eval'
  files.mkdir(parents=True)
  (files / '00.tfrecord').write_bytes(good_record() * 2)
  (files / '01.tfrecord').write_bytes(data)
  text = 'index,mid,display_name\n' + ''.join(
    f'{i},{i},c{i}\n' for i in range(4)
  )
  (root / 'class_labels_indices.csv').write_text(text)
  return root


def _pack(root: Path, on_bad: str) -> list[dict]:
  with tempfile.TemporaryDirectory() as out:
    audioset_tfrecord.pack(str(root), 'eval', f'{out}/packed', on_bad)
    packed = Examples.load(f'{out}/packed')
  if len(packed) < 2:
    raise Broken('the good records are gone')
  return packed.skipped
