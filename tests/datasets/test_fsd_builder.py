"""The TFDS builders give what `Clips` gives."""

import functools
import hashlib
import http.server
import shutil
import threading

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UserError
from aec_jax.tfds import fsdkaggle2018_dataset_builder as fsd
from aec_jax.tfds.audio_folder_dataset_builder import AudioFolder

TRAIN = """fname,label,manually_verified
c.wav,Cello,0
a.wav,Bark,1
b.wav,Cello,1
lost.wav,Cello,1
"""
TEST = """fname,label,usage
p.wav,Bark,Public
q.wav,None,Ignored
"""


def tone(path, frames, rate=44100, channels=1):
  path.parent.mkdir(parents=True, exist_ok=True)
  shape = (frames, channels) if channels > 1 else frames
  samples = np.random.default_rng(frames).integers(-9999, 9999, shape)
  samples[-1] = 0  # Two zero bytes at the end.
  soundfile.write(path, samples.astype(np.int16), rate)


@pytest.fixture
def zenodo(tmp_path):
  root = tmp_path / 'zenodo'
  meta = root / 'FSDKaggle2018.meta'
  meta.mkdir(parents=True)
  (meta / 'train_post_competition.csv').write_text(TRAIN)
  (meta / 'test_post_competition.csv').write_text(TEST)
  for i, name in enumerate('abc'):
    tone(root / f'FSDKaggle2018.audio_train/{name}.wav', 100 + i)
  for i, name in enumerate('pq'):
    tone(root / f'FSDKaggle2018.audio_test/{name}.wav', 200 + i)
  return root


def prepare(builder, **config):
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(**config)
  )


def assert_equals_clips(builder, root):
  clips = from_fsdkaggle2018(root)
  assert tuple(builder.info.features['label'].names) == clips.classes
  assert builder.info.features['audio'].sample_rate == 44100
  for split in ('train', 'test'):
    part = clips.select(clips.split == split)
    examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
    assert len(examples) == len(part) == builder.info.splits[split].num_examples
    for i, example in enumerate(examples):
      samples, _ = soundfile.read(part.paths[i], dtype='int16')
      assert example['audio'].dtype == np.int16
      np.testing.assert_array_equal(example['audio'], samples)
      assert example['fname'].decode() == part.ids[i]
      assert example['usage'].decode() == part.usage[i]
      assert example['label'] == part.labels[i]
      assert example['verified'] == part.verified[i]


def test_fsd_from_a_manual_folder(zenodo, tmp_path):
  builder = tfds.builder('fsdkaggle2018', data_dir=tmp_path / 'tfds')
  prepare(builder, manual_dir=zenodo)
  assert_equals_clips(builder, zenodo)
  again = tfds.builder('fsdkaggle2018', data_dir=tmp_path / 'tfds')
  assert again.info.metadata['skipped'] == [
    {'file': 'FSDKaggle2018.audio_train/lost.wav', 'reason': 'missing'}
  ]
  assert_equals_clips(again, zenodo)


def test_fsd_skips_what_only_reading_shows(zenodo, tmp_path):
  tone(zenodo / 'FSDKaggle2018.audio_train/c.wav', 50, rate=22050)
  builder = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds')
  prepare(builder, manual_dir=zenodo)
  names = [e['fname'] for e in tfds.as_numpy(builder.as_dataset(split='train'))]
  assert names == [b'a.wav', b'b.wav']
  skipped = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds').info.metadata
  assert '22050 Hz' in skipped['skipped'][-1]['reason']


@pytest.fixture
def server(zenodo, tmp_path, monkeypatch):
  """The archives, on a server of this machine."""
  md5 = {}
  archives = tmp_path / 'archives'
  for name in fsd.MD5:
    folder = name.removesuffix('.zip')
    path = shutil.make_archive(archives / folder, 'zip', zenodo, folder)
    with open(path, 'rb') as f:
      md5[name] = hashlib.file_digest(f, 'md5').hexdigest()

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
      pass

  handler = functools.partial(Quiet, directory=archives)
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    threading.Thread(target=running.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{running.server_port}/'
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(fsd, 'URL', url)
    monkeypatch.setattr(fsd, 'MD5', md5)
    yield md5
    running.shutdown()


def test_fsd_downloads(server, zenodo, tmp_path):
  builder = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds')
  prepare(builder)
  assert_equals_clips(builder, zenodo)


def test_fsd_refuses_another_archive(server, tmp_path):
  server['FSDKaggle2018.meta.zip'] = '0' * 32
  builder = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds')
  with pytest.raises(UserError, match=r'FSDKaggle2018.meta.zip: the MD5') as e:
    prepare(builder)
  assert '\n' not in str(e.value)


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
