"""The reader of the AudioSet release on small folders made here."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aec_jax.datasets import audioset_tfrecord, tfrecord
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError

K = 20  # classes

in_any_folder = settings(
  max_examples=15,
  deadline=None,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def clip(number, n_segments=10, labels=(0,)):
  rng = np.random.default_rng(number)
  return {
    'video_id': b'id%09d' % number,
    'start_time_seconds': 30.0,
    'end_time_seconds': 40.0,
    'labels': labels,
    'audio_embedding': rng.integers(0, 256, (n_segments, 128), np.uint8),
  }


def make_release(folder, files, split='bal_train', root='features'):
  """Writes {file name: clips} and a class list; returns the folder."""
  (folder / root / split).mkdir(parents=True, exist_ok=True)
  for name, clips in files.items():
    audioset_tfrecord.write(clips, str(folder / root / split / name))
  (folder / 'csv').mkdir(exist_ok=True)
  lines = [f'{k},/m/{k},"Class {k}, or so"' for k in range(K)]
  (folder / 'csv/class_labels_indices.csv').write_text(
    '\n'.join(['index,mid,display_name', *lines])
  )
  return folder


def read(folder, split='bal_train', **kwargs):
  audioset_tfrecord.pack(folder, split, folder / 'packed', **kwargs)
  return Examples.load(folder / 'packed')


def ids(examples):
  return [int(name[2:]) for name in examples.ids]


@in_any_folder
@given(
  st.lists(
    st.tuples(
      st.integers(1, 10),
      st.sets(st.integers(0, K - 1), min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=12,
  ),
  st.integers(1, 5),
)
def test_pack_reads_what_was_written(tmp_path_factory, shapes, per_file):
  clips = [clip(i, n, labels) for i, (n, labels) in enumerate(shapes)]
  files = {
    f'{i:02d}.tfrecord': clips[i : i + per_file]
    for i in range(0, len(clips), per_file)
  }
  examples = read(make_release(tmp_path_factory.mktemp('release'), files))
  assert examples.embeddings.shape == (len(clips), 10, 128)
  assert examples.embeddings.dtype == np.uint8
  assert examples.skipped == []
  for i, one in enumerate(clips):
    n = len(one['audio_embedding'])
    assert examples.ids[i] == one['video_id']
    assert examples.n_segments[i] == n
    np.testing.assert_array_equal(
      examples.embeddings[i, :n], one['audio_embedding']
    )
    assert not examples.embeddings[i, n:].any()
    assert set(np.flatnonzero(examples.labels.multi_hot()[i])) == one['labels']


def test_labels_become_ascending_and_unique(tmp_path):
  files = {'a.tfrecord': [clip(0, labels=(7, 3, 7)), clip(1, labels=(2,))]}
  examples = read(make_release(tmp_path, files))
  assert list(examples.label_ids) == [3, 7, 2]
  assert list(examples.label_offsets) == [0, 2, 3]


def test_order_is_by_file_name_then_record(tmp_path, monkeypatch):
  files = {
    'b.tfrecord': [clip(4), clip(3)],
    '_-.tfrecord': [clip(2)],
    '--.tfrecord': [clip(9), clip(0)],
    'B.tfrecord': [clip(5)],
  }
  whole = read(make_release(tmp_path, files))
  assert ids(whole) == [9, 0, 5, 2, 4, 3]
  monkeypatch.setattr(audioset_tfrecord, '_CHUNK_BYTES', 1)
  assert read(tmp_path).fingerprint() == whole.fingerprint()


def test_progress_ends_at_all_files(tmp_path):
  files = {f'{i}.tfrecord': [clip(i)] for i in range(3)}
  calls = []
  read(make_release(tmp_path, files), progress=lambda *call: calls.append(call))
  assert calls[-1] == (3, 3)


# What is missing.


@pytest.mark.parametrize('root', ['features', 'audioset_v1_embeddings', '.'])
def test_each_layout_of_the_archive_is_found(tmp_path, root):
  make_release(tmp_path, {'a.tfrecord': [clip(1)]}, root=root)
  assert ids(read(tmp_path)) == [1]


def user_error(function, *args, **kwargs):
  with pytest.raises(UserError) as error:
    function(*args, **kwargs)
  assert '\n' not in str(error.value)
  return str(error.value)


def test_an_absent_split_is_named_with_those_there(tmp_path):
  make_release(tmp_path, {'a.tfrecord': [clip(1)]}, 'eval')
  message = user_error(read, tmp_path, 'unbal_train')
  assert 'unbal_train' in message
  assert 'splits there: eval;' in message
  assert str(tmp_path / 'features' / 'unbal_train') in message


def test_an_absent_folder_is_named(tmp_path):
  message = user_error(read, tmp_path / 'nothing')
  assert str(tmp_path / 'nothing') in message


def test_a_split_without_files_is_named(tmp_path):
  make_release(tmp_path, {'a.tfrecord.part': [clip(1)]})
  message = user_error(read, tmp_path)
  assert str(tmp_path / 'features' / 'bal_train') in message
  assert '*.tfrecord' in message


def test_a_missing_class_list_is_named(tmp_path):
  make_release(tmp_path, {'a.tfrecord': [clip(1)]})
  os.remove(tmp_path / 'csv/class_labels_indices.csv')
  message = user_error(read, tmp_path)
  assert str(tmp_path / 'csv' / 'class_labels_indices.csv') in message


@pytest.mark.parametrize(
  'text',
  [
    '',
    'index,mid,display_name\n',
    'index,mid\n0,/m/0\n',
    'index,mid,display_name\n1,/m/1,"One"\n',
    'index,mid,display_name\nzero,/m/0,"Zero"\n',
  ],
)
def test_what_is_no_class_list_is_refused(tmp_path, text):
  path = tmp_path / 'class_labels_indices.csv'
  path.write_text(text)
  assert str(path) in user_error(audioset_tfrecord.read_classes, tmp_path)


def test_classes_are_read_with_their_commas(tmp_path):
  make_release(tmp_path, {})
  classes = audioset_tfrecord.read_classes(tmp_path)
  assert len(classes) == K
  assert classes[3] == 'Class 3, or so'


# What is damaged: each of these turns the middle one of three records bad.


def rewritten(change):
  """Changes the record's SequenceExample, or puts other bytes in its place."""

  def damage(path):
    tf = audioset_tfrecord.import_tensorflow()
    payloads = [payload for payload, _ in tfrecord.walk(path)]
    example = tf.train.SequenceExample.FromString(payloads[1])
    payloads[1] = change(example) or example.SerializeToString()
    with tf.io.TFRecordWriter(path) as writer:
      for payload in payloads:
        writer.write(payload)

  return damage


