"""Hundreds of bad inputs, made here, and what becomes of each.

  python -m tests.bad_inputs [--fuzz_minutes=10]

An input is refused, with one line that names it; or skipped, and then counted
and named; or read, if it is only odd. `CASES` yields them all; the suite tries
each of them in process, and some through the real command line.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import soundfile
from absl import flags, logging
from ml_collections import ConfigDict

import aec_jax.main  # noqa: F401 (defines the flags)
from aec_jax import (
  bundle,
  claim,
  clip_features,
  console,
  embed,
  evaluate,
  experiment,
  models,
  tagger,
)
from aec_jax import checkpoint as checkpoint_lib
from aec_jax.audio import waveform
from aec_jax.datasets import audioset_tfrecord, clips, csv_list, tfrecord
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from aec_jax.models import convert, vggish
from configs import audioset_level3, dcase_l6
from tests import dcase_data, fuzz

REFUSED, SKIPPED, READ = 'refused', 'skipped', 'read'
LONGEST = 60  # seconds that one input may take


@dataclasses.dataclass(frozen=True)
class Case:
  """One bad input.

  Attributes:
    kind: 'wav', 'CSV', ….
    name: what is bad.
    wanted: `REFUSED`, `SKIPPED` or `READ`.
    run: tries it; returns the entries of what was skipped.
    says: what the one line, or the entry, must name.
  """

  kind: str
  name: str
  wanted: str
  run: Callable[[], list[dict]]
  says: str = ''


class Broken(AssertionError):
  """An input was not met as it should be."""


def outcome(case: Case) -> str:
  """Tries a case and returns what became of it.

  Raises:
    Broken: not what was wanted, a traceback, several lines, or no end.
  """

  def late(*_):
    raise TimeoutError(f'no end after {LONGEST} s')

  signal.signal(signal.SIGALRM, late)
  signal.alarm(LONGEST)
  try:
    skipped = case.run()
    found, lines = SKIPPED if skipped else READ, [str(e) for e in skipped]
  except UserError as error:
    found, lines = REFUSED, [str(error)]
    if '\n' in str(error) and 'newline' not in case.name:
      raise Broken(f'{case.kind}, {case.name}: {error!r}') from error
  except Exception as error:
    raise Broken(f'{case.kind}, {case.name}: {error!r}') from error
  finally:
    signal.alarm(0)
  if found != case.wanted or (lines and case.says not in ' '.join(lines)):
    raise Broken(f'{case.kind}, {case.name}: {found}, {lines}')
  return found


# Sound files.


def _wav(samples, rate=16_000, subtype='PCM_16', kind='WAV') -> bytes:
  out = io.BytesIO()
  soundfile.write(out, samples, rate, format=kind, subtype=subtype)
  return out.getvalue()


def _wavs() -> Iterator[tuple[str, str, bytes | str, str]]:
  """(name of the file, what it is, its bytes or a trick, what is wanted)."""
  tone = np.sin(np.arange(16_000) / 10).astype(np.float32) / 2
  good = _wav(tone)
  for size in (0, 1, 4, 12, 20, 36, 43):
    yield f'cut{size}.wav', f'header of {size} bytes', good[:size], SKIPPED
  yield 'h44.wav', '44 bytes, a header alone', good[:44], SKIPPED
  yield 'none.wav', '0 samples', _wav(tone[:0]), SKIPPED
  for bad in (np.nan, np.inf, -np.inf):
    spoilt = np.append(tone, np.float32(bad))
    yield (
      f'{bad}.wav',
      f'a sample is {bad}',
      _wav(spoilt, subtype='FLOAT'),
      SKIPPED,
    )
  huge = _wav(tone * 1e9, subtype='FLOAT')
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
  yield 'int16.wav', 'int16 numbers as floats', _wav(
    tone * 3e4, subtype='FLOAT'), READ  # fmt: skip
  yield 'dc.wav', 'DC only', _wav(np.full(16_000, 0.3)), READ
  yield 'one.wav', '1 sample', _wav(tone[1:2]), READ
  yield 'silent.wav', 'silence', _wav(tone * 0), READ
  yield '8ch.wav', '8 channels', _wav(np.tile(tone[:, None], 8)), READ
  for subtype in ('PCM_U8', 'PCM_24', 'PCM_32', 'FLOAT', 'DOUBLE'):
    yield f'{subtype}.wav', subtype, _wav(tone, subtype=subtype), READ
  yield 'ulaw.wav', 'mu-law', _wav(tone, subtype='ULAW'), READ
  for rate in (100, 1_000, 192_000):
    yield f'{rate}.wav', f'{rate} Hz', _wav(tone, rate), READ
  yield 'flac.wav', 'a FLAC called wav', _wav(tone, kind='FLAC'), READ
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
      (root / label / f'good{i}{label}.wav').write_bytes(_wav(wave))
  _place(root / 'low' / name, content)
  return root


def _prepare(root: Path, on_bad: str) -> list[dict]:
  """What the first stage of a folder of recordings skips."""
  config = dcase_data.tiny_config('folder', root, on_bad=on_bad)
  listed = clip_features.list_clips(config, root)
  with tempfile.TemporaryDirectory() as cache:
    try:
      prepared = clip_features.prepare(config, listed, cache)
    except UserError:
      _nothing_in(cache)
      raise
  return prepared.skipped


def _nothing_in(folder) -> None:
  left = os.listdir(folder)
  if left:
    raise Broken(f'half-written: {left}')


def wav_cases(folder: Path) -> Iterator[Case]:
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


# CSVs.

_HEADING = 'fname,label,manually_verified\n'
_ROWS = 'a.wav,low,1\nb.wav,high,0\n'
# (what, text, wanted, what is named)
_LISTS = (
  ('empty', '', REFUSED, 'empty'),
  ('white space', ' \n\n', REFUSED, ''),
  ('no rows', _HEADING, REFUSED, 'no rows'),
  ('a missing column', 'fname,manually_verified\na.wav,1\n', REFUSED, 'label'),
  ('no heading', _ROWS, REFUSED, 'fname'),
  ('a heading with a typo', 'fnam,label,manually_verified\n', REFUSED, 'fname'),
  ('semicolons', _HEADING.replace(',', ';') + _ROWS, REFUSED, 'fname'),
  ('a file twice', _HEADING + _ROWS + 'a.wav,high,1\n', REFUSED, 'a.wav'),
  ('no label', _HEADING + 'a.wav,,1\n', REFUSED, 'row 2'),
  ('no file', _HEADING + ',low,1\n', REFUSED, 'row 2'),
  ('verified is 2', _HEADING + 'a.wav,low,2\n', REFUSED, "'2'"),
  ('verified is empty', _HEADING + 'a.wav,low,\n', REFUSED, 'row 2'),
  ('too many cells', _HEADING + 'a.wav,low,1,x\n', REFUSED, '4 cells'),
  ('too few cells', _HEADING + 'a.wav\n', REFUSED, 'row 2'),
  ('an open quote', _HEADING + '"a.wav,low,1\n', REFUSED, 'row'),
  ('text after a quote', _HEADING + '"a"b.wav,low,1\n', REFUSED, 'row'),
  ('a long cell', _HEADING + 'a' * 200_000 + ',low,1\n', REFUSED, 'row'),
  ('Latin-1', (_HEADING + 'ä.wav,low,1\n').encode('latin-1'), REFUSED, 'UTF-8'),
  ('UTF-16', (_HEADING + _ROWS).encode('utf-16'), REFUSED, 'UTF-8'),
  ('random bytes', bytes(range(256)), REFUSED, ''),
  ('a JSON', '{"a.wav": "low"}\n', REFUSED, 'fname'),
  ('a BOM', ('\ufeff' + _HEADING + _ROWS).encode(), READ, ''),
  ('CRLF', (_HEADING + _ROWS).replace('\n', '\r\n'), READ, ''),
  ('CR', (_HEADING + _ROWS).replace('\n', '\r'), READ, ''),
  ('an extra column', 'x,' + _HEADING + 'y,a.wav,low,1\n', READ, ''),
  ('blank lines', _HEADING + '\n\n' + _ROWS + '\n', READ, ''),
  ('no last newline', (_HEADING + _ROWS)[:-1], READ, ''),
  ('capital headings', _HEADING.upper() + _ROWS, READ, ''),
)
_CLASS_LISTS = (
  ('empty', '', REFUSED),
  ('a missing column', 'index,mid\n0,/m/0\n', REFUSED),
  ('an index twice', 'index,mid,display_name\n0,a,A\n0,b,B\n', REFUSED),
  ('an index left out', 'index,mid,display_name\n0,a,A\n2,b,B\n', REFUSED),
  ('an index in words', 'index,mid,display_name\none,a,A\n', REFUSED),
  ('a negative index', 'index,mid,display_name\n-1,a,A\n', REFUSED),
  ('Latin-1', 'index,mid,display_name\n0,a,Ä\n'.encode('latin-1'), REFUSED),
  ('a BOM', '\ufeffindex,mid,display_name\n0,a,A\n'.encode(), READ),
  ('CRLF', 'index,mid,display_name\r\n0,a,A\r\n', READ),
)


def _bytes(text: str | bytes) -> bytes:
  return text if isinstance(text, bytes) else text.encode()


def csv_cases(folder: Path) -> Iterator[Case]:
  columns = {
    'file': ('fname',),
    'label': ('label',),
    'verified': ('manually_verified',),
  }
  for i, (what, text, wanted, says) in enumerate(_LISTS):
    path = folder / f'list{i}.csv'
    path.write_bytes(_bytes(text))
    run = lambda path=path: csv_list.read_list(str(path), columns) and []
    yield Case('CSV', what, wanted, run, says)
  for i, (what, text, wanted) in enumerate(_CLASS_LISTS):
    root = folder / f'classes{i}'
    root.mkdir()
    (root / 'class_labels_indices.csv').write_bytes(_bytes(text))
    run = lambda root=root: audioset_tfrecord.read_classes(str(root)) and []
    yield Case('CSV', f'class list: {what}', wanted, run)
  for what, change, wanted, says in (
    ('an unknown test label', ('high,Public', 'hihg,Public'), REFUSED, 'hihg'),
    ('an unknown usage', ('high,Public', 'high,Publik'), REFUSED, 'Publik'),
    (
      'a file that is missing',
      ('test001.wav', 'gone.wav'),
      SKIPPED,
      'gone.wav',
    ),
    ('a path out of the folder', ('test001.wav', '../x.wav'), SKIPPED, '../x'),
  ):
    root = folder / f'fsd {what}'
    dcase_data.write_fsd(root, train=6, test=6)
    path = root / 'test_post_competition.csv'
    text = path.read_text().replace('mid,Public', 'high,Public')
    path.write_text(text.replace(*change))
    run = lambda root=root: [
      entry
      for entry in clips.from_fsdkaggle2018(root).skipped
      if 'void' not in entry['file']
    ]
    yield Case('CSV', what, wanted, run, says)
  for what, files in (
    ('an empty folder', {}),
    ('one class alone', {'low/a.wav': _wav(np.ones(99))}),
    ('two lists', {'a.csv': b'file,label\n', 'b.csv': b'file,label\n'}),
    ('a list of nothing there', {'labels.csv': b'file,label\nx.wav,low\n'}),
    ('a fold in words', {'labels.csv': b'file,label,fold\nx.wav,low,one\n'}),
  ):
    root = folder / what
    root.mkdir()
    for name, data in files.items():
      (root / name).parent.mkdir(exist_ok=True)
      (root / name).write_bytes(data)
    run = lambda root=root: clips.from_folder(root) and []
    yield Case('CSV', f'recordings: {what}', REFUSED, run, str(root))
  run = lambda: clips.from_folder(folder / 'nowhere') and []
  yield Case('CSV', 'recordings: no folder', REFUSED, run, 'nowhere')


# TFRecords.


def _record(**changes) -> bytes:
  """The payload of one clip, with fields changed."""
  clip = {
    'video_id': b'0123456789a', 'start_time_seconds': 0.0,
    'end_time_seconds': 10.0, 'labels': [0, 2],
    'audio_embedding': np.arange(1280).reshape(10, 128).astype(np.uint8),
    **changes,
  }  # fmt: skip
  return audioset_tfrecord.serialize(clip)


def _framed(payload: bytes) -> bytes:
  length = struct.pack('<Q', len(payload))
  crc = tfrecord._masked_crc32c
  return b''.join(
    [length, struct.pack('<I', crc(length)), payload,
     struct.pack('<I', crc(payload))]
  )  # fmt: skip


def _release(root: Path, data: bytes) -> Path:
  """A release of one good file and one with `data`."""
  files = root / 'features' / 'eval'
  files.mkdir(parents=True)
  (files / '00.tfrecord').write_bytes(_framed(_record()) * 2)
  (files / '01.tfrecord').write_bytes(data)
  text = 'index,mid,display_name\n' + ''.join(
    f'{i},{i},c{i}\n' for i in range(4)
  )
  (root / 'class_labels_indices.csv').write_text(text)
  return root


def _pack(root: Path, damaged: str) -> list[dict]:
  with tempfile.TemporaryDirectory() as out:
    audioset_tfrecord.pack(str(root), 'eval', f'{out}/packed', damaged)
    packed = Examples.load(f'{out}/packed')
  if len(packed) < 2:
    raise Broken('the good records are gone')
  return packed.skipped


def _records() -> Iterator[tuple[str, bytes]]:
  """(what, bytes of a file) with a damaged record in each."""
  good = _framed(_record())
  # One bit of every field of the framing, and of places in the payload.
  places = [
    *range(16),
    *range(16, len(good) - 4, 97),
    *range(len(good) - 4, len(good)),
  ]
  for place in places:
    flipped = bytearray(good)
    flipped[place] ^= 1 << place % 8
    yield f'bit {place % 8} of byte {place} flipped', bytes(flipped) + good
  for size in (1, 7, 8, 11, 12, 13, 40, 400, len(good) - 5, len(good) - 1):
    yield f'cut after {size} bytes', good + good[:size]
  yield 'an empty file', b''
  yield 'a text file', b'not a record\n' * 9
  yield 'zeros', bytes(100)
  yield 'a length past the end', struct.pack('<Q', 1 << 60) + good[8:]
  zeros = np.zeros((11, 128), np.uint8)
  for what, changes in (
    ('127-byte frames', {'audio_embedding': zeros[:10, :127]}),
    ('129-byte frames', {'audio_embedding': np.zeros((10, 129), np.uint8)}),
    ('frames of 0 bytes', {'audio_embedding': zeros[:10, :0]}),
    ('0 frames', {'audio_embedding': zeros[:0]}),
    ('11 frames', {'audio_embedding': zeros}),
    ('no labels', {'labels': []}),
    ('label 4 of 4 classes', {'labels': [0, 4]}),
    ('label -1', {'labels': [-1]}),
    ('label 2^40', {'labels': [1 << 40]}),
    ('an empty video_id', {'video_id': b''}),
  ):
    yield what, _framed(_record(**changes)) + good
  tf = audioset_tfrecord.import_tensorflow()
  example = tf.train.Example()
  example.features.feature['video_id'].bytes_list.value.append(b'x')
  yield (
    'an Example, not a SequenceExample',
    _framed(example.SerializeToString()),
  )
  for what, change in (
    ('no video_id', lambda r: r.context.feature.pop('video_id')),
    ('no labels at all', lambda r: r.context.feature.pop('labels')),
    ('no embedding', lambda r: r.feature_lists.feature_list.pop(
      'audio_embedding')),
    ('labels in words', lambda r: r.context.feature['labels'].bytes_list
     .value.append(b'dog')),
    ('a number as video_id', lambda r: r.context.feature['video_id']
     .int64_list.value.append(3)),
    ('two video_ids', lambda r: r.context.feature['video_id']
     .bytes_list.value.append(b'b')),
    ('floats as frames', lambda r: [
      f.float_list.value.append(1.0)
      for f in r.feature_lists.feature_list['audio_embedding'].feature]),
  ):  # fmt: skip
    record = tf.train.SequenceExample.FromString(_record())
    change(record)
    yield what, _framed(record.SerializeToString()) + good
  yield 'an empty record', _framed(b'') + good


def tfrecord_cases(folder: Path) -> Iterator[Case]:
  for i, (what, data) in enumerate(_records()):
    root = _release(folder / f'records{i}', data)
    for damaged, wanted in (('error', REFUSED), ('skip', SKIPPED)):
      run = lambda root=root, damaged=damaged: _pack(root, damaged)
      name = f'{what}, damaged={damaged}'
      yield Case('TFRecord', name, wanted, run, '01.tfrecord')
  for what, change in (
    ('no such split', lambda root: shutil.rmtree(root / 'features')),
    ('no files', lambda root: [
      p.unlink() for p in (root / 'features/eval').iterdir()]),
    ('no class list', lambda root: (
      root / 'class_labels_indices.csv').unlink()),
  ):  # fmt: skip
    root = _release(folder / what, b'')
    change(root)
    run = lambda root=root: _pack(root, 'error')
    yield Case('TFRecord', what, REFUSED, run, str(root))


# Checkpoints, and whatever else a run leaves.


def _state(**changes) -> dict:
  state = {'w': np.ones((4, 3), np.float32), 'b': np.zeros(3, np.float32)}
  return {**state, **changes}


def checkpoint_cases(folder: Path) -> Iterator[Case]:
  saved = folder / 'saved'
  with contextlib.closing(checkpoint_lib.Checkpoints(saved)) as checkpoints:
    checkpoints.save(3, _state(), {'evaluations': []})
    checkpoints.save_best(3, _state(), {'evaluations': []})
  wide = np.ones((5, 3), np.float32)
  for what, template in (
    ('a wrong shape', _state(w=wide)),
    ('a missing variable', _state(c=wide)),
    ('a variable too many', {'w': _state()['w']}),
    ("another experiment's", {'x': {'w': wide}}),
  ):
    yield Case(
      'checkpoint', what, REFUSED, _restoring(saved, template), 'latest'
    )
  files = [p for p in (saved / 'latest').rglob('*') if p.is_file()]
  for i, path in enumerate(files):
    name = path.relative_to(saved / 'latest' / '3')
    if name.name == 'commit_success.txt':
      continue
    for what, change in (
      ('missing', lambda p: p.unlink()),
      ('emptied', lambda p: p.write_bytes(b'')),
      ('cut', lambda p: os.truncate(p, p.stat().st_size // 2)),
      ('overwritten', lambda p: p.write_bytes(b'\xff' * p.stat().st_size)),
      ('a list', lambda p: p.write_bytes(b'[1, 2]')),
      ('a number', lambda p: p.write_bytes(b'0')),
      ('an empty object', lambda p: p.write_bytes(b'{}')),
    ):
      copy = folder / f'{what}{i}'
      shutil.copytree(saved, copy)
      change(copy / 'latest' / '3' / name)
      # Some files are not needed to restore; then what is read is right.
      run = _restoring(copy, _state())
      yield Case('checkpoint', f'{name} {what}', _ANY, run)
  empty = folder / 'never'
  run = lambda: checkpoint_lib.Checkpoints(empty).restore_best(_state()) and []
  yield Case('checkpoint', 'none', REFUSED, run, 'train first')


# Refused or read.
_ANY = 'any'


def _restoring(folder: Path, template) -> Callable[[], list]:
  def run():
    with contextlib.closing(checkpoint_lib.Checkpoints(folder)) as checkpoints:
      state, history = checkpoints.restore(template)
    same = jax.tree.all(jax.tree.map(np.array_equal, state, template))
    if not same or history != {'evaluations': []}:
      raise Broken('restored what was not saved')
    return []

  return run


def leavings_cases(folder: Path) -> Iterator[Case]:
  """Damaged packed examples, predictions, extractors, weights, JSON."""
  whole = folder / 'examples'
  root = _release(folder / 'release', _framed(_record()))
  audioset_tfrecord.pack(str(root), 'eval', str(whole))
  np.savez(folder / 'variables.npz', **{'params/w': np.ones(3)})
  keys = ('probabilities', 'ids', 'label_ids', 'label_offsets')
  np.savez(folder / 'predictions.npz', **dict.fromkeys(keys, np.ones(3)))
  weights = {k: np.zeros(shape) for k, shape in convert.shapes(0.03).items()}
  np.savez(folder / 'weights.npz', **weights)
  (folder / 'experiment.json').write_text('{"config": {}}')
  readers = {
    **{
      f'examples/{name}': lambda copy: Examples.load(str(copy / 'examples'))
      for name in sorted(os.listdir(whole))
    },
    'variables.npz': embed.load_variables,
    'predictions.npz': evaluate.load_predictions,
    'weights.npz': lambda copy: convert.load(str(copy / 'weights.npz'), 0.03),
    'experiment.json': lambda copy: claim.read_claim(ConfigDict(), copy),
  }
  for name, read in readers.items():
    for what, change in (
      ('missing', lambda p: p.unlink()),
      ('empty', lambda p: p.write_bytes(b'')),
      ('cut', lambda p: os.truncate(p, p.stat().st_size // 2)),
      ('text', lambda p: p.write_bytes(b'nothing to see\n')),
      ('another object', lambda p: p.write_bytes(_other(p.suffix))),
      *(_ZIPS if name.endswith('.npz') else ()),
    ):
      copy = folder / f'{name}-{what}'.replace('/', '-')
      copy.mkdir()
      for path in (whole, *folder.glob('*.npz'), *folder.glob('*.json')):
        copying = shutil.copytree if path.is_dir() else shutil.copy
        copying(path, copy / path.name)
      change(copy / name)
      run = lambda read=read, copy=copy: read(copy) and []
      yield Case('leavings', f'{name}: {what}', REFUSED, run, copy.name)
  for what, width in (('another width', 0.5), ('full width', 1.0)):
    run = lambda width=width: convert.load(str(folder / 'weights.npz'), width)
    yield Case('leavings', f'weights of {what}', REFUSED, run, 'conv')


def _marked(place: int, value: int) -> Callable[[Path], int]:
  """A change of a byte in all headers of a zip, central ones have 2 more."""

  def change(path):
    data = path.read_bytes()
    marked = bytearray(data)
    for mark, at in ((b'PK\x03\x04', place), (b'PK\x01\x02', place + 2)):
      start = -1
      while (start := data.find(mark, start + 1)) >= 0:
        marked[start + at] = value
    return path.write_bytes(marked)

  return change


# Of an .npz: flags are at byte 6 of a header, the compression is at byte 8.
_ZIPS = (
  ('with a password', _marked(6, 1)), ('patched', _marked(6, 32)),
  ('deflated nonsense', _marked(8, 8)), ('bzip2 nonsense', _marked(8, 12)),
  ('LZMA nonsense', _marked(8, 14)), ('compressed anyhow', _marked(8, 99)),
)  # fmt: skip


def _other(suffix: str) -> bytes:
  """A file of the right kind that holds something else, pickled if it can."""
  out = io.BytesIO()
  if suffix == '.npy':
    np.save(out, np.array([{'a': 1}]), allow_pickle=True)
  elif suffix == '.npz':
    np.savez(out, x=np.array([{'a': 1}], object))
  else:
    out.write(b'[1, 2]')
  return out.getvalue()


# Bundles.


def make_bundle(folder: Path, module=audioset_level3) -> Path:
  """A bundle of one random classifier, and for DCASE one random extractor."""
  config, extractors = module.get_config(), {}
  config.model.hidden = (8, 8, 8)
  if module is dcase_l6:
    config.extractor.width, config.extractor.batch_norm = 0.01, True
    hears = vggish.VGGish(width=0.01, batch_norm=True)
    examples = np.zeros((1, *convert.EXAMPLE), np.float32)
    extractors['original'] = jax.jit(hears.init)(jax.random.key(0), examples)
  model = models.classifier(config.model, 3)
  x, mask = np.zeros((1, 10, 128), np.float32), np.ones((1, 10), bool)
  variables = jax.jit(model.init)(jax.random.key(0), x, mask)
  variables = jax.tree.map(lambda x: np.asarray(x)[None], dict(variables))
  member = tagger.Ensemble(10, False, np.zeros(1, np.int32), variables)
  folder.mkdir()
  results = {
    'experiment': 'x', 'metrics': {}, 'expected': {}, 'versions': {},
    'n_examples': 1, 'n_train_examples': 1, 'dataset_fingerprint': '',
  }  # fmt: skip
  bundle.write(folder, config, results, ('a', 'b', 'c'), extractors, [member])
  return folder / 'bundle'


def _info(folder: Path, **changes) -> None:
  """Changes fields of bundle.json; None removes one."""
  path = folder / 'bundle.json'
  info = json.loads(path.read_text()) | changes
  kept = {k: v for k, v in info.items() if v is not None}
  path.write_text(json.dumps(kept))


def _forged(folder: Path, data: bytes) -> None:
  """Other weights, with the digest that they need."""
  (folder / 'weights.npz').write_bytes(data)
  files = json.loads((folder / 'bundle.json').read_text())['files']
  digest = hashlib.sha256(data).hexdigest()
  _info(folder, files=files | {'weights.npz': digest})


def forge(folder: Path, save=np.savez, **changes) -> None:
  """Arrays changed, put in, or left out (None), with the digest they need."""
  with np.load(folder / 'weights.npz', allow_pickle=False) as file:
    arrays = dict(file) | changes
  out = io.BytesIO()
  save(out, **{k: v for k, v in arrays.items() if v is not None})
  _forged(folder, out.getvalue())


# What may be wrong with an array, of which there is one in each member.
_ARRAYS = {
  'missing': lambda x: None,
  'transposed': lambda x: x.T,
  'without members': lambda x: x[0],
  'of two members': lambda x: np.repeat(x, 2, 0),
  'of no member': lambda x: x[:0],
  'one number for all': lambda x: x[..., :1],
  'one number': lambda x: x.sum(),
  'of one more axis': lambda x: x[..., None],
  'float64': lambda x: x.astype(np.float64),
  'float16': lambda x: x.astype(np.float16),
  'int32': lambda x: x.astype(np.int32),
  'complex': lambda x: x.astype(np.complex64),
  'bool': lambda x: x.astype(bool),
  'in words': lambda x: x.astype(str),
  'a date': lambda x: x.astype('datetime64[s]'),
  'a structure': lambda x: x.view([('x', np.float32)]),
  'NaN': lambda x: np.full_like(x, np.nan),
  'infinite': lambda x: np.full_like(x, np.inf),
}
# Values that bundle.json may not have; None leaves the field out.
_FIELDS = {
  'format': (99, None, '1', [1]),
  'files': (None, 3, {}),
  'classes': (None, 3, [], ['a', 'b'], ['a', 'b', 3], 'abc', {'a': 1}),
  'front_end': (None, 3, {}, [], {'sample_rate': [16_000]}),
  'task': ('speech', None, [], 'dcase'),
  'loss': ('mse', None, ['binary']),
  'experiment': (None, 3),
  'extractors': (None, 3, ['a'], 'a'),
  'extractor': (None, 3, {}),
  'model': (None, 3, {'name': 'eval'}, {'name': ['dnn']}, {}),
  'ensembles': (None, 3, [], [{}], [3], [{'length': 'x'}]),
}
_MODEL = {
  'hidden': ([], [8, 8], [8, 8, 2**40], [0, 8, 8], ['8', '8', '8'], 8, 'x'),
  'levels': ([], [4], [1], ['3'], 3), 'dtype': ('int8', 3, []),
  'f_activation': ('exec', []), 'classes': (3,), 'x': (1,), 'parent': ('x',),
}  # fmt: skip
_ENSEMBLE = {
  'length': (0, -1, 2**40, '1', None, 1.5), 'wrap': (None, 'x'),
  'extractors': ([], [1], [-1], [0, 0], ['a'], None, 3, [0.5]),
}  # fmt: skip
_HEARS = {
  'width': (-1, 0.5, 1e300, float('inf'), float('nan'), 'x', None),
  'batch_norm': (False,), 'embedding_activation': ('exec', []),
}  # fmt: skip


def _damages(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy) of a bundle of AudioSet."""
  for name in ('bundle.json', 'weights.npz', 'README.md'):
    yield f'{name}: missing', lambda copy, name=name: (copy / name).unlink()
    for what, data in (('empty', b''), ('text', b'no\n')):
      yield (
        f'{name}: {what}',
        lambda copy, name=name, data=data: (copy / name).write_bytes(data),
      )
  flipped = bytearray((whole / 'weights.npz').read_bytes())
  flipped[len(flipped) // 2] ^= 1
  for what, data in (('a list', b'[]'), ('deep', b'[' * 100_000)):
    yield what, lambda copy, data=data: (copy / 'bundle.json').write_bytes(data)
  yield (
    'a bit of the weights',
    lambda copy: (copy / 'weights.npz').write_bytes(flipped),
  )
  yield (
    'files elsewhere',
    lambda copy: _info(copy, files={'../../weights.npz': ''}),
  )
  for field, values in _FIELDS.items():
    for value in values:
      yield (
        f'{field}={value!r}',
        lambda copy, field=field, value=value: _info(copy, **{field: value}),
      )
  info = json.loads((whole / 'bundle.json').read_text())
  for section, fields in (('model', _MODEL), ('ensembles', _ENSEMBLE)):
    for field, values in fields.items():
      for value in values:
        old = info[section]
        new = [old[0] | {field: value}] if section == 'ensembles' else (
          old | {field: value}
        )  # fmt: skip
        yield (
          f'{section}.{field}={value!r}',
          lambda copy, new=new, s=section: _info(copy, **{s: new}),
        )


def _forgeries(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy): other weights, with the right hashes."""
  with np.load(whole / 'weights.npz', allow_pickle=False) as file:
    arrays = dict(file)
  for name in ('params/hidden1/dense/kernel', 'batch_stats/hidden2/norm/mean'):
    name = f'ensembles/0/{name}'
    for what, change in _ARRAYS.items():
      new = {name: change(arrays[name])}
      yield f'{name} {what}', lambda copy, new=new: forge(copy, **new)
  for name in ('x', '../../../x', '/x'):
    yield (
      f'an array too many, {name}',
      lambda copy, name=name: forge(copy, **{name: np.zeros(3)}),
    )
  yield (
    'an array in the place of a folder',
    lambda copy: forge(copy, **{'ensembles/0': np.zeros(3)}),
  )
  yield 'no array', lambda copy: forge(copy, **dict.fromkeys(arrays))
  # A bomb takes a thousand times its size.
  yield 'compressed weights', lambda copy: forge(copy, np.savez_compressed)
  name = 'ensembles/0/params/output/bias'
  yield 'a header that lies', lambda copy: _lying(copy, arrays[name], name)
  yield 'weights that hide a pickle', lambda copy: _forged(copy, _other('.npz'))
  for what, data in (('empty', b''), ('text', b'no\n')):
    yield f'weights: {what}', lambda copy, data=data: _forged(copy, data)
  for what, change in _ZIPS:
    yield (
      f'weights: {what}',
      lambda copy, change=change: (
        change(copy / 'weights.npz'),
        _forged(copy, (copy / 'weights.npz').read_bytes()),
      ),
    )


def _lying(folder: Path, array: np.ndarray, name: str) -> None:
  """An array whose header tells of a petabyte."""
  header = {'descr': '<f4', 'fortran_order': False, 'shape': (10**15,)}
  out = io.BytesIO()
  np.lib.format.write_array_header_1_0(out, header)
  data = out.getvalue() + array.tobytes()
  weights = folder / 'weights.npz'
  with zipfile.ZipFile(weights) as old:
    entries = {n: old.read(n) for n in old.namelist()}
  out = io.BytesIO()
  with zipfile.ZipFile(out, 'w') as new:
    for entry, content in (entries | {f'{name}.npy': data}).items():
      new.writestr(entry, content)
  _forged(folder, out.getvalue())


def _deaf(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy) of a bundle of DCASE: its extractor."""
  extractor = json.loads((whole / 'bundle.json').read_text())['extractor']
  for field, values in _HEARS.items():
    for value in values:
      new = extractor | {field: value}
      yield (
        f'extractor.{field}={value!r}',
        lambda copy, new=new: _info(copy, extractor=new),
      )
  for count in (0, 2):
    yield (
      f'{count} extractors',
      lambda copy, count=count: _info(copy, extractors=['original'] * count),
    )
  yield (
    'a kernel of another shape',
    lambda copy: forge(
      copy, **{'extractors/0/params/conv2/kernel': np.zeros((3, 3, 8, 9))}
    ),
  )
  yield 'without an ensemble', lambda copy: _info(copy, ensembles=[])


def bundle_cases(folder: Path) -> Iterator[Case]:
  wholes = [
    make_bundle(folder / module.__name__, module)
    for module in (audioset_level3, dcase_l6)
  ]
  for whole, damages in (
    (wholes[0], _damages), (wholes[0], _forgeries), (wholes[1], _deaf),
  ):  # fmt: skip
    for i, (what, change) in enumerate(damages(whole)):
      copy = folder / f'{damages.__name__}{i}'
      shutil.copytree(whole, copy)
      change(copy)
      run = lambda copy=copy: bundle.load(copy) and []
      yield Case('bundle', what, REFUSED, run, copy.name)
  run = lambda: bundle.load(folder / 'nowhere') and []
  yield Case('bundle', 'no folder', REFUSED, run, 'nowhere')
  yield Case('bundle', 'as it was', READ, lambda: _tag(wholes[0]))
  yield Case('bundle', 'with ears', READ, lambda: bundle.load(wholes[1]) and [])


def _tag(folder: Path) -> list:
  """Loads a bundle and tags a clip of embeddings with it."""
  found = bundle.load(folder)
  frames = np.zeros((10, 128), np.uint8)
  (tags,) = found.tag([frames])
  if isinstance(tags, UserError):
    raise tags
  if len(tags.tags) != 3 or not np.isfinite(tags.probabilities).all():
    raise Broken(f'{folder}: {tags}')
  return []


# Configs.

# (field, value) of a shipped AudioSet and DCASE config.
_VALUES = {
  audioset_level3: {
    'task': ('', 'speech'), 'sampling': ('', 'Balanced'),
    'loss': ('mse', 'categorical'), 'metric': ('', 'MAP@3', 'mAp'),
    'damaged': ('', 'ignore'), 'examples_on': ('disk', 'gpu'),
    'batch_size': (0, -1, 2**40), 'max_steps': (0, 2**31),
    'eval_every': (0, -5), 'patience': (0,), 'checkpoint_every': (0,),
    'steps_per_dispatch': (0, 10**6), 'seed': (-1, 2**31),
    'mixup_alpha': (-0.1, np.nan, np.inf), 'average': (-1.0, 1.0, np.nan),
    'optimizer.name': ('', 'Adam', 'lion'),
    'optimizer.learning_rate': (0.0, -1e-3, np.nan, np.inf),
    'optimizer.b1': (1.0, -0.1), 'optimizer.b2': (1.0, np.nan),
    'optimizer.momentum': (1.0,), 'optimizer.l1': (-1.0, np.nan),
    'optimizer.l2': (-1.0, np.inf),
    'model.name': ('', 'transformer'), 'model.dtype': ('float64', 'int8'),
    'model.hidden': ((), (0,), (-3, 4, 5), ('a',), (1.5,)),
    'model.levels': ((), (0,), (4,), ('3',)),
    'model.f_activation': ('gelu',), 'model.dropout': (-0.1, 1.0, np.nan),
    'model.bn_momentum': (-0.1, 1.0),
    'train_splits': ((), ('test',), ('eval', 'eval'), (3,)),
    'eval_splits': ((), ('bal_trian',)), 'data_dir': ('nowhere', '\0'),
  },
  dcase_l6: {
    'dataset': ('', 'esc50'), 'on_bad': ('', 'ignore'),
    'on_diverged': ('ignore',), 'loss': ('binary',), 'metric': ('mAP',),
    'extractors': ((), ('balanced',), ('original', 'best_first')),
    'segments': ((), (-1,), (10**6,), ('6',)), 'folds': (1, 0, 10**6),
    'pitch_to': (-1,), 'mixup_alpha': (-1.0,),
    'classes': (('nothing',), (3,)), 'data_dir': ('nowhere',),
    'extractor.model': ('resnet',), 'extractor.init': ('nowhere.npz',),
    'extractor.width': (0.0, -1.0, np.nan, 100.0), 'extractor.hidden': (0,),
    'extractor.embedding_activation': ('gelu',),
    'extractor.dtype': ('float16',), 'extractor.examples_on': ('disk',),
    'extractor.batch_size': (0,), 'extractor.max_steps': (0,),
    'extractor.eval_every': (-1,), 'extractor.patience': (0,),
    'extractor.checkpoint_every': (0,),
    'extractor.optimizer.name': ('Adam',),
    'extractor.optimizer.learning_rate': (0.0, np.nan),
    'extractor.cosine_steps': (-1,),
    'extractor.augment.mixup_alpha': (-1.0, np.nan),
    'extractor.augment.mask_frames': (-1, 97),
    'extractor.augment.mask_bands': (65,),
  },
}  # fmt: skip


# Fields that are sound alone, and what is said of them together.
_TOGETHER = (
  (audioset_level3, {'model.name': 'lstm'}, 'model.hidden'),
  (audioset_level3, {'model.hidden': (8,)}, 'model.levels'),
  (audioset_level3, {'model.name': 'lstm', 'model.hidden': (8,)}, 'model'),
  (
    audioset_level3,
    {'eval_splits': ('bal_train', 'bal_train')},
    'bal_train, bal_train',
  ),
  (dcase_l6, {'model.name': 'dnn'}, 'f_activation'),
  (
    dcase_l6,
    {'extractor.model': 'baseline', 'extractor.init': 'x.npz'},
    "must be 'random' for a baseline",
  ),
)


def config_cases(folder: Path) -> Iterator[Case]:
  """Values that make no sense, names that are misspelt, wrong types."""
  release = _release(folder / 'release', _framed(_record()))
  fsd = dcase_data.write_fsd(folder / 'fsd', train=6, test=6)
  data = {audioset_level3: release, dcase_l6: fsd}

  def refusing(module, fields, name):
    config = module.get_config()
    config.data_dir = str(data[module])
    if module is audioset_level3:
      config.train_splits = ('eval',)
    config.update_from_flattened_dict(fields)
    return lambda: _refusing(config, folder / name)

  for i, (module, fields, says) in enumerate(_TOGETHER):
    run = refusing(module, fields, f'together{i}')
    yield Case('config', f'{fields} together', REFUSED, run, says)
  for module, fields in _VALUES.items():
    for field, values in fields.items():
      for i, value in enumerate(values):
        run = refusing(module, {field: value}, f'{module.__name__}-{field}{i}')
        says = '' if 'splits' in field or 'data' in field else field
        says = 'class' if field == 'classes' else says
        says = 'nowhere' if 'nowhere' in str(value) else says
        yield Case('config', f'{field}={value!r}', REFUSED, run, says)
  for path in _leaves(audioset_level3.get_config()):
    name = path.rpartition('.')[2]
    if len(name) < 4:
      continue
    typo = f'--config.{path[:-2]}{path[-1]}{path[-2]}=1'
    if name[-1] == name[-2]:
      typo = f'--config.{path[:-1]}=1'
    yield _flags('a misspelt ' + path, [typo], name)
  for option, says in (
    ('--config.batch_size=many', 'batch_size'),
    ('--config.seed=1.5', 'seed'),
    ('--config.model=3', 'model'),
    ('--config.model.hidden=(1,', 'hidden'),
    ('--config.model.batch_norm=maybe', 'batch_norm'),
    ('--config.optimizer.learning_rate=fast', 'learning_rate'),
    ('--config.optimizer.learning_rate.x=1', ''),
    ('--mode=tset', 'mode'),
    ('--wokdir=x', 'workdir'),
  ):
    yield _flags(option, [option], says)
  for i, (what, text) in enumerate((
    ('that is missing', None), ('that is no Python', 'def get_config(:'),
    ('without get_config', 'x = 1'), ('that fails', 'x = 1 / 0'),
    ('that gives a number', 'get_config = lambda: 3'),
    ('that imports what is not there', 'import nothing_of_the_kind'),
    ('without a task', 'from ml_collections import ConfigDict as get_config'),
  )):  # fmt: skip
    path = folder / f'config{i}.py'
    if text is not None:
      path.write_text(text)
    yield _flags(f'a file {what}', [f'--config={path}'], '', ())


def _leaves(config, prefix='') -> list[str]:
  """'model.dropout' and so on."""
  found = []
  for name, value in config.items():
    inner = isinstance(value, ConfigDict)
    found += _leaves(value, f'{prefix}{name}.') if inner else [prefix + name]
  return found


def _refusing(config, work: Path) -> list:
  try:
    experiment.run(config, work, work.with_name(f'{work.name}-cache'))
  except UserError:
    # Else the mended config would be refused as another experiment's.
    if (work / 'experiment.json').exists():
      raise Broken('the work folder is claimed') from None
    raise
  return []


_SHIPPED = ('--config=configs/audioset_level3.py',)


def _flags(what: str, options: list[str], says: str, first=_SHIPPED) -> Case:
  argv = ['main', *first, *options]

  def run():
    before = sys.argv
    flags.FLAGS.unparse_flags()
    sys.modules.pop('config_config', None)  # the file before
    try:
      console.parse_flags(argv)
    finally:
      sys.argv = before
    return []

  return Case('config', what, REFUSED, run, says)


# All of them.

KINDS = (
  wav_cases, csv_cases, tfrecord_cases, checkpoint_cases, leavings_cases,
  bundle_cases, config_cases,
)  # fmt: skip


def try_all(cases: Iterator[Case]) -> tuple[dict[str, int], list[str]]:
  """How many came out how, and what is wrong, over some cases."""
  counts, wrong = {}, []
  for case in cases:
    if case.wanted == _ANY:
      # Refused, or read as it was saved.
      case = dataclasses.replace(case, wanted=_refused_or_read(case))
    try:
      found = outcome(case)
      counts[found] = counts.get(found, 0) + 1
    except Broken as error:
      wrong.append(str(error))
  return counts, wrong


def _refused_or_read(case: Case) -> str:
  try:
    case.run()
  except UserError:
    return REFUSED
  except Exception:
    pass
  return READ


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--fuzz_minutes', type=float, default=0)
  options = parser.parse_args()
  console.configure_logging()
  logging.set_verbosity(logging.ERROR)  # else it tells of all that is skipped
  total, wrong = {}, []
  for kind in KINDS:
    with tempfile.TemporaryDirectory() as folder:
      counts, more = try_all(kind(Path(folder)))
    print(f'{kind.__name__.removesuffix("_cases")}: {counts}', flush=True)
    wrong += more
    total = {k: total.get(k, 0) + counts.get(k, 0) for k in total | counts}
  for line in wrong:
    print(f'wrong: {line}')
  print(
    f'tried: {sum(total.values()) + len(wrong)} · {total} · wrong: {len(wrong)}'
  )
  if options.fuzz_minutes:
    with tempfile.TemporaryDirectory() as folder:
      whole = make_bundle(Path(folder) / 'run')
      tried = fuzz.run(60 * options.fuzz_minutes, Path(folder), whole)
    print(f'fuzzed: {tried} · wrong: 0')
  return int(bool(wrong))


if __name__ == '__main__':
  sys.exit(main())
