"""Folders of parts: killed, gone on with, refused; what comes on a pipe."""

import errno
import io
import os
import types

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from aec_jax import archive, embed, pipe, predict
from aec_jax.answers import Found
from aec_jax.audio import FRONT_END, stream
from aec_jax.errors import PassingError, UserError

DEAF = types.SimpleNamespace(
  spec=FRONT_END, hears=True,
  front_end={'trim_db': None, 'peak_normalise': False},
)  # fmt: skip


class Lengths:
  """An answer: how long sounds are."""

  name, per_segment = 'lengths', 2

  def __init__(self):
    self.settings, self.columns = {'per_segment': 2}, {'seconds': float}
    self.heard = []

  def tag(self, sounds):
    for sound in sounds:
      self.heard.append(sound.name)
      if sound.name.endswith('killed.wav'):
        raise KeyboardInterrupt
      try:
        if sound.name.endswith('away.wav'):
          raise PassingError.of(sound.name, 'Input/output error')
        found = stream.survey(sound, None, False)
      except UserError as error:
        yield Found([], error=error)
      else:
        rows = [(found.samples / found.rate,)] if found.samples > 99 else []
        yield Found(rows, found.notes)


def fill(folder, answer, out, decoders=0, more=()):
  files = list(predict.find([str(folder), *map(str, more)]))
  return archive.run(answer, DEAF, files, str(out), {}, decoders, predict.tag)


@pytest.fixture
def sounds(tmp_path, monkeypatch):
  monkeypatch.setattr(archive, '_FILES', 2)
  folder = tmp_path / 'sounds'
  folder.mkdir()
  for i in range(5):
    soundfile.write(folder / f'{i}.wav', np.full(50 * (i + 1), 0.1), 8000)
  (folder / '2.wav').write_bytes(b'none')
  return folder


def table(out):
  paths = sorted(out.glob('part-*.parquet'))
  return [row for p in paths for row in parquet.read_table(p).to_pylist()]


def test_a_folder_holds_all_sounds_and_why_some_are_not_heard(
  sounds, tmp_path, capsys
):
  out = tmp_path / 'out'
  assert fill(sounds, Lengths(), out) == 0
  rows = table(out)
  assert [row['file'] for row in rows] == [
    f'{sounds}/{i}.wav' for i in range(5)
  ]
  assert rows[0]['seconds'] is None and rows[0]['error'] is None
  assert rows[1]['seconds'] == 100 / 8000
  assert 'not readable' in rows[2]['error']
  err = capsys.readouterr().err
  assert '4 sounds in 3 parts, 1 could not be heard' in err
  assert {p.name for p in out.iterdir()} == {
    '_run.json', *(f'part-0000{i}.parquet' for i in range(3))
  }  # fmt: skip


def test_a_killed_run_goes_on_after_its_whole_parts(sounds, tmp_path, capsys):
  out = tmp_path / 'out'
  (sounds / '2.wav').rename(sounds / '2killed.wav')
  with pytest.raises(KeyboardInterrupt):
    fill(sounds, Lengths(), out)
  assert [p.name for p in out.glob('*.parquet')] == ['part-00000.parquet']
  assert not [p for p in out.iterdir() if p.name.startswith('.')]
  again = Lengths()
  with pytest.raises(KeyboardInterrupt):
    fill(sounds, again, out)
  assert again.heard == [f'{sounds}/2killed.wav']
  assert 'goes on after 1 of 3 parts' in capsys.readouterr().err


def test_another_runs_folder_is_refused(sounds, tmp_path):
  out = tmp_path / 'out'
  fill(sounds, Lengths(), out)
  other = Lengths()
  other.settings = {'per_segment': 3}
  with pytest.raises(UserError, match=r'another run \(settings\)'):
    fill(sounds, other, out)
  soundfile.write(sounds / '9.wav', np.ones(100) / 2, 8000)
  with pytest.raises(UserError, match=r'another run \(files, digest\)'):
    fill(sounds, Lengths(), out)
  with pytest.raises(UserError, match='is not empty'):
    fill(sounds, Lengths(), sounds)