def flipped(offset):
  """Flips a bit in the record's byte at `offset`, or counted from its end."""

  def damage(path):
    with open(path, 'r+b') as file:
      data = bytearray(file.read())
      size = len(data) // 3
      data[size + offset % size] ^= 16
      file.seek(0)
      file.write(data)

  return damage


def with_frames(sizes):
  def change(example):
    value = example.feature_lists.feature_list['audio_embedding']
    value.ClearField('feature')
    for size in sizes:
      value.feature.add().bytes_list.value.append(bytes(size))

  return change


def without_bytes_in_a_frame(example):
  lists = example.feature_lists.feature_list
  lists['audio_embedding'].feature[4].Clear()


def without_list(example):
  del example.feature_lists.feature_list['audio_embedding']


def without(key):
  def change(example):
    del example.context.feature[key]

  return change


def with_labels(*labels):
  def change(example):
    example.context.feature['labels'].int64_list.value[:] = labels

  return change


def with_float_labels(example):
  example.context.feature['labels'].float_list.value[:] = [1.0]


def with_empty_id(example):
  example.context.feature['video_id'].bytes_list.value[:] = [b'']


DAMAGES = [
  ('not a SequenceExample', rewritten(lambda _: b'\x0a\xff no proto')),
  ('no audio_embedding', rewritten(without_list)),
  ('0 frames', rewritten(with_frames([]))),
  ('frame 2 has 127 bytes', rewritten(with_frames([128, 128, 127]))),
  ('frame 0 has 129 bytes', rewritten(with_frames([129, 127]))),
  ('frame 4 has 0 bytes', rewritten(without_bytes_in_a_frame)),
  ('no labels', rewritten(without('labels'))),
  ('no labels', rewritten(with_labels())),
  ('no labels', rewritten(with_float_labels)),
  (f'label {K} is outside 0 to {K - 1}', rewritten(with_labels(3, K))),
  ('label -1 is outside', rewritten(with_labels(-1))),
  ('checksum of the payload', flipped(12)),
  ('checksum of the payload', flipped(700)),
  ('checksum of the payload', flipped(-1)),
]
LOSES_THE_REST = [
  ('checksum of the length', flipped(0)),
  ('checksum of the length', flipped(7)),
  ('checksum of the length', flipped(11)),
]


