"""FSDKaggle2018 by TFDS is what `Clips` gives."""

import functools
import hashlib
import http.server
import itertools
import shutil
import threading

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UserError
from aec_jax.tfds import fsdkaggle2018_dataset_builder as fsd

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


def test_fsd_as_users_load_it(zenodo, tmp_path):
  config = tfds.download.DownloadConfig(manual_dir=zenodo)
  load = functools.partial(
    tfds.load,
    'fsdkaggle2018',
    data_dir=tmp_path / 'tfds',
    download_and_prepare_kwargs={'download_config': config},
  )

  def names(split, **options):
    return [
      e['fname'].decode() for e in tfds.as_numpy(load(split=split, **options))
    ]

  everything = names('train')
  assert everything == ['c.wav', 'a.wav', 'b.wav']
  for parts in (['train[:50%]', 'train[50%:]'], tfds.even_splits('train', 2)):
    for options in ({}, {'shuffle_files': True}):
      found = [names(part, **options) for part in parts]
      assert sorted(itertools.chain(*found)) == sorted(everything)
  audio, label = next(iter(load(split='test', as_supervised=True)))
  assert audio.shape == (200,) and label == 0


def test_fsd_skips_what_only_reading_shows(zenodo, tmp_path):
  folder = zenodo / 'FSDKaggle2018.audio_train'
  soundfile.write(folder / 'c.wav', np.full(100, np.nan), 44100, 'FLOAT')
  tone(folder / 'a.wav', 50, rate=22050, channels=2)
  soundfile.write(folder / 'b.wav', np.zeros(100), 44100)
  (zenodo / 'FSDKaggle2018.audio_test/q.wav').unlink()
  builder = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds')
  prepare(builder, manual_dir=zenodo)
  clips = list(tfds.as_numpy(builder.as_dataset(split='train')))
  assert [clip['fname'] for clip in clips] == [b'a.wav', b'b.wav']
  assert len(clips[0]['audio']) == 100 and clips[0]['audio'].any()
  about = fsd.Fsdkaggle2018(data_dir=tmp_path / 'tfds').info.metadata
  assert about['skipped'][-1]['reason'] == 'holds NaN or infinite samples'
  absent = '1 test clips that are only padding are not there'
  assert about['notes'] == [
    {'file': '', 'reason': absent}, {'file': 'b.wav', 'reason': 'silent'},
  ]  # fmt: skip


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
    threading.Thread(
      target=running.serve_forever, args=(0.01,), daemon=True
    ).start()
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