def test_where_a_file_lies_no_folder_is_filled(tmp_path):
  file = tmp_path / 'out.parquet'
  file.write_bytes(b'mine')
  for out, why in ((file, 'no folder'), (file / 'x', 'Not a directory')):
    with pytest.raises(UserError, match=f'--out={out}.* {why}'):
      archive._claim(out, Lengths(), {}, [], 0)
  assert file.read_bytes() == b'mine'


def test_a_full_disk_leaves_no_empty_folder(tmp_path, monkeypatch):
  def full(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

  monkeypatch.setattr(archive.files, '_settle', full)
  (tmp_path / 'mine').mkdir()
  for name in ('mine', 'new'):
    with pytest.raises(UserError, match=f'{name}: No space left'):
      archive._claim(tmp_path / name, Lengths(), {}, [], 0)
  assert os.listdir(tmp_path) == ['mine']


@pytest.mark.parametrize('name', ['x.npz', 'x.parquet'])
def test_where_no_file_can_be_nothing_is_heard(tmp_path, name):
  write = embed._write_npz if name == 'x.npz' else archive.write_part
  (tmp_path / name).mkdir()
  (tmp_path / 'file').write_text('mine')
  heard = iter([('a.wav', 'a.wav', Found([(1.0,)]))])
  for path in (tmp_path / name, tmp_path / 'file' / name):
    with pytest.raises(OSError, match='directory|File exists'):
      write(path, Lengths(), heard, {})
  assert len(list(heard)) == 1
  assert len(list(tmp_path.iterdir())) == 2


def test_what_may_pass_leaves_its_part_missing(sounds, tmp_path):
  out = tmp_path / 'out'
  (sounds / '2.wav').rename(sounds / '2away.wav')
  with pytest.raises(PassingError, match='run the same command again'):
    fill(sounds, Lengths(), out)
  assert [p.name for p in out.glob('*.parquet')] == ['part-00000.parquet']
  (sounds / '2away.wav').rename(sounds / '3a.wav')
  rows = [(None, name, Found([], error=PassingError('x'))) for name in 'ab']
  path = tmp_path / 'one.parquet'
  with pytest.raises(PassingError):
    archive.write_part(path, Lengths(), rows, {})
  with pytest.raises(PassingError):
    embed._write_npz(tmp_path / 'one.npz', Lengths(), rows, {})
  assert not list(tmp_path.glob('one.*'))


def test_a_named_path_that_cannot_be_heard_gives_status_2(
  sounds, tmp_path, capsys
):
  out, gone = tmp_path / 'out', tmp_path / 'gone.wav'
  for _ in range(2):  # whether it is new or was there
    assert fill(sounds, Lengths(), out, more=[gone]) == 2
    said = capsys.readouterr().err
    assert said.count(f'error: {gone}: no such file') == 1


def test_names_are_kept_as_they_are_as_far_as_parquet_can(tmp_path):
  names = ['a\tb.wav', os.fsdecode(b'\xff.wav')]
  rows = [(None, name, Found([(1.0,)])) for name in names]
  path = tmp_path / 'part-0.parquet'
  archive.write_part(path, Lengths(), rows, {})
  assert [row['file'] for row in table(tmp_path)] == ['a\tb.wav', '\\xff.wav']


def test_what_is_decoded_elsewhere_is_the_same(sounds):
  path = str(sounds / '4.wav')
  there = stream.read_examples(path, FRONT_END, None, False)
  here = stream.open_examples(
    stream.Recording.of_file(path), FRONT_END, None, False
  )
  assert there.facts == here.facts
  for a, b in zip(there.blocks, here.blocks, strict=True):
    np.testing.assert_array_equal(a, b)
  assert isinstance(
    stream.read_examples('gone', FRONT_END, None, False), UserError
  )
  # However small its file is, a long sound is not held.
  long = str(sounds / 'long.flac')
  soundfile.write(long, np.zeros(61 * 8000), 8000)
  assert os.path.getsize(long) < 50_000
  assert stream.read_examples(long, FRONT_END, None, False) is None


class Job:
  """In the place of another process's."""

  def __init__(self, found):
    self._found = found

  def result(self):
    return self._found


def test_others_decode_what_is_short_at_the_answers_own_step(sounds):
  asked = []

  class Pool:
    def submit(self, read, path, spec, *how):
      asked.append((path, spec.step))
      return Job(None if path.endswith('1.wav') else 'held')

  decoders = archive._Decoders(DEAF, 2, 2)
  decoders._pool = Pool()
  long = stream.Recording.of_file(sounds / '1.wav')
  some = [stream.Recording.of_file(sounds / '0.wav'), long, UserError('x')]
  found = list(decoders.decoded(some))
  assert found == ['held', long, some[2]]
  assert asked == [(f'{sounds}/0.wav', 48), (f'{sounds}/1.wav', 48)]


def wav(samples, rate, subtype):
  file = io.BytesIO()
  soundfile.write(file, samples, rate, format='WAV', subtype=subtype)
  return file.getvalue()


@pytest.mark.parametrize('kind', ['PCM_16', 'PCM_32', 'FLOAT', 'raw'])
def test_a_pipe_is_cut_into_pieces(kind):
  wave = np.random.default_rng(0).uniform(-1, 1, (2600, 1))
  wave = np.round(wave * 32767) / 32768
  data, rate = wav(wave, 1000, 'PCM_16' if kind == 'raw' else kind), None
  if kind == 'raw':
    data, rate = data[44:], 1000
  found = list(pipe.pieces(io.BytesIO(data), rate, 1.0, 0.1, []))
  assert [start for start, _, _ in found] == [0.0, 1.0, 2.0]
  assert [len(samples) for _, samples, _ in found] == [1100, 1100, 600]
  recording = stream.Recording.of_array(found[1][1], 8000)
  ((block, _),) = recording.blocks()
  np.testing.assert_allclose(block, wave[1000:2100], atol=1e-6)
  quiet = wav(wave / 1000, 1000, 'PCM_32')
  (_, first, _), *_ = pipe.pieces(io.BytesIO(quiet), None, 1.0, 0.1, [])
  np.testing.assert_allclose(first, wave[:1100] / 1000, atol=1e-8)


class Pipe(io.BytesIO):
  """What can't be gone back or forth in."""

  def seekable(self):
    return False


def of_pipe(data, rate=None, overlap=0.0):
  """(samples of each piece, notes) of bytes."""
  notes = []
  found = pipe.pieces(Pipe(data), rate, 1.0, overlap, notes)
  return [len(samples) for _, samples, _ in found], notes


def test_a_short_rest_of_a_pipe_is_left_out_but_not_all_of_it():
  data = np.zeros(1200, '<i2').tobytes()
  lengths, (note,) = of_pipe(data, 1000)
  assert lengths == [1000] and note.startswith('the last 0.20 s')
  assert of_pipe(data[:80], 1000) == ([40], [])
  assert of_pipe(data[:2200], 1000, 0.1) == ([1100], [])  # it is all in there
  with pytest.raises(UserError, match='no samples'):
    of_pipe(b'', 1000)
  with pytest.raises(UserError, match='no wav came'):
    of_pipe(b'hello')
  with pytest.raises(UserError, match='16 or 32 bits'):
    of_pipe(wav(np.zeros(9), 8000, 'PCM_24'))
  with pytest.raises(UserError, match='50 samples a second'):
    of_pipe(wav(np.zeros(9), 50, 'PCM_16'))


def test_a_wav_ends_where_its_header_says():
  data = wav(np.zeros(1500), 1000, 'PCM_16')
  tags = b'LIST' + (400).to_bytes(4, 'little') + b'x' * 400
  assert of_pipe(data + tags) == ([1000, 500], [])
  lengths, (note,) = of_pipe(data + data)
  assert lengths == [1000, 500] and 'another wav' in note
  # A chunk before the samples is passed over; a size that is none is not one.
  before = data[:12] + b'JUNK' + (3).to_bytes(4, 'little') + b'abcd' + data[12:]
  for size in (0, 0xFFFFFFFF):
    unknown = before[:-3004] + size.to_bytes(4, 'little') + before[-3000:]
    assert of_pipe(unknown) == ([1000, 500], [])
  sizes = (9999).to_bytes(8, 'little') + (3000).to_bytes(8, 'little')
  ds64 = b'ds64' + (28).to_bytes(4, 'little') + sizes + bytes(12)
  large = b'RF64' + data[4:12] + ds64 + data[12:40] + b'\xff' * 4 + data[44:]
  assert of_pipe(large + tags) == ([1000, 500], [])
