"""The synthetic set: its shape, its lists, and that it is all or nothing."""

import collections
import filecmp
import os

import numpy as np
import pytest
import soundfile

from aec_jax.datasets import synthetic_fsd
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UserError


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp('synthetic') / 'fsd'
  return synthetic_fsd.make(path, clips_per_class=3, test_per_class=1)


def test_is_shaped_as_the_real_set(folder):
  clips = from_fsdkaggle2018(folder, on_bad='error')
  assert clips.classes == tuple(sorted(synthetic_fsd.SOUNDS))
  assert len(clips.classes) == 41
  train = clips.select(clips.split == 'train')
  assert np.all(np.diff([int(name[:-4], 16) for name in train.ids]) > 0)
  assert 110 < len(train) < 136
  assert 0.2 < train.verified.mean() < 0.6
  usage = collections.Counter(clips.usage[clips.split == 'test'].tolist())
  assert usage['Public'] + usage['Private'] == 41
  assert usage['Ignored'] == 6
  assert np.all((clips.labels == -1) == (clips.usage == 'Ignored'))


def test_audio(folder):
  clips = from_fsdkaggle2018(folder)
  seconds = []
  for path in clips.paths:
    info = soundfile.info(path)
    assert (info.samplerate, info.channels) == (44100, 1)
    assert info.subtype == 'PCM_16'
    seconds.append(info.duration)
  assert min(seconds) == pytest.approx(0.3, abs=1e-4)
  assert max(seconds) == pytest.approx(30.0, abs=1e-4)
  assert 1.5 < np.mean(seconds) < 5


@pytest.mark.parametrize('seconds', [0.3, 1.7])
@pytest.mark.parametrize('name', synthetic_fsd.SOUNDS)
def test_every_sound_is_heard(name, seconds):
  sound = synthetic_fsd.SOUNDS[name]
  a = synthetic_fsd.clip(np.random.default_rng(1), sound, seconds)
  b = synthetic_fsd.clip(np.random.default_rng(2), sound, seconds)
  assert a.dtype == np.int16 and a.shape == (round(seconds * 44100),)
  assert np.abs(a).max() > 1000 and np.abs(a.astype(int)).max() <= 32767
  assert not np.array_equal(a, b)


def test_glides_go_where_their_names_say():
  def pitch(wave):
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return np.argmax(spectrum) * 44100 / len(wave)

  t = np.arange(44100) / 44100
  for name, sign in {'chirp-up': 1, 'chirp-down': -1}.items():
    wave = synthetic_fsd.SOUNDS[name](np.random.default_rng(0), t, 400.0)
    octaves = np.log2(pitch(wave[-4410:]) / pitch(wave[:4410]))
    assert sign * octaves == pytest.approx(1.8, abs=0.3)


def test_is_a_function_of_the_seed(folder, tmp_path):
  (tmp_path / 'b').mkdir()  # An empty folder may be there.
  a, b = (synthetic_fsd.make(tmp_path / name, 5, 1, 1) for name in 'ab')
  for inner in ('', 'audio_train', 'audio_test'):
    names = sorted(os.listdir(os.path.join(a, inner)))
    files = [n for n in names if '.' in n]
    same, *others = filecmp.cmpfiles(
      os.path.join(a, inner), os.path.join(b, inner), files, shallow=False
    )
    assert sorted(same) == files
    assert others == [[], []]
  both = [set(os.listdir(os.path.join(f, 'audio_test'))) for f in (a, folder)]
  assert not both[0] & both[1]
  assert len(from_fsdkaggle2018(a).classes) == 41


def test_is_made_once(folder):
  before = os.stat(os.path.join(folder, 'train.csv')).st_mtime_ns
  assert synthetic_fsd.make(folder, 0, 3, 1) == folder
  assert os.stat(os.path.join(folder, 'train.csv')).st_mtime_ns == before
  with pytest.raises(UserError, match='not the synthetic set'):
    synthetic_fsd.make(folder, 1, 3, 1)


def test_does_not_overwrite(tmp_path):
  (tmp_path / 'mine.txt').write_text('keep')
  with pytest.raises(UserError, match='not empty'):
    synthetic_fsd.make(tmp_path)
  with pytest.raises(UserError, match='1 or more'):
    synthetic_fsd.make(tmp_path / 'x', clips_per_class=0)


def test_leaves_nothing_behind(tmp_path, monkeypatch):
  def fail(*args, **kwargs):
    raise KeyboardInterrupt

  monkeypatch.setattr(synthetic_fsd.soundfile, 'write', fail)
  with pytest.raises(KeyboardInterrupt):
    synthetic_fsd.make(tmp_path / 'x', 0, 1, 1)
  assert os.listdir(tmp_path) == []


def test_why_a_sound_cannot_be_written_is_said():
  with pytest.raises(OSError, match='No space left on device'):
    synthetic_fsd.write_wav('/dev/full', np.zeros(9))