@pytest.fixture
def release(tmp_path):
  """A release with three records in the second of three files."""
  files = {
    'a.tfrecord': [clip(1, 7)],
    'b.tfrecord': [clip(2), clip(3), clip(4, labels=(1, 5))],
    'c.tfrecord': [clip(5)],
  }
  return make_release(tmp_path, files)


def middle_file(release):
  return str(release / 'features/bal_train/b.tfrecord')


@pytest.mark.parametrize('damage', [without('video_id'), with_empty_id])
def test_a_record_without_an_id_is_called_by_its_number(release, damage):
  whole = read(release)
  rewritten(damage)(middle_file(release))
  examples = read(release)
  assert examples.ids[2] == b'b.tfrecord:1'
  np.testing.assert_array_equal(examples.embeddings, whole.embeddings)


@pytest.mark.parametrize('careful', [False, True])
def test_long_clips_take_several_rows(tmp_path, careful):
  clips = [clip(0, 3), clip(1, 23), clip(2, 10), clip(3, 300)]
  folder = make_release(tmp_path, {'a.tfrecord': clips})
  if careful:
    rewritten(with_empty_id)(str(folder / 'features/bal_train/a.tfrecord'))
  examples = read(folder)
  assert examples.embeddings.shape == (1 + 3 + 1 + 30, 10, 128)
  assert examples.n_segments.tolist() == [3, 23, 10, 300]
  assert len(examples) == len(examples.labels) == 4
  bounds = examples.row_offsets
  for i, one in enumerate(clips):
    rows = examples.embeddings[bounds[i] : bounds[i + 1]].reshape(-1, 128)
    n = len(one['audio_embedding'])
    np.testing.assert_array_equal(rows[:n], one['audio_embedding'])
    assert not rows[n:].any()


def test_floats_are_read_where_their_range_is_said(release):
  whole = read(release)

  def to_floats(example):
    for feature in example.feature_lists.feature_list[
      'audio_embedding'
    ].feature:
      numbers = np.frombuffer(feature.bytes_list.value[0], np.uint8)
      feature.float_list.value[:] = numbers * np.float32(4 / 255) - 2

  rewritten(to_floats)(middle_file(release))
  assert 'float_range' in user_error(read, release)
  assert read(release, float_range=(-2, 2)).fingerprint() == whole.fingerprint()
  assert 'outside float_range' in user_error(read, release, float_range=(0, 1))


@pytest.mark.parametrize(('reason', 'damage'), DAMAGES + LOSES_THE_REST)
def test_damage_is_an_error_that_says_where_and_what(release, reason, damage):
  damage(middle_file(release))
  message = user_error(read, release)
  assert f'{middle_file(release)}, record 1: ' in message
  assert reason in message
  assert 'config.on_bad=skip' in message


