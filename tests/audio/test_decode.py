"""Every kind of file is heard to its end, alike by all readers."""

import os

import numpy as np
import pytest

import aec_jax.audio
from aec_jax.audio import decode, kinds, stream, waveform
from aec_jax.audio import ffmpeg as ffmpeg_lib
from aec_jax.errors import UserError
from tests.audio.hearing import heard
from tests.decoding import writing
from tests.decoding.writing import cut, ffmpeg, libsndfile, mp3, sound

RATE = 44100


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(stream, '_BLOCK', 8192)


X, STEREO = sound(1.5, RATE), sound(1.5, RATE, 2)
WHOLE = {
  'a.m4a': lambda: ffmpeg(X, RATE, 'ipod', 'aac', 96_000),
  'a.aac': lambda: ffmpeg(STEREO, RATE, 'adts', 'aac', 128_000),
  'a.webm': lambda: ffmpeg(sound(1.5, 48000), 48000, 'webm', 'libopus'),
  'a.opus': lambda: libsndfile(sound(1.5, 48000), 48000, 'OGG', 'OPUS'),
  'a.mka': lambda: ffmpeg(STEREO, RATE, 'matroska', 'flac'),
  'oggflac.ogg': lambda: ffmpeg(X, RATE, 'ogg', 'flac'),
  'a.wma': lambda: ffmpeg(X, RATE, 'asf', 'wmav2', 128_000),
  'alac.m4a': lambda: ffmpeg(STEREO, RATE, 'ipod', 'alac'),
  'a.wv': lambda: ffmpeg(STEREO, RATE, 'wv', 'wavpack'),
  'a.mp2': lambda: ffmpeg(X, RATE, 'mp2', 'mp2', 128_000),
  'gsm.wav': lambda: libsndfile(sound(1.5, 8000), 8000, 'WAV', 'GSM610'),
  'adpcm.wav': lambda: libsndfile(X, RATE, 'WAV', 'IMA_ADPCM'),
  'a.aiff': lambda: libsndfile(STEREO, RATE, 'AIFF', 'PCM_24'),
  'a.caf': lambda: libsndfile(X, RATE, 'CAF', 'FLOAT'),
  'a.w64': lambda: libsndfile(X, RATE, 'W64'),
  'a.au': lambda: libsndfile(X, RATE, 'AU', 'ULAW'),
  'a.mxf': lambda: ffmpeg(sound(1.5, 48000), 48000, 'mxf_opatom', 'pcm_s16le'),
  'a.wtv': lambda: ffmpeg(X, RATE, 'wtv', 'mp2', 128_000),
  'a.rf64': lambda: libsndfile(X, RATE, 'RF64'),
  'stream.flac': lambda: writing.flac_of_unknown_length(
    libsndfile(X, RATE, 'FLAC')
  ),
  'no xing.mp3': lambda: mp3(X, RATE),
  'flac.wav': lambda: libsndfile(X, RATE, 'FLAC'),
}


@pytest.mark.parametrize('name', WHOLE)
def test_a_sound_of_any_kind_is_heard(tmp_path, name):
  samples, rate, notes = heard(tmp_path, name, WHOLE[name]())
  assert not notes
  assert samples.dtype == np.float32
  assert len(samples) / rate == pytest.approx(1.5, abs=0.12)
  expected = sound(1.5, rate, 2 if name in ('a.aac', 'a.mka') else 1)
  level = np.std(expected.mean(1))
  assert np.std(samples) == pytest.approx(level, rel=0.25)


@pytest.mark.parametrize('channels', [7, 8, 12])
def test_many_channels_are_heard(tmp_path, channels):
  # Of 8 and more planes PyAV reads past the last, and the process ends.
  x = sound(1, 16000, channels)
  data = libsndfile(x, 16000, 'OGG', 'VORBIS')
  samples, _, notes = heard(tmp_path, 'a.ogg', data)
  error = samples - x.mean(1)
  assert np.std(error) < 0.1 * np.std(samples) and not notes


