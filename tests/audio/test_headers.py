"""Headers that are odd: what they hold is heard right, or a doubt is said."""

import io
import struct

import numpy as np
import pytest
import soundfile

from tests.audio.hearing import heard
from tests.decoding.writing import ffmpeg, libsndfile, sound

RATE = 44100
X = sound(1.5, RATE)
NUMBERS = np.rint(X[:8000] * 32767).astype('<i2')


def chunk(name, body, size=None):
  return name + struct.pack('<I', len(body) if size is None else size) + body


def wave(data, size=None, before=b'', channels=1, rate=RATE, align=2):
  """A wav of 16 bits, whose header says `size` of the samples and `align`."""
  form = struct.pack(
    '<HHIIHH', 1, channels, rate, rate * align, align, 16
  )  # fmt: skip
  body = chunk(b'fmt ', form) + before + chunk(b'data', data, size)
  return chunk(b'RIFF', b'WAVE' + body)


def test_odd_wavs_are_heard_right(tmp_path):
  data = NUMBERS.tobytes()
  usual = wave(data)
  big = io.BytesIO()
  soundfile.write(big, X[:8000], RATE, format='WAV', endian='BIG')
  ds64 = struct.pack('<4sIQQQI', b'ds64', 28, 0, 0, 8000, 0)
  unfinished = b'RF64' + b'\xff' * 4 + b'WAVE' + ds64 + usual[12:40]
  # libsndfile takes `data` in a list for the samples.
  listed = chunk(b'LIST', b'INFO' + b'data' * 99)
  for name, odd, said in (
    ('tag.wav', b'ID3\3\0\0\0\0\2\0' + bytes(256) + usual, ''),
    ('big.wav', big.getvalue(), ''),
    ('list.wav', wave(data, before=listed), ''),
    (
      'a.bw64',
      unfinished.replace(b'RF', b'BW', 1) + b'\xff' * 4 + data,
      'empty',
    ),
    ('a.wav', wave(data, len(data) + 1), ''),
    ('b.wav', wave(data, align=4), 'it may be heard wrongly'),
  ):
    samples, rate, notes = heard(tmp_path, name, odd)
    np.testing.assert_allclose(samples[:8000], X[:8000, 0], atol=1e-4)
    assert rate == RATE and len(samples) == 8000
    assert [said in note for note in notes] == [True] * bool(said)


def test_coded_sound_that_is_called_pcm_is_heard(tmp_path):
  x = sound(1.5, 48000, 2)
  coded = ffmpeg(x, 48000, 'ac3', 'ac3', 448_000)
  for name, data in (
    ('a.wav', coded), ('b.wav', ffmpeg(x, 48000, 'spdif', 'ac3', 448_000)),
  ):  # fmt: skip
    samples, rate, _ = heard(
      tmp_path, name, wave(data, channels=2, rate=48000, align=4)
    )
    assert len(samples) / rate == pytest.approx(1.5, abs=0.05)
    assert np.std(samples) == pytest.approx(np.std(x.mean(1)), rel=0.1)


def test_what_ffmpeg_refuses_libsndfile_may_hear(tmp_path):
  data = libsndfile(X, RATE, 'AIFF')
  place = data.index(b'SSND') + 4
  samples, _, (note,) = heard(
    tmp_path, 'a.aiff', data[:place] + bytes(4) + data[place + 4 :]
  )
  assert 'its header is damaged' in note and len(samples) == len(X)
  samples, _, notes = heard(
    tmp_path, 'a.paf', libsndfile(X, RATE, 'PAF', 'PCM_24')
  )
  np.testing.assert_allclose(samples, X[:, 0], atol=1e-4)
  assert not notes