@pytest.mark.parametrize(('reason', 'damage'), DAMAGES)
def test_a_damaged_record_alone_is_skipped(release, reason, damage):
  whole = read(release)
  damage(middle_file(release))
  examples = read(release, on_bad='skip')
  assert ids(examples) == [1, 2, 4, 5]
  (entry,) = examples.skipped
  assert (entry['file'], entry['record']) == (middle_file(release), 1)
  assert reason in entry['reason']
  kept = [0, 1, 3, 4]
  np.testing.assert_array_equal(examples.embeddings, whole.embeddings[kept])
  np.testing.assert_array_equal(examples.n_segments, whole.n_segments[kept])
  np.testing.assert_array_equal(
    examples.labels.multi_hot(), whole.labels.multi_hot()[kept]
  )


@pytest.mark.parametrize(('reason', 'damage'), LOSES_THE_REST)
def test_a_damaged_length_loses_the_rest_of_its_file(release, reason, damage):
  damage(middle_file(release))
  examples = read(release, on_bad='skip')
  assert ids(examples) == [1, 2, 5]
  (entry,) = examples.skipped
  assert (entry['file'], entry['record']) == (middle_file(release), 1)
  assert reason in entry['reason']


def test_two_damaged_records_are_two_entries_and_the_first_is_the_error(
  release,
):
  flipped(-1)(middle_file(release))
  audioset_tfrecord.write(
    [clip(8, labels=())], str(release / 'features/bal_train/a.tfrecord')
  )
  assert 'a.tfrecord, record 0: no labels' in user_error(read, release)
  examples = read(release, on_bad='skip')
  assert ids(examples) == [2, 4, 5]
  assert [entry['record'] for entry in examples.skipped] == [0, 1]


def test_cut_anywhere_the_records_before_the_cut_survive(tmp_path):
  clips = [clip(i, n_segments=1) for i in range(3)]
  files = {'a.tfrecord': clips, 'b.tfrecord': [clip(9)]}
  make_release(tmp_path, files)
  path = tmp_path / 'features/bal_train/a.tfrecord'
  data = path.read_bytes()
  size = len(data) // 3
  near_borders = [
    record * size + offset
    for record in range(3)
    for offset in (0, 1, 8, 11, 12, 13, size - 4, size - 1)
  ]
  for cut in sorted({*near_borders, *range(0, len(data), 97)}):
    path.write_bytes(data[:cut])
    survivors = cut // size
    # A cut between two records leaves no trace, but for an empty file.
    traceless = cut % size == 0 and cut > 0
    assert tfrecord.count_records(str(path)) == survivors
    examples = read(tmp_path, on_bad='skip')
    assert ids(examples) == [*range(survivors), 9]
    if traceless:
      assert examples.skipped == []
    else:
      (entry,) = examples.skipped
      assert (entry['file'], entry['record']) == (str(path), survivors)
      assert ('truncated' if cut else 'empty') in entry['reason']


def test_an_unreadable_file_is_damage(release):
  os.remove(middle_file(release))
  os.symlink('nowhere', middle_file(release))
  assert 'cannot be read' in user_error(read, release)
  assert ids(read(release, on_bad='skip')) == [1, 5]


def test_a_split_without_a_whole_record_is_an_error(tmp_path):
  make_release(tmp_path, {'a.tfrecord': [clip(0, labels=())]})
  message = user_error(read, tmp_path, on_bad='skip')
  assert str(tmp_path / 'features' / 'bal_train') in message


def test_on_bad_takes_error_or_skip(release):
  assert "'ignore'" in user_error(read, release, on_bad='ignore')


def test_a_failed_pack_leaves_nothing_that_loads(release):
  flipped(-1)(middle_file(release))
  user_error(read, release)
  with pytest.raises(UserError):
    Examples.load(release / 'packed')
