"""Exports: read without this package's modules, they predict the same."""

import json

import numpy as np
import pytest
from jax import export as jax_export

import aec_jax
from aec_jax import export
from aec_jax.exports import programs
from aec_jax.run import console


def read(folder):
  """What export.json says, and the program of each file."""
  about = json.loads((folder / 'export.json').read_text())
  programs = {
    entry['file']: jax_export.deserialize(
      bytearray((folder / entry['file']).read_bytes())
    )
    for entry in about['programs']
  }
  return about, programs


def test_wav_to_tags_is_the_bundles_own_function(dcase_run, tmp_path):
  tagger = aec_jax.load(dcase_run[2] / 'bundle')
  lines = list(export.write(tagger, tmp_path / 'out', 2.5))
  assert len(lines) == 3
  about, programs = read(tmp_path / 'out')
  assert set(programs) == {
    'tags.stablehlo', 'classifier_1.stablehlo', 'classifier_2.stablehlo',
  }  # fmt: skip
  assert about['classes'] == list(tagger.classes)
  (entry, *_) = about['programs']
  assert entry['inputs'] == {
    'waveforms': {'shape': ['batch', 40000], 'dtype': 'float32'}
  }
  rng = np.random.default_rng(5)
  waveforms = rng.uniform(-0.3, 0.3, (5, 40000)).astype(np.float32)
  found = np.asarray(programs['tags.stablehlo'].call(waveforms))
  expected = [tagger.predict(x, 16000).probabilities for x in waveforms]
  np.testing.assert_allclose(found, expected, atol=1e-4)
  assert programs['tags.stablehlo'].platforms == ('cpu', 'cuda', 'tpu')
  # Pieces of two segments, of two extractors.
  x = rng.standard_normal((7, 2, 2, 128)).astype(np.float32)
  found = np.asarray(programs['classifier_2.stablehlo'].call(x))
  assert found.shape == (7, 3)
  np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_an_audioset_classifier_takes_uint8_of_any_length(hearing, tmp_path):
  tagger = aec_jax.load(hearing[0])
  list(export.write(tagger, tmp_path / 'out', 10))
  _, programs = read(tmp_path / 'out')
  assert set(programs) == {'classifier_10.stablehlo'}  # it does not hear
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (4, 10, 128), np.uint8)
  n = np.array([10, 1, 7, 3], np.int32)
  found = np.asarray(programs['classifier_10.stablehlo'].call(x, n))
  expected = [
    tags.probabilities
    for tags in tagger.tag(row[:count] for row, count in zip(x, n, strict=True))
  ]
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_hearing_that_hears_exports_wav_to_tags(
  hearing, tmp_path, capfd, monkeypatch
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  folder, vggish, pca = hearing
  arguments = [
    f'--bundle={folder}', f'--vggish={vggish}', f'--pca={pca}',
    f'--out={tmp_path / "out"}', '--seconds=0.5',
  ]  # fmt: skip
  status = console.run_command(lambda: export.main(arguments))
  out, err = capfd.readouterr()
  assert (status, err) == (0, '')
  assert out.startswith('tags.stablehlo: equal to ')
  tagger = aec_jax.load(*hearing)
  _, programs = read(tmp_path / 'out')
  wave = np.random.default_rng(0).uniform(-1, 1, (1, 8000)).astype(np.float32)
  np.testing.assert_allclose(
    programs['tags.stablehlo'].call(wave)[0],
    tagger.predict(wave[0], 16000).probabilities,
    atol=1e-3,
  )
  # What is there already stays.
  status = console.run_command(lambda: export.main(arguments))
  assert status == 2
  assert 'is there already' in capfd.readouterr().err


@pytest.mark.parametrize('off', [0.01, np.nan])
def test_a_program_that_predicts_otherwise_is_not_put_in_place(
  hearing, tmp_path, monkeypatch, off
):
  tagger = aec_jax.load(hearing[0])
  honest = programs.of_bundle

  def forged(*args):
    for program in honest(*args):
      yield program._replace(expected=program.expected + off)

  monkeypatch.setattr(programs, 'of_bundle', forged)
  with pytest.raises(RuntimeError, match='is off by'):
    list(export.write(tagger, tmp_path / 'out', 10))
  assert not list(tmp_path.iterdir())


def test_mistakes_are_one_line(hearing, tmp_path, capfd):
  arguments = [f'--bundle={hearing[0]}', f'--out={tmp_path / "o"}']
  for more, message in (
    (['--seconds=0'], '--seconds is 0'),
    (['--seconds=x'], '--seconds'),
    (['--out=/proc/nothing/here'], 'cannot be written'),
  ):
    status = console.run_command(lambda m=more: export.main([*arguments, *m]))
    out, err = capfd.readouterr()
    assert (status, out) == (2, '')
    (line,) = err.splitlines()
    assert line.startswith('error: ') and message in line
