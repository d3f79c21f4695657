"""Scoring again: what it needs, and what of a bundle belongs to what."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import aec_jax
from aec_jax import asking, experiment, export, predict, scoring
from aec_jax.audio import stream
from aec_jax.bundle import card, store
from aec_jax.errors import UserError
from aec_jax.sources import shifted as shifted_clips


def test_what_was_never_trained_is_not_trained_to_be_scored(
  dcase_run, tmp_path
):
  config, _, workdir = dcase_run
  cache_dir, begun = workdir.parent / 'cache', tmp_path / 'begun'
  begun.mkdir()
  shutil.copy(workdir / 'experiment.json', begun)
  before = {path.name for path in cache_dir.iterdir()}
  with pytest.raises(UserError, match='holds no checkpoint: train first'):
    experiment.run(config, begun, cache_dir, 'evaluate')
  assert {path.name for path in cache_dir.iterdir()} == before
  # Nor is an extractor, which the cache has lost.
  shutil.copytree(workdir / 'checkpoints', begun / 'checkpoints')
  for extractor in cache_dir.glob('extractor-balanced_first-*'):
    extractor.rename(tmp_path / extractor.name)
  try:
    with pytest.raises(UserError, match='no extractor balanced_first.*train'):
      experiment.run(config, begun, cache_dir, 'evaluate')
  finally:
    for extractor in tmp_path.glob('extractor-*'):
      extractor.rename(cache_dir / extractor.name)


def test_work_of_the_default_before_auto_is_scored_as_it_was_trained(
  dcase_run, tmp_path, monkeypatch
):
  config, before, workdir = dcase_run
  assert config.extractor.dtype == config.model.dtype == 'auto'
  folder, cache_dir = tmp_path / 'run', Path(before['cache_dir'])
  shutil.copytree(workdir, folder)
  for name in ('experiment.json', 'results.json', 'bundle/bundle.json'):
    text = (folder / name).read_text()
    assert text.count('"dtype": "auto"') in (2, 4)
    text = text.replace('"dtype": "auto"', '"dtype": "float32"')
    (folder / name).write_text(text)
  trained = experiment.run(config, folder, cache_dir)
  assert trained['metrics'] == before['metrics']
  # Also where 'auto' is none.
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  own, asked = scoring.classifiers, []

  def classifiers(*args):
    asked.append(own(*args))
    return asked[-1]

  monkeypatch.setattr(scoring, 'classifiers', classifiers)
  found = experiment.run(config, folder, cache_dir, 'evaluate')
  assert found['metrics'] == pytest.approx(before['metrics'], rel=1e-5)
  assert {system.model.dtype for system in asked} == {'float32'}


def test_ensembles_are_told_apart_by_their_place(
  dcase_run, tmp_path, monkeypatch
):
  """Of whole clips, the longest may have as many segments as other pieces."""
  config, results, workdir = dcase_run
  shutil.copytree(workdir, tmp_path / 'run')
  read = store.read

  def of_two_segments(folder):
    found = read(folder)
    both = [dataclasses.replace(e, length=2) for e in found.ensembles]
    return dataclasses.replace(found, ensembles=both)

  monkeypatch.setattr(store, 'read', of_two_segments)
  again = experiment.run(
    config, tmp_path / 'run', workdir.parent / 'cache', 'evaluate'
  )
  assert again['metrics'] == pytest.approx(results['metrics'], rel=1e-6)
  ways = again['learned_ensembles'], results['learned_ensembles']
  of = [found['weights']['of'] for found in ways]
  assert of[0] == pytest.approx(of[1], abs=1e-3)


@pytest.fixture(scope='module')
def shifted(dcase_run, tmp_path_factory):
  """What a finished experiment says at three shifts: its folder, results."""
  config, _, workdir = dcase_run
  folder = tmp_path_factory.mktemp('shifted') / 'run'
  shutil.copytree(workdir, folder)
  config = config.copy_and_resolve_references()
  config.test_shifts = 3
  return config, folder, experiment.run(
    config, folder, workdir.parent / 'cache', 'evaluate'
  )  # fmt: skip


def logs_of(path):
  """Clips, and their log-probabilities: two training steps make all but one
  of them tiny.
  """
  with np.load(path) as file:
    return file['ids'], np.log(file['probabilities'])


def test_other_shifts_are_scored_beside_the_results(dcase_run, shifted):
  _, before, workdir = dcase_run
  config, folder, found = shifted
  for name in ('results.json', 'predictions.npz', 'experiment.json'):
    assert (folder / name).read_bytes() == (workdir / name).read_bytes()
  (path,) = (folder / 'evaluations').glob('*.json')
  assert path.stem == f'{before["scored_fingerprint"]}-test_shifts-3'
  assert json.loads(path.read_text()) == json.loads(json.dumps(found))
  assert found['config']['test_shifts'] == 3
  assert found['n_examples'] == before['n_examples']
  _, once = logs_of(workdir / 'predictions.npz')
  _, thrice = logs_of(path.with_suffix('.npz'))
  assert np.abs(thrice - once).max() > 0.1
  # Without a bundle, by the checkpoints.
  (folder / 'bundle').rename(folder / 'elsewhere')
  try:
    again = experiment.run(
      config, folder, Path(before['cache_dir']), 'evaluate'
    )
  finally:
    (folder / 'elsewhere').rename(folder / 'bundle')
  assert again['metrics'] == pytest.approx(found['metrics'], rel=1e-5)


def test_a_bundle_tags_at_the_shifts_that_it_is_told(shifted):
  config, folder, _ = shifted
  (path,) = (folder / 'evaluations').glob('*.npz')
  ids, expected = logs_of(path)
  tagger = aec_jax.load(folder / 'bundle', test_shifts=3)
  sounds = [
    stream.Recording.of_file(Path(config.data_dir) / 'audio_test' / name)
    for name in ids
  ]
  found = list(tagger.tag(sounds))
  logs = np.log([tags.probabilities for tags in found])
  np.testing.assert_allclose(logs, expected, atol=1e-3)
  # Over time they say what they say when they are cut once.
  plain = aec_jax.load(folder / 'bundle')
  assert plain.test_shifts == 1
  for at_3, at_1 in zip(found, plain.tag(sounds), strict=True):
    np.testing.assert_allclose(at_3.timeline, at_1.timeline, rtol=1e-4)
    np.testing.assert_allclose(at_3.attention, at_1.attention, rtol=1e-4)
  once = np.log([tags.probabilities for tags in plain.tag(sounds)])
  differs = np.abs(logs - once).max(1)
  for difference, tags in zip(differs, found, strict=True):
    assert difference < 1e-3 if tags.silent else difference > 1e-2
  # What is too short for a shift takes what there is.
  short = np.sin(np.arange(20_000, dtype=np.float32))
  (at_3, at_1) = (x.predict(short, 16_000) for x in (tagger, plain))
  np.testing.assert_array_equal(at_3.probabilities, at_1.probabilities)


def test_what_does_not_shift_says_so(shifted, tmp_path, capsys):
  folder = shifted[1]
  tagger = aec_jax.load(folder / 'bundle', test_shifts=3)
  parse = predict._parser().parse_args
  options = [f'--bundle={folder}', '--events', 'sound']
  asking.of_arguments(tagger, parse(options))
  assert 'events are of sounds cut once' in capsys.readouterr().err
  asking.of_arguments(aec_jax.load(folder / 'bundle'), parse(options))
  assert capsys.readouterr().err == ''
  lines = export.write(tagger, tmp_path / 'programs', 1.0)
  assert 'predict --test_shifts=1' in next(lines)
  lines.close()
  # Scores are of one, and what is written of three is not taken for it.
  assert any('cut at 1 shift, and it tags at 3 shifts' in line
             for line in card.caveats(tagger.info))  # fmt: skip
  answer = asking.of_arguments(tagger, parse([f'--bundle={folder}', 'sound']))
  assert answer.settings['test_shifts'] == 3


def test_clips_that_are_cut_once_are_counted(caplog):
  caplog.set_level('INFO', logger='absl')
  shifted_clips.say_short(np.array([0, 1, 3, 4, 9]), np.array([3, 0, 1, 3]))
  assert [m.split(': ')[1] for m in caplog.messages] == [
    '1 of 3 scored clips are shorter than two examples, and are cut once'
  ]
  caplog.clear()
  shifted_clips.say_short(np.array([0, 2, 4]), np.array([0, 1]))
  assert not caplog.messages


def test_embeddings_are_not_shifted(audioset_run):
  config, _, workdir = audioset_run
  with pytest.raises(UserError, match='--test_shifts is 2.*cannot be shifted'):
    store.load(workdir / 'bundle', test_shifts=2)
  config = config.copy_and_resolve_references()
  config.test_shifts = 2
  with pytest.raises(
    UserError, match=r'config\.test_shifts is 2.*leave it out'
  ):
    experiment.run(config, workdir, workdir.parent / 'cache', 'evaluate')


def test_extractors_and_lengths_are_weighed_beside_the_mean(dcase_run):
  """By training clips that the classifiers left out, for the test clips."""
  _, results, _ = dcase_run
  found = results['learned_ensembles']
  assert found['fitted_to'] == 'left out of training'
  assert found['clips'] == results['n_train_examples']
  assert list(found['weights']['of']) == [
    'balanced_first, 1 segments', 'unbalanced_last, 1 segments',
    'balanced_first, 2 segments', 'unbalanced_last, 2 segments',
  ]  # fmt: skip
  mean = found['mean']['scores']
  for name in ('MAP@3', 'accuracy'):
    assert mean[name] == pytest.approx(results['metrics'][name])
