"""Embeddings read from TFRecords without TensorFlow."""

import gzip

import numpy as np
import pytest

from aec_jax.datasets import audioset_tfrecord, clip_record, tfrecord
from aec_jax.errors import UserError


def records(tmp_path):
  rng = np.random.default_rng(0)
  clips = [
    {
      'video_id': name,
      'start_time_seconds': 30.0,
      'end_time_seconds': 40.0,
      'labels': [3, 500],
      'audio_embedding': rng.integers(0, 256, (frames, 128), np.uint8),
    }
    for name, frames in ((b'-abc_DEF012', 10), (b'x', 1))
  ]
  path = str(tmp_path / 'a.tfrecord')
  audioset_tfrecord.write(clips, path)
  return clips, [payload for payload, _ in tfrecord.walk(path)]


def test_the_embeddings_are_those_that_were_written(tmp_path):
  clips, payloads = records(tmp_path)
  assert len(payloads) == 2
  for clip, payload in zip(clips, payloads, strict=True):
    name, frames = tfrecord.embeddings_of(payload)
    assert name.encode() == clip['video_id']
    found = np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
    np.testing.assert_array_equal(found, clip['audio_embedding'])


def test_a_cut_message_is_refused_or_short_but_never_wrong(tmp_path):
  clips, (payload, _) = records(tmp_path)
  whole = [row.tobytes() for row in clips[0]['audio_embedding']]
  for size in range(0, len(payload) - 1, 7):
    try:
      _, frames = tfrecord.embeddings_of(payload[:size])
    except ValueError:
      continue
    assert frames == whole[: len(frames)]


@pytest.mark.parametrize('payload', [b'\xff' * 40, b'\x0b', b'\x0a\x7f'])
def test_no_message_is_an_error(payload):
  with pytest.raises(ValueError, match='SequenceExample'):
    tfrecord.embeddings_of(payload)


def floats(values):
  tf = audioset_tfrecord.import_tensorflow()
  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def whole(values):
  tf = audioset_tfrecord.import_tensorflow()
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def data(*values):
  tf = audioset_tfrecord.import_tensorflow()
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def sequence(frames, key='audio_embedding', context=None):
  tf = audioset_tfrecord.import_tensorflow()
  return tf.train.SequenceExample(
    context=tf.train.Features(feature=context or {}),
    feature_lists=tf.train.FeatureLists(
      feature_list={key: tf.train.FeatureList(feature=frames)}
    ),
  ).SerializeToString()


def example(**features):
  tf = audioset_tfrecord.import_tensorflow()
  return tf.train.Example(
    features=tf.train.Features(feature=features)
  ).SerializeToString()


FRAMES = np.random.default_rng(0).integers(0, 256, (12, 128), np.uint8)


@pytest.mark.parametrize(
  ('name', 'make'),
  [
    ('', lambda: sequence([data(f.tobytes()) for f in FRAMES])),
    ('', lambda: sequence([floats(f) for f in FRAMES])),
    ('x', lambda: sequence([whole(f) for f in FRAMES], context={
      'video_id': data(b'x')})),
    ('y', lambda: sequence([data(f.tobytes()) for f in FRAMES], 'audio',
      {'id': data(b'y'), 'labels': whole([3])})),
    ('z', lambda: example(video_id=data(b'z'),
      audio_embedding=data(FRAMES.tobytes()))),
    ('', lambda: example(
      audio_embedding=data(*(f.tobytes() for f in FRAMES)))),
    ('', lambda: example(audio_embedding=floats(FRAMES.ravel()))),
  ],
)  # fmt: skip
def test_foreign_records_of_the_same_numbers_are_read(name, make):
  found, frames = tfrecord.embeddings_of(make())
  assert found == name
  assert b''.join(frames) == FRAMES.tobytes()


@pytest.mark.parametrize(
  ('make', 'reason'),
  [
    (lambda: sequence([floats(FRAMES[0] / 255)]), 'frame 0 has numbers from'),
    (
      lambda: sequence([whole(FRAMES[0].astype(int) - 1000)]),
      'whole, from 0 to 255',
    ),
    (
      lambda: sequence([data(FRAMES[0].astype('<f4').tobytes())]),
      'frame 0 has 512 bytes instead of 128: if they are float32',
    ),
    (lambda: sequence([floats([1.0] * 5)]), 'frame 0 has 5 numbers'),
    (lambda: sequence([], 'rgb'), 'no audio_embedding; it has rgb'),
    (lambda: example(mean_audio=floats(FRAMES[0])), 'video-level record'),
    (lambda: example(audio_embedding=data(bytes(100))), 'no multiple of 128'),
    (
      lambda: example(
        audio_embedding=data((FRAMES / 255).astype('<f4').tobytes())
      ),
      'frame 0 has numbers from 0.* say what they range over',
    ),
  ],
)
def test_other_numbers_are_refused_alike_in_training(tmp_path, make, reason):
  payload = make()
  with pytest.raises(ValueError, match=reason):
    tfrecord.embeddings_of(payload)
  with pytest.raises(audioset_tfrecord._Damage, match=reason):
    audioset_tfrecord._parse(payload, 527)