def quiet_then_loud(seconds):
  x = sound(seconds, RATE)
  x[: len(x) // 2] *= 0.001
  return x


def test_variable_rate_without_a_count_is_heard_whole(tmp_path):
  x = quiet_then_loud(12)[::-1]
  data = mp3(x, RATE, 0, False, q='0', compression_level='7')
  samples, rate, notes = heard(tmp_path, 'a.mp3', data)
  assert len(samples) / rate == pytest.approx(12, abs=0.1) and not notes


@pytest.mark.parametrize('together', [1, 1152, 2000])
def test_how_many_frames_are_taken_together_changes_nothing(
  tmp_path, monkeypatch, together
):
  path = tmp_path / 'a.mp3'
  path.write_bytes(mp3(X, RATE) + mp3(STEREO, RATE) + mp3(X, RATE))
  expected, _ = waveform.read(path)
  monkeypatch.setattr(ffmpeg_lib, '_TOGETHER', together)
  np.testing.assert_array_equal(waveform.read(path)[0], expected)


def spans(samples, rate, count):
  """RMS of each second's middle."""
  return [
    float(np.std(samples[int((i + 0.3) * rate) : int((i + 0.7) * rate)]))
    for i in range(count)
  ]


@pytest.mark.parametrize('xing', [False, True])
@pytest.mark.parametrize(
  ('rate', 'channels'), [(RATE, 1), (RATE, 2), (22050, 1)]
)
def test_joined_mp3s_are_heard_whole(tmp_path, xing, rate, channels):
  first = mp3(sound(2, RATE), RATE, xing=xing)
  second = mp3(sound(2, rate, channels), rate, xing=xing)
  samples, found, notes = heard(tmp_path, 'a.mp3', first + second)
  assert found == RATE
  assert len(samples) / RATE == pytest.approx(4, abs=0.2)
  assert min(spans(samples, RATE, 4)) > 0.2
  changes = [note for note in notes if note.startswith('changes from')]
  assert bool(changes) == ((rate, channels) != (RATE, 1))


@pytest.mark.parametrize('kind', ['VORBIS', 'OPUS'])
@pytest.mark.parametrize(
  ('rate', 'channels'), [(48000, 1), (48000, 2), (24000, 1)]
)
def test_chained_ogg_is_heard_whole(tmp_path, kind, rate, channels):
  links = [
    libsndfile(sound(2, *form), form[0], 'OGG', kind)
    for form in ((48000, 1), (rate, channels), (48000, 1))
  ]
  samples, found, notes = heard(tmp_path, 'a.ogg', b''.join(links))
  assert found == 48000
  assert len(samples) == pytest.approx(6 * 48000, abs=60)
  assert min(spans(samples, found, 6)) > 0.2
  same = channels == 1 and (rate == 48000 or kind == 'OPUS')
  assert same == (not notes)


@pytest.mark.parametrize('subtype', ['PCM_16', 'PCM_24', 'FLOAT', 'ULAW'])
@pytest.mark.parametrize('size', [0, 20_000, 1 << 30, 2**32 - 1])
def test_a_wav_of_a_wrong_size_is_heard_to_its_end(tmp_path, subtype, size):
  x = sound(1, 16000, 2)
  whole = libsndfile(x, 16000, 'WAV', subtype)
  expected, *_ = heard(tmp_path, 'whole.wav', whole)
  data = writing.wav_size(whole, size)
  samples, rate, notes = heard(tmp_path, 'a.wav', data)
  assert rate == 16000 and len(notes) == 1
  np.testing.assert_allclose(samples[:16000], expected, atol=1e-7)
  assert len(samples) <= 16000 + 8


@pytest.mark.parametrize(
  'behind', [b'LIST\x04\0\0\0INFO', b'ID3' + bytes(99), b'\0' * 999]
)
def test_what_stands_behind_the_samples_is_no_sound(tmp_path, behind):
  data = libsndfile(X, RATE, 'WAV')
  samples, _, notes = heard(tmp_path, 'a.wav', data + behind * 20)
  assert len(samples) == len(X) and not notes


def test_a_second_wav_behind_the_first_is_noted(tmp_path):
  data = libsndfile(X, RATE, 'WAV')
  samples, _, (note,) = heard(tmp_path, 'a.wav', data * 2)
  assert len(samples) == len(X) and 'is not heard' in note


@pytest.mark.parametrize(
  ('data', 'reason'),
  [
    (b'version https://git-lfs.github.com/spec/v1\n', 'a Git LFS pointer'),
    (b' <!doctype HTML><p>404', 'an HTML page'),
    (b'PK\3\4' + bytes(99), 'a zip archive'),
    (b'\x89PNG\r\n\x1a\n' + bytes(99), 'a PNG picture'),
    (b'MThd\0\0\0\6' + bytes(20), 'MIDI'),
    (b'#EXTM3U\n#EXT-X-VERSION:3\nhttp://x/a.ts\n', 'a text file'),
    (b'ffconcat version 1.0\nfile a.wav\n', 'a text file'),
    (bytes(5000), 'zeros'),
    (np.random.default_rng(0).bytes(20_000), ''),
  ],
)
@pytest.mark.parametrize('name', ['a.wav', 'a.mp3', 'a'])
def test_what_is_no_sound_is_called_what_it_is(
  tmp_path, capfd, name, data, reason
):
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(UserError) as error:
    waveform.read(path)
  assert str(error.value).startswith(f'{path}: is not readable as audio: ')
  assert reason in str(error.value) and '\n' not in str(error.value)
  trouble = decode.trouble_with(str(path))
  assert reason in trouble or (trouble and reason == 'a text file')
  assert capfd.readouterr() == ('', '')


def test_a_film_without_sound_is_called_that(tmp_path):
  import av

  path = tmp_path / 'a.mp4'
  with av.open(str(path), 'w') as file:
    stream = file.add_stream('mpeg4', rate=10, options={})
    stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
    frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
    file.mux([*stream.encode(frame), *stream.encode(None)])
  with pytest.raises(UserError, match='no sound track'):
    waveform.read(path)
  assert 'no sound track' in decode.trouble_with(str(path))


def test_what_is_encrypted_is_not_heard_as_noise(tmp_path):
  data = ffmpeg(X, RATE, 'ipod', 'aac', 96_000)
  path = tmp_path / 'a.m4a'
  path.write_bytes(data.replace(b'mp4a', b'drms'))
  with pytest.raises(UserError, match='it is encrypted: let the program'):
    waveform.read(path)


@pytest.mark.parametrize('kind', ['WAV', 'FLAC'])
def test_any_name_is_opened_and_none_is_an_address(tmp_path, monkeypatch, kind):
  data = libsndfile(X, RATE, kind)
  monkeypatch.chdir(tmp_path)
  for name in (b'\xff\n.wav', b'http:x', b'pipe:0', b'concat:a|b', b'-i'):
    (tmp_path / os.fsdecode(name)).write_bytes(data)
    assert len(waveform.read(os.fsdecode(name))[0]) == len(X)


def test_the_public_reader(tmp_path):
  (tmp_path / 'a.flac').write_bytes(libsndfile(STEREO, RATE, 'FLAC'))
  notes = []
  samples, rate = aec_jax.audio.read(tmp_path / 'a.flac', notes)
  assert (samples.shape, samples.dtype, rate) == ((len(X),), np.float32, RATE)
  assert not notes


def test_a_usual_wav_is_judged_by_its_header(tmp_path, monkeypatch):
  usual = libsndfile(X, RATE, 'WAV')
  writing.place(tmp_path, {
    'a.wav': usual, 'b.wav': usual[:46], 'c.wav': usual[:44], 'd.wav': b'',
    'e.wav': usual[:24] + bytes(8) + usual[32:],
  })  # fmt: skip
  paths = [str(p) for p in sorted(tmp_path.iterdir())]
  by_samples = [decode.trouble_with(path) for path in paths]
  assert by_samples == [
    '',
    '',
    'no samples',
    'empty',
    'unreadable header',
  ]
  monkeypatch.setattr(decode, 'blocks', None)
  assert [decode.trouble_with(path) for path in paths[:2]] == ['', '']
  with pytest.raises(TypeError):
    decode.trouble_with(paths[2])


def test_the_heard_seconds_of_files(tmp_path):
  noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE)
  writing.place(tmp_path, {
    'a.ogg': 2 * libsndfile(noise, RATE, 'OGG', 'VORBIS'),
    'b.wav': libsndfile(X, RATE, 'WAV'), 'c.wav': b'nothing',
  })  # fmt: skip
  found = [decode.heard_seconds_of(str(p)) for p in sorted(tmp_path.iterdir())]
  assert found == [pytest.approx(4, abs=0.01), pytest.approx(1.5), None]
  assert decode.heard_seconds_of(str(tmp_path / 'gone.ogg')) is None


