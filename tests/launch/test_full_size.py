"""FSDKaggle2018 at its full size, at a small one."""

import os

import numpy as np
import pytest
import soundfile

from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UserError
from launch import full_size


@pytest.fixture
def lists(tmp_path, monkeypatch):
  monkeypatch.setattr(full_size, '_MEDIAN', 0.3)  # short: quick to make
  folder = tmp_path / 'meta'
  folder.mkdir()
  train = [f'{i}.wav,{"ab"[i % 2]},1' for i in range(8)]
  test = ['t0.wav,a,Public', 't1.wav,b,Private', 't2.wav,None,Ignored']
  for name, heading, rows in (
    ('train', 'fname,label,manually_verified', train),
    ('test', 'fname,label,usage', test),
  ):
    text = '\n'.join([heading, *rows]) + '\n'
    (folder / f'{name}_post_competition.csv').write_text(text)
  return folder


def test_it_is_kaggles_layout_with_a_wav_for_each_clip(lists, tmp_path):
  full_size.main([f'--lists={lists}', f'--out={tmp_path}/out', '--share=0.75'])
  clips = from_fsdkaggle2018(tmp_path / 'out')
  assert clips.split.tolist() == ['train'] * 6 + ['test'] * 2
  assert not clips.skipped and len(clips.notes) == 1  # the padding
  first = tmp_path / 'out/audio_train/0.wav'
  sound, rate = soundfile.read(first)
  assert rate == 44_100 and 0.3 * rate <= len(sound) <= 30 * rate
  # Again: what is there stays, what is missing comes as it was.
  before = first.stat().st_mtime_ns
  second = tmp_path / 'out/audio_train/1.wav'
  bytes_ = second.read_bytes()
  second.unlink()
  full_size.main([f'--lists={lists}', f'--out={tmp_path}/out', '--share=0.75'])
  assert first.stat().st_mtime_ns == before
  assert second.read_bytes() == bytes_


def test_lengths_are_as_they_are_said_to_be():
  found = full_size.seconds(sum(full_size.CLIPS), 0)
  assert found.min() >= 0.3 and found.max() == 30
  assert np.mean(found) == pytest.approx(6.8, abs=0.1)


@pytest.mark.parametrize('option', ['--share=0', '--lists=nowhere'])
def test_what_cannot_be_is_refused_in_a_line(option, lists, tmp_path):
  with pytest.raises(UserError, match='share|nowhere'):
    full_size.main([f'--lists={lists}', f'--out={tmp_path}/out', option])


def test_a_pipe_for_a_list_is_not_waited_for(lists, tmp_path):
  path = lists / 'train_post_competition.csv'
  path.unlink()
  os.mkfifo(path)
  with pytest.raises(UserError, match='a pipe, not a file: --lists is'):
    full_size.main([f'--lists={lists}', f'--out={tmp_path}/out'])
  assert not (tmp_path / 'out').exists()