@pytest.mark.parametrize(
  'make',
  [
    lambda x: sequence([floats(f) for f in x]),
    lambda x: sequence([data(f.astype('<f4').tobytes()) for f in x]),
    lambda x: example(audio_embedding=floats(x.ravel())),
    lambda x: example(audio_embedding=data(x.astype('<f4').tobytes())),
    lambda x: example(audio_embedding=data(x.astype('<f8').tobytes())),
    lambda x: example(
      audio_embedding=data(*(f.astype('<f4').tobytes() for f in x))
    ),
  ],
)
@pytest.mark.parametrize(('low', 'high'), [(-2, 2), (0, 1), (-1, 127 / 128)])
def test_floats_whose_range_is_said(make, low, high):
  x = FRAMES / 255 * (high - low) + low
  _, frames = tfrecord.embeddings_of(make(x), (low, high))
  assert b''.join(frames) == FRAMES.tobytes()


def test_of_floats_what_is_outside_is_clipped_and_another_scale_refused():
  x = np.random.default_rng(0).standard_normal(128)
  x[:2] = -9, 9
  _, (frame,) = tfrecord.embeddings_of(sequence([floats(x)]), (-2, 2))
  assert frame[0] == 0 and frame[1] == 255
  for wrong in (x + 2, 100 * x, np.append(x[1:], np.nan)):
    with pytest.raises(ValueError, match='outside float_range'):
      tfrecord.embeddings_of(sequence([floats(wrong)]), (-2, 2))


@pytest.mark.parametrize('values', [(1,), (1, 1), (2, 1), (0, 'x'), (0, 1, 2)])
def test_a_range_is_two_ascending_numbers(values):
  with pytest.raises(UserError, match='--x is .* such as -2,2 or 0,1'):
    clip_record.check_range('--x', values)
  clip_record.check_range('--x', ())
  clip_record.check_range('--x', (-2, 2.0))


def test_compressed_files_and_impostors(tmp_path):
  records(tmp_path)
  packed = tmp_path / 'a.tfrecord.gz'
  content = (tmp_path / 'a.tfrecord').read_bytes()
  packed.write_bytes(gzip.compress(content))
  assert tfrecord.is_one(packed) and tfrecord.is_one(tmp_path / 'a.tfrecord')
  payloads = [payload for payload, _ in tfrecord.walk(packed)]
  assert [tfrecord.embeddings_of(p)[0] for p in payloads] == [
    '-abc_DEF012',
    'x',
  ]
  packed.write_bytes(gzip.compress(content)[:-9])
  ((payload, reason),) = tfrecord.walk(packed)
  assert payload is None and 'gzip file is damaged' in reason
  packed.write_text('<html>not here</html>')
  ((payload, reason),) = tfrecord.walk(packed)
  assert payload is None and 'an HTML page' in reason
  assert not tfrecord.is_one(packed)


@pytest.mark.parametrize(
  ('name', 'wanted'),
  [
    ('a.tfrecord', True), ('A.TFRecords', True), ('a.tfrec', True),
    ('a.tfrecord.gz', True), ('a.tfrecord-00000-of-00010', True),
    ('train-00003-of-00010', True), ('a.tfrecord.json', False),
    ('a.gz', False), ('tfrecord', False), ('a.tfr', True), ('a.record', True),
    ('a.records.gz', True), ('a.bin', False), ('my/record', False),
  ],
)  # fmt: skip
def test_names_of_tfrecord_files(name, wanted):
  assert tfrecord.is_named_so(name) == wanted


def test_any_file_that_holds_records_is_one_by_what_is_in_it(tmp_path):
  records(tmp_path)
  data = (tmp_path / 'a.tfrecord').read_bytes()
  for name, wanted in (('a.bin', True), ('a.bak', False)):
    (tmp_path / name).write_bytes(data)
    assert tfrecord.is_called_one(str(tmp_path / name)) == wanted
  (tmp_path / 'a.bin').write_bytes(b'weights of a model')
  assert not tfrecord.is_called_one(str(tmp_path / 'a.bin'))