def test_durations_by_the_header(tmp_path):
  writing.place(tmp_path, {
    'a.wav': libsndfile(X, RATE, 'WAV'), 'b.ogg': libsndfile(X, RATE, 'OGG',
    'VORBIS'), 'c.wav': b'nothing',
  })  # fmt: skip
  seconds = [decode.seconds_of(str(p)) for p in sorted(tmp_path.iterdir())]
  assert seconds == [pytest.approx(1.5), pytest.approx(1.5, abs=0.02), None]


@pytest.mark.parametrize('a_second', [0, RATE, 4 * RATE, 2**32 - 1])
def test_a_wav_lasts_as_its_rate_says(tmp_path, a_second):
  data = libsndfile(X, RATE, 'WAV')
  data = data[:28] + a_second.to_bytes(4, 'little') + data[32:]
  writing.place(tmp_path, {'a.wav': data, 'b.wav': cut(data, 0.7)})
  whole, short = (str(p) for p in sorted(tmp_path.iterdir()))
  assert decode.seconds_of(whole) == decode.heard_seconds_of(whole) == 1.5
  samples, rate, (note,) = heard(tmp_path, 'b.wav', cut(data, 0.7))
  seconds = len(samples) / rate
  assert decode.seconds_of(short) == pytest.approx(seconds, abs=1e-4)
  assert note.startswith(f'ends after {seconds:.2f} s of the 1.50 s')


