"""A folder of recordings by TFDS is what `Clips` gives."""

import itertools
import pickle

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from aec_jax.audio import decode
from aec_jax.datasets.folders import from_folder
from aec_jax.errors import UserError
from aec_jax.tfds import AudioFolder


def tone(path, frames, rate=44100, channels=1):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (frames, channels) if channels > 1 else frames
  samples = np.random.default_rng(frames).integers(-9999, 9999, shape)
  soundfile.write(path, samples.astype(np.int16), rate)


@pytest.fixture
def recordings(tmp_path):
  root = tmp_path / 'recordings'
  tone(root / 'Dog/1-1-A.wav', 90, rate=16000, channels=2)
  tone(root / 'Dog/2-2-A.flac', 91)
  tone(root / 'Cat/1-3-A.wav', 92, rate=8000)
  tone(root / 'Cat/2-4-A.wav', 93)
  (root / 'Cat/3-5-A.wav').write_bytes(b'')
  return root


def test_audio_folder(recordings):
  builder = AudioFolder(recordings)
  clips = from_folder(recordings)
  assert tuple(builder.info.features['label'].names) == clips.classes
  assert builder.info.metadata['skipped'] == clips.skipped
  assert len(clips.skipped) == 1
  examples = list(tfds.as_numpy(builder.as_dataset(split='train')))
  assert len(examples) == builder.info.splits['train'].num_examples == 4
  for i, example in enumerate(examples):
    samples, rate = soundfile.read(clips.paths[i], always_2d=True)
    np.testing.assert_allclose(example['audio'], samples.mean(1), atol=1e-6)
    assert example['audio'].dtype == np.float32
    assert example['sample_rate'] == rate
    assert example['label'] == clips.labels[i]
    assert example['fold'] == clips.fold[i]
    assert example['verified']
    assert example['filename'].decode() == clips.ids[i]
  assert builder.download_and_prepare() is None
  assert sorted(p.name for p in recordings.iterdir()) == ['Cat', 'Dog']


def names_of(dataset):
  return [example['filename'].decode() for example in tfds.as_numpy(dataset)]


def test_audio_folder_parts_and_order(recordings):
  builder = AudioFolder(recordings)
  ids = builder.clips.ids.tolist()
  assert names_of(builder.as_dataset(split='train[:50%]')) == ids[:2]
  parts = builder.as_dataset(split='train[3:]+train[:1]')
  assert names_of(parts) == [ids[3], ids[0]]
  shuffled = names_of(builder.as_dataset(split='train', shuffle_files=True))
  assert sorted(shuffled) == sorted(ids)
  pairs = builder.as_dataset(split='train', as_supervised=True, batch_size=1)
  audio, label = next(iter(pairs))
  assert audio.shape == (1, 92) and label.shape == (1,)


def test_audio_folder_by_name(recordings):
  ids = from_folder(recordings).ids.tolist()
  clips, info = tfds.load(
    'audio_folder', split='train', data_dir=recordings, with_info=True
  )
  assert names_of(clips) == ids
  assert info.features['label'].names == ['Cat', 'Dog']
  assert list(tfds.load('audio_folder', data_dir=recordings)) == ['train']
  strict = {'on_bad': 'error'}
  with pytest.raises(UserError, match='empty'):
    tfds.load('audio_folder', data_dir=recordings, builder_kwargs=strict)
  with pytest.raises(UserError, match='needs data_dir'):
    tfds.load('audio_folder')


@pytest.mark.parametrize('seed', [None, 1])
def test_shuffled_parts_share_nothing_and_miss_nothing(recordings, seed):
  builder = AudioFolder(recordings)
  read_config = tfds.ReadConfig(shuffle_seed=seed)
  for parts in (
    ['train[:50%]', 'train[50%:]'],
    tfds.even_splits('train', 3),
    tfds.even_splits('train[1:]+train[:1]', 2),
  ):
    found = [
      names_of(
        builder.as_dataset(
          split=part, shuffle_files=True, read_config=read_config
        )
      )
      for part in parts
    ]
    assert sorted(itertools.chain(*found)) == sorted(builder.clips.ids)


def test_the_seed_is_the_order_s(recordings):
  builder = AudioFolder(recordings)

  def order(**config):
    dataset = builder.as_dataset(
      split='train', shuffle_files=True, read_config=tfds.ReadConfig(**config)
    )
    return tuple(tuple(names_of(dataset)) for _ in range(5))

  epochs = [order(shuffle_seed=seed) for seed in range(3)]
  assert epochs == [order(shuffle_seed=seed) for seed in range(3)]
  assert len(set(epochs)) == 3 and len(set(epochs[0])) > 1
  kept = order(shuffle_seed=0, shuffle_reshuffle_each_iteration=False)
  assert len(set(kept)) == 1


