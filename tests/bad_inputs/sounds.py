"""Bad sound files, each among good ones in a folder of recordings."""

import functools
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aec_jax.audio import waveform
from aec_jax.errors import UserError
from aec_jax.features import log_mels
from tests import dcase_data
from tests.bad_inputs.case import READ, REFUSED, SKIPPED, Broken, Case
from tests.decoding import writing

wav = functools.partial(writing.libsndfile, rate=16_000, kind='WAV')


def wav_cases(folder: Path) -> Iterator[Case]:
  """Each is prepared for training, and the worst are read alone too."""
  for i, (name, what, content, wanted) in enumerate(_wavs()):
    says = name if name.isprintable() else ''
    root = _recordings(folder / f'wav{i}', name, content)
    run = lambda root=root: _prepare(root, 'skip')
    yield Case('wav', what, wanted, run, says)
    if wanted == SKIPPED:
      run = lambda root=root: _prepare(root, 'error')
      yield Case('wav', f'{what}, on_bad=error', REFUSED, run, says)
      if not name.endswith('.m4a'):
        run = lambda path=root / 'low' / name: waveform.read(path) and []
        yield Case('wav', f'{what}, read alone', REFUSED, run, says)
  run = lambda: waveform.read(folder / 'no\nsuch.wav') and []
  yield Case('wav', 'a missing file with a newline', REFUSED, run)


def _wavs() -> Iterator[tuple[str, str, bytes | str, str]]:
  """(name of the file, what it is, its bytes or a trick, what is wanted)."""
  tone = np.sin(np.arange(16_000) / 10).astype(np.float32) / 2
  good = wav(tone)
  for size in (0, 1, 4, 12, 20, 36, 43):
    yield f'cut{size}.wav', f'header of {size} bytes', good[:size], SKIPPED
  yield 'h44.wav', '44 bytes, a header alone', good[:44], SKIPPED
  yield 'none.wav', '0 samples', wav(tone[:0]), SKIPPED
  for bad in (np.nan, np.inf, -np.inf):
    spoilt = np.append(tone, np.float32(bad))
    yield (
      f'{bad}.wav',
      f'a sample is {bad}',
      wav(spoilt, subtype='FLOAT'),
      SKIPPED,
    )
  huge = wav(tone * 1e9, subtype='FLOAT')
  yield 'huge.wav', 'floats of unknown scale', huge, SKIPPED
  yield 'text.wav', 'a text file', b'not a sound\n' * 99, SKIPPED
  yield 'png.wav', 'a picture', b'\x89PNG\r\n\x1a\n' + bytes(99), SKIPPED
  yield 'zero.wav', 'zeros', bytes(4096), SKIPPED
  yield 'folder.wav', 'a directory', 'folder', SKIPPED
  yield 'link.wav', 'a dangling link', 'dangling', SKIPPED
  yield 'loop.wav', 'a link to itself', 'loop', SKIPPED
  yield 'pipe.wav', 'a pipe', 'pipe', SKIPPED
  yield 'rate0.wav', 'a rate of 0 Hz', _patched(good, 24, 0), SKIPPED
  yield 'rate1.wav', 'a rate of 1 Hz', _patched(good, 24, 1), SKIPPED
  yield 'chan0.wav', '0 channels', good[:22] + bytes(2) + good[24:], SKIPPED
  yield (
    'code.wav',
    'an unknown codec',
    good[:20] + b'\xee\xee' + good[22:],
    SKIPPED,
  )
  yield 'mp4.m4a', 'another format', b'\0\0\0\x20ftypM4A ', SKIPPED
  # What is odd but sound.
  yield 'int16.wav', 'int16 numbers as floats', wav(
    tone * 3e4, subtype='FLOAT'), READ  # fmt: skip
  yield 'dc.wav', 'DC only', wav(np.full(16_000, 0.3)), READ
  yield 'one.wav', '1 sample', wav(tone[1:2]), READ
  yield 'silent.wav', 'silence', wav(tone * 0), READ
  yield '8ch.wav', '8 channels', wav(np.tile(tone[:, None], 8)), READ
  for subtype in ('PCM_U8', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE'):
    yield f'{subtype}.wav', subtype, wav(tone, subtype=subtype), READ
  yield 'ulaw.wav', 'mu-law', wav(tone, subtype='ULAW'), READ
  for rate in (100, 1_000, 192_000):
    yield f'{rate}.wav', f'{rate} Hz', wav(tone, rate=rate), READ
  yield 'flac.wav', 'a FLAC called wav', wav(tone, kind='FLAC'), READ
  yield 'wav.ogg', 'a wav called ogg', good, READ
  yield 'long.wav', 'a data size past the end', _patched(good, 40, 2**31), READ
  yield 'cut.wav', 'cut in its samples', good[: len(good) // 2], READ
  yield 'a b.wav', 'a name with spaces', good, READ
  yield 'a\nb.wav', 'a name with a newline', good, READ
  yield '-rf.wav', 'a name with a leading dash', good, READ
  yield 'äöü 音.wav', 'a name that is not ASCII', good, READ
  yield 'UP.WAV', 'a name in capitals', good, READ
  yield "';$(x).wav", 'a name with quotes', good, READ


def _patched(data: bytes, place: int, value: int) -> bytes:
  return data[:place] + struct.pack('<I', value) + data[place + 4 :]


def _place(path: Path, content: bytes | str) -> None:
  """Makes a file, or what stands in its place."""
  if content == 'folder':
    path.mkdir()
  elif content == 'dangling':
    path.symlink_to('nowhere.wav')
  elif content == 'loop':
    path.symlink_to(path.name)
  elif content == 'pipe':
    os.mkfifo(path)
  else:
    path.write_bytes(content)


def _recordings(root: Path, name: str, content) -> Path:
  """A folder of two classes of good clips, and one more file."""
  root.mkdir()
  for label, hertz in (('low', 200), ('high', 2000)):
    (root / label).mkdir()
    wave = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000) / 2
    for i in range(2):
      (root / label / f'good{i}{label}.wav').write_bytes(wav(wave))
  _place(root / 'low' / name, content)
  return root


def _prepare(root: Path, on_bad: str) -> list[dict]:
  """What the first stage of a folder of recordings skips."""
  config = dcase_data.tiny_config('folder', root, on_bad=on_bad)
  listed = log_mels.list_clips(config, root)
  with tempfile.TemporaryDirectory() as cache:
    try:
      prepared = log_mels.prepare(config, listed, cache)
    except UserError:
      _nothing_in(cache)
      raise
  return prepared.skipped


def _nothing_in(folder) -> None:
  left = {*os.listdir(folder)} - {'content'}  # hashes of the files
  if left:
    raise Broken(f'half-written: {left}')
