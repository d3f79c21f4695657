"""A file that is cut short, damaged or of odd chunks says so, others do not."""

import io

import numpy as np
import pytest

from aec_jax.audio import decode, stream, waveform
from tests.audio.hearing import heard
from tests.decoding import writing
from tests.decoding.writing import cut, damaged, ffmpeg, libsndfile, mp3, sound

RATE = 44100
X, STEREO = sound(1.5, RATE), sound(1.5, RATE, 2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(stream, '_BLOCK', 8192)


CUT = (
  'a.wav', 'a.flac', 'a.aiff', 'a.mp3', 'a.m4a', 'ulaw.wav', 'a.webm', 'a.caf',
  'a.w64', 'a.rf64', 'a.flv', 'a.avi', 'a.sph', 'ima.wav', 'ms.wav', 's64.wav',
  'bw64.wav',
)  # fmt: skip


@pytest.mark.parametrize('name', CUT)
def test_a_file_cut_short_is_heard_as_far_as_it_goes(tmp_path, name):
  x = sound(3, RATE)
  data = {
    'a.wav': lambda: libsndfile(x, RATE, 'WAV'),
    'ulaw.wav': lambda: libsndfile(x, RATE, 'WAV', 'ULAW'),
    'a.flac': lambda: libsndfile(x, RATE, 'FLAC'),
    'a.aiff': lambda: libsndfile(x, RATE, 'AIFF'),
    'a.mp3': lambda: mp3(x, RATE, xing=True),
    'a.m4a': lambda: ffmpeg(
      x, RATE, 'ipod', 'aac', 96_000, {'movflags': 'faststart'}
    ),
    'a.webm': lambda: ffmpeg(sound(3, 48000), 48000, 'webm', 'libopus'),
    'a.caf': lambda: libsndfile(x, RATE, 'CAF'),
    'a.w64': lambda: libsndfile(x, RATE, 'W64'),
    'a.rf64': lambda: libsndfile(x, RATE, 'RF64'),
    'bw64.wav': lambda: b'BW64' + libsndfile(x, RATE, 'RF64')[4:],
    'a.flv': lambda: ffmpeg(x, RATE, 'flv', 'libmp3lame', 96_000),
    'a.avi': lambda: ffmpeg(x, RATE, 'avi', 'libmp3lame', 96_000),
    'a.sph': lambda: libsndfile(x, RATE, 'NIST'),
    'ima.wav': lambda: ffmpeg(x, RATE, 'wav', 'adpcm_ima_wav'),
    'ms.wav': lambda: ffmpeg(x, RATE, 'wav', 'adpcm_ms'),
    's64.wav': lambda: ffmpeg(x, RATE, 'wav', 'pcm_s64le'),
  }[name]()
  *_, notes = heard(tmp_path, name, data)
  assert not notes
  samples, rate, notes = heard(tmp_path, name, cut(data, 0.7))
  assert 1.5 < len(samples) / rate < 2.5
  (note,) = (note for note in notes if note.startswith('ends after'))
  of = float(note.split('of the ')[1].split(' s')[0])
  assert of == pytest.approx(3, abs=0.25)


OGGS = {
  'a.ogg': lambda: libsndfile(sound(3, RATE), RATE, 'OGG', 'VORBIS'),
  'a.opus': lambda: libsndfile(sound(3, 48000), 48000, 'OGG', 'OPUS'),
  'libopus.ogg': lambda: ffmpeg(sound(3, 48000), 48000, 'ogg', 'libopus'),
}


@pytest.mark.parametrize('name', OGGS)
def test_an_ogg_without_its_end_is_noted(tmp_path, name):
  whole = OGGS[name]()
  assert not heard(tmp_path, name, whole * 2)[2]
  for data in (cut(whole, 0.7), cut(whole, 0.7) + whole):
    *_, notes = heard(tmp_path, name, data)
    assert any(note.startswith('has no mark of its end') for note in notes)


@pytest.mark.parametrize('first', [0.3, 0.6, 0.83])
@pytest.mark.parametrize('name', [*OGGS, 'piped.flac'])
def test_what_a_demuxer_passes_over_is_noted(tmp_path, name, first):
  data = {
    **OGGS,
    'piped.flac': lambda: writing.flac_of_unknown_length(
      libsndfile(sound(3, RATE), RATE, 'FLAC')
    ),
  }[name]()
  data = writing.zeroed(data, first, first + 1 / 6)
  samples, rate, notes = heard(tmp_path, name, data)
  assert len(samples) / rate < 2.8
  if first == 0.3:
    (note,) = notes
    # Of Ogg the first page is, and the rest may be cut out of something.
    assert ('its times begin at' in note) == (name != 'piped.flac')
    missing = float(note.split(' s')[0].split()[-1])
    assert missing == pytest.approx(3 - len(samples) / rate, abs=0.02)
  assert notes


def test_what_an_mp3_passes_over_is_noted(tmp_path):
  data = writing.zeroed(ffmpeg(X, RATE, 'mp2', 'mp2', 128_000))
  samples, _, notes = heard(tmp_path, 'a.mp2', data)
  assert len(samples) < 0.9 * len(X)
  assert notes == ['1 damaged piece is left out']


def test_what_is_cut_off_behind_the_samples_is_none(tmp_path):
  data = libsndfile(X, RATE, 'AIFF')
  size = (len(data) + 60_000).to_bytes(4, 'big')
  tag = b'ID3 ' + (60_000).to_bytes(4, 'big') + bytes(30_000)
  film = ffmpeg(X, RATE, 'avi', 'libmp3lame', 96_000)
  assert not heard(tmp_path, 'a.aiff', data[:4] + size + data[8:] + tag)[2]
  assert not heard(tmp_path, 'a.avi', film[: film.rindex(b'idx1') + 99])[2]


def test_what_follows_an_mp4_is_noted(tmp_path):
  data = ffmpeg(X, RATE, 'ipod', 'aac', 96_000)
  samples, rate, (note,) = heard(tmp_path, 'a.m4a', data + data)
  assert len(samples) / rate < 1.6 and 'another MP4 follows' in note


def film(seconds_of_film, seconds_of_sound):
  """A Matroska file of a black picture and a sound."""
  import av

  out = io.BytesIO()
  with av.open(out, 'w', format='matroska') as file:
    pictures = file.add_stream('mpeg4', rate=10, options={})
    pictures.width, pictures.height, pictures.pix_fmt = 32, 32, 'yuv420p'
    track = file.add_stream('pcm_s16le', rate=8000, options={})
    track.codec_context.layout = 'mono'
    for i in range(10 * seconds_of_film):
      frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
      file.mux(pictures.encode(frame))
      if i < 10 * seconds_of_sound:
        part = np.full((1, 800), 900 * (i % 7) + 1, np.int16)
        sound_of_it = av.AudioFrame.from_ndarray(part, 's16', 'mono')
        sound_of_it.sample_rate, sound_of_it.pts = 8000, 800 * i
        file.mux(track.encode(sound_of_it))
    file.mux([*pictures.encode(None), *track.encode(None)])
  return out.getvalue()


def test_the_sound_of_a_film_may_end_before_it(tmp_path):
  data = film(4, 2)
  assert not heard(tmp_path, 'a.mkv', data)[2]
  *_, (note,) = heard(tmp_path, 'a.mkv', cut(data, 0.4))
  assert note.endswith('of the 2.00 s that its header says')


@pytest.mark.parametrize('codec', ['adpcm_ima_wav', 'adpcm_ms', 'libmp3lame'])
def test_only_pcm_lasts_as_its_bytes_say(tmp_path, codec):
  path = tmp_path / 'a.wav'
  path.write_bytes(ffmpeg(X, RATE, 'wav', codec))
  samples, rate = waveform.read(path)
  heard_seconds = decode.heard_seconds_of(str(path))
  assert heard_seconds == pytest.approx(len(samples) / rate)
  assert decode.seconds_of(str(path)) == pytest.approx(heard_seconds, abs=0.05)


def test_integers_of_64_bits_are_heard(tmp_path):
  data = ffmpeg(STEREO, RATE, 'wav', 'pcm_s64le')
  samples, _, notes = heard(tmp_path, 'a.wav', data)
  np.testing.assert_allclose(samples, STEREO.mean(1), atol=1e-6)
  assert not notes


def test_a_second_chunk_of_samples_is_noted(tmp_path):
  data = writing.in_two_chunks(libsndfile(X, RATE, 'WAV'))
  samples, _, (note,) = heard(tmp_path, 'a.wav', data)
  assert len(samples) == len(X) // 4 * 2 + 2 and 'is not heard' in note


@pytest.mark.parametrize('name', ['a.flac', 'a.mp3', 'a.aac'])
def test_a_damaged_file_is_heard_past_the_damage(tmp_path, capfd, name):
  x = sound(3, RATE)
  data = {
    'a.flac': lambda: libsndfile(x, RATE, 'FLAC'),
    'a.mp3': lambda: mp3(x, RATE, 128_000),
    'a.aac': lambda: ffmpeg(x, RATE, 'adts', 'aac', 96_000),
  }[name]()
  samples, rate, notes = heard(tmp_path, name, damaged(data, 0.4, 900))
  assert len(samples) / rate > 2.6
  assert np.std(samples[int(2.2 * rate) : int(2.6 * rate)]) > 0.2
  assert notes
  assert capfd.readouterr() == ('', '')