def test_read_configs_and_decoders_of_tfds(recordings):
  builder = pickle.loads(pickle.dumps(AudioFolder(recordings)))
  read_config = tfds.ReadConfig(add_tfds_id=True, repeat_filenames=True)
  dataset = builder.as_dataset(split='train', read_config=read_config).take(8)
  found = [clip['tfds_id'].decode() for clip in tfds.as_numpy(dataset)]
  assert found == 2 * builder.clips.ids.tolist()
  (clip, *_) = tfds.as_numpy(
    builder.as_dataset(
      split='train', decoders=tfds.decode.PartialDecoding({'label': True})
    )
  )
  assert set(clip) == {'label'}


def test_parts_of_files_are_cut_out(tmp_path):
  tone(tmp_path / 'a.wav', 1000, rate=1000)
  tone(tmp_path / 'b.wav', 500, rate=1000)
  (tmp_path / 'labels.csv').write_text(
    'file,label,start,end\na.wav,x,0.1,0.3\na.wav,y,0.5,0.9\nb.wav,x,,\n'
  )
  dataset = AudioFolder(tmp_path).as_dataset(split='train')
  found = {
    clip['filename'].decode(): clip['audio'] for clip in tfds.as_numpy(dataset)
  }
  whole, _ = soundfile.read(tmp_path / 'a.wav', dtype='float32')
  np.testing.assert_array_equal(found['a.wav:0.1-0.3'], whole[100:300])
  np.testing.assert_array_equal(found['a.wav:0.5-0.9'], whole[500:900])
  assert len(found['b.wav']) == 500


def test_each_file_of_many_parts_is_read_through_twice(
  tmp_path, monkeypatch, caplog
):
  tone(tmp_path / 'a.wav', 1000, rate=1000, channels=2)
  spans = [f'{i / 10},{(i + 1) / 10}' for i in range(9)]
  rows = [f'a.wav,{"xy"[i % 2]},{span}' for i, span in enumerate(spans)]
  # Of this one the first sample would be the one after the file's last.
  rows.append('a.wav,y,0.9999,1.0001')
  text = '\n'.join(['file,label,start,end', *rows])
  (tmp_path / 'labels.csv').write_text(text)
  builder, opened, blocks = AudioFolder(tmp_path), [], decode.blocks

  def counted(path, *rest):
    opened.append(path)
    return blocks(path, *rest)

  monkeypatch.setattr(decode, 'blocks', counted)
  sequential = tfds.ReadConfig(num_parallel_calls_for_decode=1)
  dataset = builder.as_dataset(split='train', read_config=sequential)
  clips = list(tfds.as_numpy(dataset))
  assert [len(clip['audio']) for clip in clips] == [100] * 9
  assert len(opened) == 2
  whole, _ = soundfile.read(tmp_path / 'a.wav', dtype='float32')
  found = np.concatenate([clip['audio'] for clip in clips])
  np.testing.assert_allclose(found, whole.mean(1)[:900], atol=1e-6)
  (line,) = [r.message for r in caplog.records if 'skipped' in r.message]
  assert line == (
    f'skipped: {tmp_path}/a.wav: has no samples from 0.9999 to 1.0 s'
  )


def test_clips_with_several_labels(tmp_path):
  for i, name in enumerate('abc'):
    tone(tmp_path / f'{name}.wav', 100 + i)
  (tmp_path / 'labels.csv').write_text(
    'file,labels\na.wav,x;y\nb.wav,y\nc.wav,z;x;y\n'
  )
  builder = AudioFolder(tmp_path)
  assert builder.info.features['labels'].feature.names == ['x', 'y', 'z']
  labels = [
    clip['labels'].tolist()
    for clip in tfds.as_numpy(builder.as_dataset(split='train'))
  ]
  assert labels == [[0, 1], [1], [0, 1, 2]]
  pairs = builder.as_dataset(split='train', as_supervised=True, batch_size=3)
  _, padded = next(iter(pairs))
  assert padded.shape == (3, 3)


def test_notes_and_what_stands_between_labels(tmp_path):
  tone(tmp_path / 'a.wav', 100)
  tone(tmp_path / 'b.wav', 101)
  (tmp_path / 'labels.csv').write_text(
    'file,label,by\na.wav,"x,y",me\nb.wav,z,me\n'
  )
  builder = AudioFolder(tmp_path)
  assert builder.info.features['label'].names == ['x,y', 'z']
  assert builder.info.metadata['notes'] == builder.clips.notes
  assert 'columns that are not used: by' in builder.clips.notes[-1]
  split = pickle.loads(pickle.dumps(AudioFolder(tmp_path, label_separator=',')))
  assert split.info.features['labels'].feature.names == ['x', 'y', 'z']


def test_audio_folder_leaves_out_what_has_become_unreadable(recordings):
  builder = AudioFolder(recordings)
  (recordings / 'Dog/2-2-A.flac').write_bytes(b'nothing')
  assert names_of(builder.as_dataset(split='train')) == [
    '1-3-A.wav',
    '2-4-A.wav',
    '1-1-A.wav',
  ]


def test_audio_folder_refuses(recordings):
  with pytest.raises(UserError, match=r"3-5-A.wav': empty"):
    AudioFolder(recordings, on_bad='error')
