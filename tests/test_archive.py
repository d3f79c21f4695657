"""Folders of parts: killed, gone on with, refused; what comes on a pipe."""

import io
import types

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from aec_jax import archive, pipe, predict
from aec_jax.answers import Found
from aec_jax.audio import FRONT_END, stream
from aec_jax.errors import UserError

DEAF = types.SimpleNamespace(
  spec=FRONT_END, hears=True,
  front_end={'trim_db': None, 'peak_normalise': False},
)  # fmt: skip


class Lengths:
  """An answer: how long sounds are."""

  name = 'lengths'

  def __init__(self):
    self.settings, self.columns = {'per_segment': 2}, {'seconds': float}
    self.heard = []

  def tag(self, sounds):
    for sound in sounds:
      self.heard.append(sound.name)
      if sound.name.endswith('killed.wav'):
        raise KeyboardInterrupt
      try:
        found = stream.survey(sound, None, False)
      except UserError as error:
        yield Found([], error=error)
      else:
        rows = [(found.samples / found.rate,)] if found.samples > 99 else []
        yield Found(rows, found.notes)


def fill(folder, answer, out, decoders=0):
  files = list(predict.find([str(folder)]))
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
  found = list(pipe.pieces(io.BytesIO(data), rate, 1.0, 0.1))
  assert [start for start, _, _ in found] == [0.0, 1.0, 2.0]
  assert [len(samples) for _, samples, _ in found] == [1100, 1100, 600]
  recording = stream.Recording.of_array(found[1][1], 8000)
  ((block, _),) = recording.blocks()
  np.testing.assert_allclose(block, wave[1000:2100], atol=1e-6)


def test_a_short_rest_of_a_pipe_is_left_out_but_not_all_of_it():
  data = np.zeros(1200, '<i2').tobytes()
  assert len(list(pipe.pieces(io.BytesIO(data), 1000, 1.0, 0.0))) == 1
  assert len(list(pipe.pieces(io.BytesIO(data[:80]), 1000, 1.0, 0.0))) == 1
  with pytest.raises(UserError, match='no samples'):
    list(pipe.pieces(io.BytesIO(b''), 1000, 1.0, 0.0))
  with pytest.raises(UserError, match='no wav came'):
    list(pipe.pieces(io.BytesIO(b'hello'), None, 1.0, 0.0))
  wave = wav(np.zeros(9), 8000, 'PCM_24')
  with pytest.raises(UserError, match='16 or 32 bits'):
    list(pipe.pieces(io.BytesIO(wave), None, 1.0, 0.0))
