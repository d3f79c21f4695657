"""Bundles: they predict what the experiment scored, and can be trusted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bundle_data
import jax
import numpy as np
import pytest
import soundfile

import aec_jax
from aec_jax import experiment
from aec_jax.audio import stream
from aec_jax.bundle import card
from aec_jax.bundle import store as bundle_lib
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from aec_jax.exports import programs


def scored(workdir):
  with np.load(workdir / 'predictions.npz') as file:
    return file['ids'], file['probabilities']


def with_dtype(folder, copy, dtype):
  """A copy of a bundle with another dtype of its products."""
  shutil.copytree(folder, copy)
  info = json.loads((copy / 'bundle.json').read_text())
  for name in ('extractor', 'model'):
    info[name]['dtype'] = dtype
  (copy / 'bundle.json').write_text(json.dumps(info))
  return copy


def test_auto_is_kept_and_meant_by_the_device(dcase_run, tmp_path, monkeypatch):
  bundle = dcase_run[2] / 'bundle'
  info = bundle_lib.read(bundle).info
  assert info['extractor']['dtype'] == info['model']['dtype'] == 'auto'
  sound = np.random.default_rng(0).uniform(-0.3, 0.3, 40_000)
  sound = sound.astype(np.float32)
  plain = with_dtype(bundle, tmp_path / 'plain', 'float32')
  one, other = (aec_jax.load(b).predict(sound, 16_000) for b in (bundle, plain))
  np.testing.assert_array_equal(one.probabilities, other.probabilities)
  with pytest.raises(UserError, match=r"extractor\.dtype is 'int8'"):
    aec_jax.load(with_dtype(bundle, tmp_path / 'wrong', 'int8'))
  assert programs.in_float32(tagger := aec_jax.load(bundle)) is tagger
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  tagger = aec_jax.load(bundle)
  exported = programs.in_float32(tagger)
  for found, dtype in ((tagger, 'bfloat16'), (exported, 'float32')):
    for module in (found._extractor, found._classifier):
      assert (module.dtype, module.activations) == (dtype, dtype)


def tag_files(tagger, paths):
  return list(tagger.tag(stream.Recording.of_file(path) for path in paths))


def test_it_predicts_what_the_experiment_scored(dcase_run):
  config, _, workdir = dcase_run
  ids, expected = scored(workdir)
  tagger = aec_jax.load(workdir / 'bundle')
  paths = [Path(config.data_dir) / 'audio_test' / name for name in ids]
  together = tag_files(tagger, paths)
  found = np.stack([tags.probabilities for tags in together])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
  # And in three lines, from memory.
  waveform, rate = soundfile.read(paths[0])
  tags = tagger.predict(waveform, rate)
  np.testing.assert_allclose(
    tags.probabilities, expected[0], rtol=1e-3, atol=1e-5
  )
  names, values = zip(*tags.tags, strict=True)
  assert sorted(names) == ['high', 'low', 'mid']
  assert list(values) == sorted(tags.probabilities.tolist(), reverse=True)


@pytest.mark.parametrize(
  ('name', 'fields'),
  [
    (
      'dcase_lstm',
      {'model.hidden': (8,), 'segments': (0,), 'test_shifts': 3},
    ),
    pytest.param(
      'dcase_baseline',
      {
        'extractors': ('balanced_first',),
        'extractor.batch_norm': None,  # it has always some
        'test_shifts': 2,
      },
      marks=pytest.mark.slow,
    ),
  ],
)
def test_other_models_predict_what_was_scored(dcase_run, name, fields):
  config, _, workdir = dcase_run
  root = workdir.parent  # with the cache
  bundle_data.dcase_run(root, name, config.data_dir, **fields)
  ids, expected = scored(root / name)
  paths = [Path(config.data_dir) / 'audio_test' / clip for clip in ids]
  tagger = aec_jax.load(root / name / 'bundle')
  assert tagger.test_shifts == fields['test_shifts']
  assert f'cut at {tagger.test_shifts} shifts' in card.card(tagger.info)
  found = np.stack([t.probabilities for t in tag_files(tagger, paths)])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_embeddings_are_tagged_as_they_were_scored(audioset_run):
  _, _, workdir = audioset_run
  _, expected = scored(workdir)
  (folder,) = (workdir.parent / 'cache').glob('audioset-eval-*')
  examples = Examples.load(folder)
  clips = zip(examples.embeddings, examples.n_segments, strict=True)
  tagger = aec_jax.load(workdir / 'bundle')
  found = list(tagger.tag(x[:n] for x, n in clips))
  np.testing.assert_allclose(
    [tags.probabilities for tags in found], expected, rtol=1e-4, atol=1e-6
  )
  for tags, n in zip(found, examples.n_segments, strict=True):
    assert tags.timeline.shape == tags.attention.shape == (n, 5)
    np.testing.assert_allclose(tags.attention.sum(0), 1, rtol=1e-5)
    np.testing.assert_array_equal(tags.timeline[0], tags.probabilities)


def test_format_1_is_read_and_predicts_the_same(
  audioset_run, dcase_run, tmp_path
):
  rng = np.random.default_rng(0)
  for run, task, loss, sound in (
    (audioset_run, 'audioset', 'binary', rng.integers(
      0, 255, (7, 128), dtype=np.uint8)),
    (dcase_run, 'dcase', 'categorical', stream.Recording.of_array(
      rng.uniform(-1, 1, 40_000), 16_000)),
  ):  # fmt: skip
    copy = tmp_path / task
    shutil.copytree(run[2] / 'bundle', copy)
    info = as_format_1(json.loads((copy / 'bundle.json').read_text()))
    assert not {'objective', 'last_piece'} & set(str(info).split("'"))
    info |= {'task': task, 'loss': loss}
    (copy / 'bundle.json').write_text(json.dumps(info))
    (expected,) = aec_jax.load(run[2] / 'bundle').tag([sound])
    (found,) = aec_jax.load(copy).tag([sound])
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.timeline, expected.timeline)


def as_format_1(info):
  """What the first versions wrote: no objective, `wrap`, nameless members."""
  extractor = info['extractor'] | {'model': 'vggish'}
  config = info['config'] | {}
  for name in ('objective', 'last_piece', 'dataset'):
    config.pop(name)
  front_end = info['front_end'] | {}
  del front_end['step']
  for name in ('frames', 'init'):
    del extractor[name]
  ensembles = [
    {'length': e['length'], 'wrap': e['last_piece'] == 'repeat',
     'extractors': e['extractors']}
    for e in info['ensembles']
  ]  # fmt: skip
  del info['objective']
  return info | {
    'format': 1, 'extractor': extractor, 'config': config,
    'front_end': front_end, 'ensembles': ensembles,
  }  # fmt: skip


def test_a_long_sound_is_the_mean_of_its_pieces(audioset_run):
  tagger = aec_jax.load(audioset_run[2] / 'bundle')
  rng = np.random.default_rng(0)
  embeddings = rng.integers(0, 255, (23, 128), dtype=np.uint8)
  parts = [embeddings[:10], embeddings[10:20], embeddings[20:]]
  whole, *pieces = tagger.tag([embeddings, *parts])
  mean = np.average([p.probabilities for p in pieces], 0, [10, 10, 3])
  np.testing.assert_allclose(whole.probabilities, mean, rtol=1e-5)
  np.testing.assert_allclose(
    whole.timeline, np.concatenate([p.timeline for p in pieces]), rtol=1e-5
  )
  np.testing.assert_allclose(
    whole.attention, np.concatenate([p.attention for p in pieces]), rtol=1e-4
  )
  np.testing.assert_allclose(whole.times, 0.96 * np.arange(23))


def test_a_clip_that_was_repeated_keeps_its_own_time(dcase_run):
  tagger = aec_jax.load(dcase_run[2] / 'bundle')
  rng = np.random.default_rng(0)
  sound = 0.3 * rng.standard_normal(5 * 16000)
  silence = np.zeros(16000)
  tags = tagger.predict(np.concatenate([silence, sound]), 16000)
  assert tags.times[0] == pytest.approx(1, abs=0.1)
  assert tags.timeline.shape == tags.attention.shape == (5, 3)
  np.testing.assert_allclose(tags.timeline.sum(1), 1, rtol=1e-5)
  # Of pieces of one segment the weight is 1; those of two share it.
  pairs = tags.attention[:4].reshape(2, 2, 3).sum(1)
  np.testing.assert_allclose(pairs, 1.5, rtol=1e-5)


def test_audioset_bundles_hear_with_vggish(audioset_run, tmp_path):
  bundle = audioset_run[2] / 'bundle'
  vggish, pca = bundle_data.write_vggish(tmp_path)
  sound = np.random.default_rng(0).uniform(-1, 1, 16000 * 3)
  with pytest.raises(UserError, match='hears nothing without VGGish'):
    aec_jax.load(bundle).predict(sound, 16000)
  with pytest.raises(UserError, match='--pca is missing'):
    aec_jax.load(bundle, vggish)
  with pytest.raises(UserError, match='pca_eigen_vectors'):
    aec_jax.load(bundle, vggish, vggish)
  tagger = aec_jax.load(bundle, vggish, pca)
  quiet, loud = (tagger.predict(x, 16000) for x in (sound / 8, sound))
  assert quiet.times.tolist() == [0, 0.96, 1.92]
  # As in the release, nothing is normalised.
  assert np.abs(quiet.probabilities - loud.probabilities).max() > 1e-6


def test_a_dcase_bundle_takes_no_vggish_and_no_embeddings(dcase_run, tmp_path):
  bundle = dcase_run[2] / 'bundle'
  with pytest.raises(UserError, match='has its own extractors'):
    aec_jax.load(bundle, *bundle_data.write_vggish(tmp_path))
  (error,) = aec_jax.load(bundle).tag([np.zeros((3, 128), np.uint8)])
  assert isinstance(error, UserError) and 'takes sound' in str(error)


def test_bad_sounds_do_not_stop_the_others(dcase_run, tmp_path):
  tagger = aec_jax.load(dcase_run[2] / 'bundle')
  rng = np.random.default_rng(0)
  good = stream.Recording.of_array(rng.uniform(-1, 1, 9000), 8000)
  (tmp_path / 'text.wav').write_text('no sound')
  nan = stream.Recording.of_array(np.array([np.nan] * 9000), 8000)
  empty = stream.Recording.of_array(np.zeros(0), 8000)
  text = stream.Recording.of_file(tmp_path / 'text.wav')
  found = list(tagger.tag([good, nan, empty, text, good]))
  for error, word in zip(
    found[1:4], ('NaN', 'no samples', 'not readable'), strict=True
  ):
    assert isinstance(error, UserError) and word in str(error)
  np.testing.assert_allclose(found[0].probabilities, found[4].probabilities)


def test_it_says_what_it_is(dcase_run):
  config, results, workdir = dcase_run
  folder = workdir / 'bundle'
  assert {p.name for p in folder.iterdir()} == {
    'bundle.json', 'weights.npz', 'README.md',
  }  # fmt: skip
  info = json.loads((folder / 'bundle.json').read_text())
  assert info['classes'] == ['high', 'low', 'mid']
  assert info['metrics'] == results['metrics']
  # It may go to strangers: nothing of the machine it was made on.
  assert str(Path(config.data_dir).parent) not in json.dumps(info)
  card = (folder / 'README.md').read_text()
  score = results['metrics']['MAP@3_public']
  assert rf'| MAP@3\_public | {score:.4f} | 0.936 |' in card
  assert '8 × `attention`' in card
  with np.load(folder / 'weights.npz', allow_pickle=False) as file:
    names = list(file)
  assert 'extractors/1/params/conv1/kernel' in names
  assert not [n for n in names if 'opt_state' in n]


def test_it_is_written_again_when_it_is_missing(dcase_run):
  config, results, workdir = dcase_run
  before = (workdir / 'results.json').read_bytes()
  weights = (workdir / 'bundle/weights.npz').read_bytes()
  shutil.rmtree(workdir / 'bundle')
  again = experiment.run(config, workdir, workdir.parent / 'cache')
  assert again == results
  assert (workdir / 'results.json').read_bytes() == before
  assert (workdir / 'bundle/weights.npz').stat().st_size == len(weights)
  aec_jax.load(workdir / 'bundle')
  assert not list(workdir.glob('.*bundle*'))


def test_the_card_says_that_out_of_fold_members_are_averaged(dcase_run):
  info = aec_jax.load(dcase_run[2] / 'bundle').info
  assert 'mean over all members' not in bundle_lib.card(info)
  card = bundle_lib.card(info | {'scored_on': 'out-of-fold'})
  assert 'mean over all members' in card


def test_the_card_names_an_extractor_once_and_counts_its_folds(dcase_run):
  info = aec_jax.load(dcase_run[2] / 'bundle').info
  folder = info | {'config': info['config'] | {'dataset': 'folder'}}
  names = [f'{name}/{i}' for name in ('one', 'two') for i in range(3)]
  card = bundle_lib.card(folder | {'extractors': names})
  assert ' over one, two (3 folds of each)' in card
  assert '\n\nA folder of recordings: ' in card


@pytest.mark.parametrize('name', ['weights.npz', 'README.md', 'bundle.json'])
@pytest.mark.parametrize('damage', ['missing', 'changed'])
def test_a_damaged_bundle_is_refused(audioset_run, tmp_path, name, damage):
  copy = tmp_path / 'bundle'
  shutil.copytree(audioset_run[2] / 'bundle', copy)
  if damage == 'missing':
    (copy / name).unlink()
  else:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2 :] = b'\0' * (len(data) // 2)
    (copy / name).write_bytes(data)
  with pytest.raises(UserError, match=name if damage == 'changed' else None):
    aec_jax.load(copy)


@pytest.mark.parametrize(
  'change',
  [
    {'format': 3},
    {'model': {'name': '__import__'}},
    {'model': {'name': 'attention', 'hidden': [8], 'levels': [1], 'x': 1}},
    {'front_end': {'sample_rate': 8000}},
    {'ensembles': [{'length': 'x'}]},
    {'classes': None},
    {'test_shifts': 2},  # of embeddings
  ],
)
def test_what_a_stranger_wrote_is_refused(audioset_run, tmp_path, change):
  copy = tmp_path / 'bundle'
  shutil.copytree(audioset_run[2] / 'bundle', copy)
  info = json.loads((copy / 'bundle.json').read_text()) | change
  (copy / 'bundle.json').write_text(json.dumps(info))
  with pytest.raises(UserError):
    aec_jax.load(copy)


def test_pickles_are_refused(audioset_run, tmp_path):
  copy = tmp_path / 'bundle'
  shutil.copytree(audioset_run[2] / 'bundle', copy)
  np.savez(copy / 'weights.npz', evil=np.array([object()], object))
  info = json.loads((copy / 'bundle.json').read_text())
  info['files']['weights.npz'] = bundle_lib._sha256(copy / 'weights.npz')
  (copy / 'bundle.json').write_text(json.dumps(info))
  with pytest.raises(UserError, match='not a bundle'):
    aec_jax.load(copy)


def test_tagging_needs_neither_tensorflow_nor_what_training_needs(dcase_run):
  code = (
    'import sys, numpy, aec_jax\n'
    'assert "jax" not in sys.modules\n'
    f'tagger = aec_jax.load({str(dcase_run[2] / "bundle")!r})\n'
    'tagger.predict(numpy.zeros(16000), 16000)\n'
    'from aec_jax import archive, predict\n'
    'heavy = ("tensorflow", "orbax", "optax", "librosa", "clu", "scipy",'
    ' "ml_collections", "tensorflow_datasets", "sklearn", "matplotlib")\n'
    'print([name for name in heavy if name in sys.modules])\n'
  )
  out = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True,
    cwd=Path(__file__).parents[1],
  )  # fmt: skip
  assert out.stdout.strip() == '[]'
