"""A folder of files of every kind, plain and odd, to be decoded."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.decoding.writing import (
  cut,
  damaged,
  ffmpeg,
  flac_of_unknown_length,
  in_two_chunks,
  libsndfile,
  mp3,
  place,
  sound,
  wav_size,
  zeroed,
)

_PCM = ('PCM_U8', 'PCM_16', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE')
_BIG = ('PCM_16', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE', 'ULAW', 'ALAW')
# (libsndfile's format, ending, its subtypes, channels, rates)
_LIBSNDFILE = (
  ('WAV', 'wav', (*_PCM, 'ULAW', 'ALAW', 'IMA_ADPCM', 'MS_ADPCM'), (1, 2),
   (8000, 44100)),
  ('WAV', 'wav', ('PCM_16', 'FLOAT'), (6, 8), (16000, 48000)),
  ('WAV', 'wav', ('GSM610',), (1,), (8000, 16000)),
  ('WAVEX', 'wav', _PCM, (1, 2), (22050,)),
  ('RF64', 'rf64', ('PCM_16', 'PCM_24', 'FLOAT'), (1, 2), (48000,)),
  ('W64', 'w64', (*_PCM, 'ULAW', 'ALAW', 'IMA_ADPCM'), (1, 2), (16000,)),
  ('AIFF', 'aiff', ('PCM_S8', *_BIG), (1, 2), (11025, 44100)),
  ('AU', 'au', ('PCM_S8', *_BIG), (1, 2), (16000,)),
  ('CAF', 'caf', _BIG, (1, 2), (32000,)),
  ('CAF', 'caf', ('ALAC_16', 'ALAC_24'), (1, 2), (44100,)),
  ('FLAC', 'flac', ('PCM_S8', 'PCM_16', 'PCM_24'), (1, 2, 6), (16000, 44100)),
  ('OGG', 'ogg', ('VORBIS',), (1, 2), (8000, 22050, 44100, 48000)),
  ('OGG', 'opus', ('OPUS',), (1, 2), (16000, 48000)),
  ('MP3', 'mp3', ('MPEG_LAYER_III',), (1, 2), (16000, 22050, 32000, 44100)),
  ('VOC', 'voc', ('PCM_U8', 'PCM_16', 'ULAW', 'ALAW'), (1, 2), (16000,)),
  ('NIST', 'sph', ('PCM_16', 'PCM_24', 'ULAW'), (1, 2), (16000,)),
  ('IRCAM', 'ircam', ('PCM_16', 'FLOAT'), (1, 2), (16000,)),
)  # fmt: skip
# (container, ending, codec, channels, rates, bits a second)
_FFMPEG = (
  ('mp3', 'mp3', 'libmp3lame', (1, 2), (8000, 24000, 44100), 48_000),
  ('mp3', 'mp3', 'libmp3lame', (2,), (44100, 48000), 192_000),
  ('mp2', 'mp2', 'mp2', (1, 2), (32000, 44100), 128_000),
  ('adts', 'aac', 'aac', (1, 2, 6), (16000, 44100), 96_000),
  ('ipod', 'm4a', 'aac', (1, 2, 6), (16000, 44100), 96_000),
  ('mp4', 'mp4', 'aac', (1, 2), (48000,), 96_000),
  ('mov', 'mov', 'pcm_s16le', (1, 2), (44100,), None),
  ('mov', 'mov', 'aac', (2,), (44100,), 96_000),
  ('3gp', '3gp', 'aac', (1,), (16000,), 48_000),
  ('matroska', 'mka', 'aac', (2,), (44100,), 96_000),
  ('matroska', 'mka', 'flac', (1, 2), (44100,), None),
  ('matroska', 'mkv', 'libopus', (1, 2), (48000,), 64_000),
  ('webm', 'webm', 'libopus', (1, 2), (48000,), 64_000),
  ('webm', 'webm', 'vorbis', (2,), (44100,), 96_000),
  ('ogg', 'ogg', 'libopus', (1, 2), (16000, 48000), 48_000),
  ('ogg', 'oga', 'flac', (1, 2), (16000, 44100), None),
  ('ogg', 'ogg', 'vorbis', (2,), (44100,), 96_000),
  ('ipod', 'm4a', 'alac', (1, 2), (16000, 44100), None),
  ('ac3', 'ac3', 'ac3', (1, 2, 6), (48000,), 192_000),
  ('eac3', 'eac3', 'eac3', (2, 6), (48000,), 192_000),
  ('asf', 'wma', 'wmav1', (1, 2), (44100,), 96_000),
  ('asf', 'wma', 'wmav2', (1, 2), (22050, 44100), 96_000),
  ('wv', 'wv', 'wavpack', (1, 2), (16000, 44100), None),
  ('tta', 'tta', 'tta', (1, 2), (44100,), None),
  ('avi', 'avi', 'libmp3lame', (2,), (44100,), 96_000),
  ('avi', 'avi', 'pcm_s16le', (1,), (16000,), None),
  ('flv', 'flv', 'libmp3lame', (1, 2), (44100,), 96_000),
  ('mpegts', 'mts', 'aac', (2,), (48000,), 96_000),
  ('amr', 'amr', 'libopencore_amrnb', (1,), (8000,), 12_200),
  ('wav', 'wav', 'g726', (1,), (8000,), 32_000),
  ('wav', 'wav', 'adpcm_yamaha', (1, 2), (22050,), None),
  ('wav', 'wav', 'adpcm_ima_wav', (1, 2), (22050, 44100), None),
  ('wav', 'wav', 'adpcm_ms', (1, 2), (22050, 44100), None),
  ('wav', 'wav', 'pcm_s64le', (1, 2), (44100,), None),
  ('wav', 'wav', 'libmp3lame', (2,), (44100,), 96_000),
  ('wav', 'wav', 'pcm_s16le', (1, 2), (16000, 44100), None),
  ('aiff', 'aif', 'pcm_s16be', (1, 2), (44100,), None),
  ('caf', 'caf', 'pcm_s16le', (2,), (16000,), None),
)  # fmt: skip
_SECONDS = 1.7


def make(folder: Path) -> int:
  """Writes them all; returns how many."""
  count = 0
  for name, data in _all():
    place(folder, {f'{count:03d} {name}': data})
    count += 1
  return count


def _all() -> Iterator[tuple[str, bytes]]:
  for kind, ending, subtypes, channels, rates in _LIBSNDFILE:
    for subtype in subtypes:
      for c in channels:
        for rate in rates:
          data = libsndfile(sound(_SECONDS, rate, c, rate + c), rate, kind,
                            subtype)  # fmt: skip
          yield f'{kind} {subtype} {c}ch {rate}.{ending}', data
  for kind, ending, codec, channels, rates, bits in _FFMPEG:
    for c in channels:
      for rate in rates:
        x = sound(_SECONDS, rate, c, rate + c)
        data = ffmpeg(x, rate, kind, codec, bits)
        yield f'{kind} {codec} {c}ch {rate}.{ending}', data
  yield from _mp3s()
  yield from _oggs()
  yield from _flacs()
  yield from _wavs()
  yield from _cut_and_damaged()
  yield from _levels()


def _mp3s() -> Iterator[tuple[str, bytes]]:
  loud, quiet = sound(3, 44100), 0.01 * sound(9, 44100, seed=3)
  mixed = np.concatenate([loud, quiet])
  tag = b'TAG' + b'a title'.ljust(125, b'\0')
  id3 = b'ID3\x03\x00\x00\x00\x00\x02\x00' + bytes(256)
  for xing in (False, True):
    word = 'Xing' if xing else 'no Xing'
    for quality in (0, 4, 9):
      data = mp3(mixed, 44100, 0, xing, q=str(quality), compression_level='7')
      yield f'VBR {quality} {word}.mp3', data
    yield f'ABR {word}.mp3', mp3(mixed, 44100, 96_000, xing, abr='1')
    a, b = mp3(loud, 44100, xing=xing), mp3(quiet, 44100, xing=xing)
    stereo = mp3(sound(2, 44100, 2), 44100, 128_000, xing)
    slow = mp3(sound(2, 22050, seed=5), 22050, xing=xing)
    yield f'joined {word}.mp3', a + b
    yield f'joined thrice {word}.mp3', a + b + a
    yield f'mono to stereo {word}.mp3', a + stereo
    yield f'stereo to mono {word}.mp3', stereo + a
    yield f'44100 to 22050 {word}.mp3', a + slow
    yield f'22050 to 44100 {word}.mp3', slow + a
    yield f'tags before and behind {word}.mp3', id3 + a + tag
    yield f'tags joined {word}.mp3', id3 + a + tag + id3 + b + tag


def _oggs() -> Iterator[tuple[str, bytes]]:
  parts = {
    'mono 44100': libsndfile(sound(2, 44100), 44100, 'OGG', 'VORBIS'),
    'other mono 44100': libsndfile(
      sound(3, 44100, seed=7), 44100, 'OGG', 'VORBIS'
    ),
    'stereo 44100': libsndfile(sound(2, 44100, 2), 44100, 'OGG', 'VORBIS'),
    'mono 22050': libsndfile(sound(2, 22050), 22050, 'OGG', 'VORBIS'),
  }
  names = list(parts)
  for first in names:
    for second in names:
      yield f'{first}, then {second}.ogg', parts[first] + parts[second]
  opus = [
    libsndfile(sound(2, 48000, c, c), 48000, 'OGG', 'OPUS') for c in (1, 2)
  ]
  yield 'chained.opus', opus[0] + opus[0]
  yield 'chained, mono then stereo.opus', opus[0] + opus[1]
  flac = [ffmpeg(sound(2, 16000, 1, s), 16000, 'ogg', 'flac') for s in (1, 2)]
  yield 'chained flac.oga', flac[0] + flac[1]


def _flacs() -> Iterator[tuple[str, bytes]]:
  for c in (1, 2):
    for rate in (16000, 44100):
      data = libsndfile(sound(3, rate, c), rate, 'FLAC')
      name = f'{c}ch {rate}'
      yield f'unknown length {name}.flac', flac_of_unknown_length(data)
      yield f'joined {name}.flac', data + data
      yield f'called wav {name}.wav', data


def _wavs() -> Iterator[tuple[str, bytes]]:
  for subtype in ('PCM_16', 'PCM_24', 'FLOAT', 'ULAW', 'IMA_ADPCM'):
    data = libsndfile(sound(2, 16000, 2), 16000, 'WAV', subtype)
    size = len(data) - 60
    for what, said in (
      ('0', 0), ('half', size // 2 & ~3), ('unknown', 2**32 - 1),
      ('SoX unknown', 0x7FFFFFFF - 36), ('far too large', 1 << 28),
    ):  # fmt: skip
      yield f'{subtype} of size {what}.wav', wav_size(data, said)
    behind = b'LIST\x0a\x00\x00\x00INFOsomehow'[:18]
    yield f'{subtype} with a chunk behind.wav', data + behind * 9
    yield f'{subtype} with ID3 behind.wav', data + b'ID3\x03' + bytes(300)
    yield f'{subtype} in two chunks.wav', in_two_chunks(data)


def _cut_and_damaged() -> Iterator[tuple[str, bytes]]:
  x = sound(3, 44100, 2)
  whole = {
    'pcm.wav': libsndfile(x, 44100, 'WAV'),
    'float.wav': libsndfile(x, 44100, 'WAV', 'FLOAT'),
    'ulaw.wav': libsndfile(x, 44100, 'WAV', 'ULAW'),
    'a.aiff': libsndfile(x, 44100, 'AIFF'),
    'a.au': libsndfile(x, 44100, 'AU'),
    'a.w64': libsndfile(x, 44100, 'W64'),
    'a.caf': libsndfile(x, 44100, 'CAF'),
    'a.flac': libsndfile(x, 44100, 'FLAC'),
    'a.ogg': libsndfile(x, 44100, 'OGG', 'VORBIS'),
    'a.opus': libsndfile(sound(3, 48000), 48000, 'OGG', 'OPUS'),
    'a.mp3': mp3(x, 44100, 128_000),
    'xing.mp3': mp3(x, 44100, 128_000, xing=True),
    'a.aac': ffmpeg(x, 44100, 'adts', 'aac', 128_000),
    'a.mka': ffmpeg(x, 44100, 'matroska', 'flac'),
    'a.webm': ffmpeg(sound(3, 48000), 48000, 'webm', 'libopus', 64_000),
    'fast.m4a': ffmpeg(
      x, 44100, 'ipod', 'aac', 128_000, {'movflags': 'faststart'}
    ),
    'a.wma': ffmpeg(x, 44100, 'asf', 'wmav2', 128_000),
    'a.wv': ffmpeg(x, 44100, 'wv', 'wavpack'),
    'a.tta': ffmpeg(x, 44100, 'tta', 'tta'),
    'a.ac3': ffmpeg(sound(3, 48000, 2), 48000, 'ac3', 'ac3', 192_000),
    'pipe.flac': flac_of_unknown_length(libsndfile(x, 44100, 'FLAC')),
    'ima.wav': ffmpeg(x, 44100, 'wav', 'adpcm_ima_wav'),
    'ms.wav': ffmpeg(x, 44100, 'wav', 'adpcm_ms'),
    's64.wav': ffmpeg(x, 44100, 'wav', 'pcm_s64le'),
    'a.flv': ffmpeg(x, 44100, 'flv', 'libmp3lame', 128_000),
    'a.avi': ffmpeg(x, 44100, 'avi', 'libmp3lame', 128_000),
    'a.sph': libsndfile(x, 44100, 'NIST'),
    'a.rf64': libsndfile(x, 44100, 'RF64'),
  }
  for name, data in whole.items():
    yield f'cut {name}', cut(data)
    yield f'damaged {name}', damaged(data)
    yield f'zeroed {name}', zeroed(data)


def _levels() -> Iterator[tuple[str, bytes]]:
  x = sound(2, 16000)
  click = 0.05 * x
  click[9000] = 20
  for what, samples in {
    'int16 numbers': np.rint(x * 32768),
    'int16 fractions': x * 30000.5,
    'a click of 20': click,
    'hot': 3 * x,
    'in opposite phase': np.concatenate([x, -x], 1),
    'almost in opposite phase': np.concatenate([x, -0.9 * x], 1),
    'one channel': np.concatenate([x, 0 * x], 1),
    'silent': 0 * x,
    'silent in stereo': np.zeros((16000, 2)),
    'one sample': x[5:6],
    'NaN': np.where(np.arange(len(x))[:, None] == 7, np.nan, x),
  }.items():
    yield f'{what}.wav', libsndfile(samples, 16000, 'WAV', 'FLOAT')
  yield 'page.wav', b'<!DOCTYPE html><html><body>404</body></html>'
  yield 'pointer.flac', b'version https://git-lfs.github.com/spec/v1\noid 1\n'
  yield 'text.mp3', b'no sound\n' * 50
  yield 'zeros.wav', bytes(4096)
  yield 'noise.mp3', np.random.default_rng(0).bytes(20_000)
  yield 'none.wav', b''
  yield 'tune.mid', b'MThd\0\0\0\6' + bytes(60)
  yield 'headerless.pcm', np.random.default_rng(0).bytes(2000)
  yield 'download.wav.part', libsndfile(x, 16000, 'WAV')