def test_what_a_folder_has_beside_sound(tmp_path):
  data = libsndfile(X, RATE, 'WAV')
  writing.place(tmp_path, {
    'a.dat': data, 'b.txt': data, 'c.raw': bytes(range(200)), 'd': b'text',
    'e.mid': b'', 'f.raw': data, 'g.ul': b'\xff\xfb\x7e\xff' * 99,
    'h.m4p': b'\0\0\0\x20ftypM4P ',
  })  # fmt: skip
  found = [kinds.why_not_heard(str(p)) for p in sorted(tmp_path.iterdir())]
  assert decode.trouble_with(str(tmp_path / 'c.raw')) == found[2]
  assert decode.trouble_with(str(tmp_path / 'f.raw')) == ''
  words = ['rename it', '', 'no header', '', 'notes', 'rename it']
  words += ['no header', 'encrypted']
  for word, why in zip(words, found, strict=True):
    assert word in why and bool(word) == bool(why)


@pytest.mark.parametrize(
  'head',
  [
    b'\xff\xf1P@&\xbf\xfc', b'\xff\xfb\x90d', b'\x1aE\xdf\xa3\x9fB\x86\x81',
    b'0&\xb2u\x8ef\xcf\x11', b'\0\0\0\x14ftypqt  ', b'\0\0\0\x1cftypisom',
    b'G@\x11\x10'.ljust(188, b'\xff') + b'G@',
  ],
)  # fmt: skip
def test_sound_without_an_ending_is_named(tmp_path, head):
  (tmp_path / 'x').write_bytes(head)
  assert 'rename it' in kinds.why_not_heard(str(tmp_path / 'x'))


def test_what_is_called_sound(tmp_path):
  stream = b'G@\x11\x10'.ljust(188, b'\xff') + b'G@'
  writing.place(tmp_path, {
    'a.ts': stream, 'b.ts': b'import { x } from "y";', 'c.nut': b'',
    'd.F4V': b'', 'e.adx': b'', 'f': b'\0\0\0\x18ftypheic', 'g.txt': b'',
  })  # fmt: skip
  paths = [str(path) for path in sorted(tmp_path.iterdir())]
  called = [os.path.basename(p) for p in paths if kinds.is_called_sound(p)]
  assert called == ['a.ts', 'c.nut', 'd.F4V']
  said = {os.path.basename(p): kinds.why_not_heard(p) for p in paths}
  assert 'ffmpeg -i FILE out.wav' in said['e.adx']
  assert said['b.ts'] == said['f'] == said['g.txt'] == ''
