"""Whole experiments on tiny clips: stages, sharing, scores, leaks."""

import importlib
import json
import types
from pathlib import Path

import dcase_data
import jax
import numpy as np
import pytest

from aec_jax import (
  config_checks,
  experiment,
  metrics,
  predictions,
  presets,
)
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import log_mels
from aec_jax.input.folds import Member, extractor_jobs, members_of
from aec_jax.models import extractors
from aec_jax.parts import Part, combine
from aec_jax.train import extractor

CONFIGS = Path(__file__).parents[1] / 'configs'
EXPERIMENTS = sorted(
  path.stem
  for path in CONFIGS.glob('*.py')
  if path.stem.startswith(('dcase_', 'esc10', 'folder', 'fsd50k'))
)
TABLES_12_TO_15 = {
    'dcase_baseline', 'dcase_vggish_original',
    *(f'dcase_extractor_{sampling}_{part}'
      for sampling in ('balanced', 'unbalanced') for part in ('first', 'last')),
    'dcase_extractor_ensemble_balanced', 'dcase_extractor_ensemble_unbalanced',
    'dcase_extractor_ensemble_all', 'dcase_l1', 'dcase_lstm', 'dcase_l6_plain',
    'dcase_l6_pitch', 'dcase_l6_mixup01', 'dcase_l6', 'dcase_l6_mixup04',
    'dcase_l6_mixup10',
    *(f'dcase_l6_level{levels}' for levels in (1, 2, 3, 12, 13, 23)),
    *(f'dcase_l{length}_mixup02' for length in (1, 2, 4, 8, 10)),
    'dcase_l_all',
}  # fmt: skip


def tiny(data_dir, name='dcase_l6', **fields):
  config = dcase_data.tiny_config(name, data_dir, **fields)
  config.extractors = ('balanced_first', 'unbalanced_last')
  return config


@pytest.mark.parametrize(
  ('split', 'message'),
  [
    (['train', 'train'], 'fold 1 leaves 1 clips .*: give fewer folds or more'),
    (['train', 'test'], 'there are 1 clips to train on: give more clips'),
  ],
)
def test_too_few_clips_to_train_on_are_refused(split, message):
  config = dcase_data.tiny_config('folder')
  clips = types.SimpleNamespace(
    split=np.array(split), fold=np.array([0, 1]), ids=np.array(['a', 'b']),
    labels=Labels.of_one(np.array([0, 1]), 2), group=np.array(['', '']),
  )  # fmt: skip
  with pytest.raises(UserError, match=message):
    extractor_jobs(config, clips)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """An experiment on its own cache: its config, work folder and results."""
  root = tmp_path_factory.mktemp('dcase')
  config = tiny(dcase_data.write_fsd(root / 'fsd'))
  results = experiment.run(config, root / 'l6', root / 'cache')
  return config, root, results


def test_results_hold_what_was_promised(finished):
  _, root, results = finished
  assert results == json.loads((root / 'l6/results.json').read_text())
  assert {
      'experiment', 'metrics', 'per_class', 'expected', 'n_examples', 'skipped',
      'versions', 'config', 'dataset_fingerprint', 'seconds', 'notes',
  } <= results.keys()  # fmt: skip
  assert results['n_examples'] == 6
  assert results['scored_on'] == 'test'
  assert results['expected'] == {'MAP@3_public': 0.936}
  assert results['skipped'] == [{'file': 'audio_train/void.wav',
                                 'reason': 'no samples'}]  # fmt: skip
  silent = {(note['file'], note['reason']) for note in results['notes']}
  assert silent == {('train003.wav', 'silent'), ('test003.wav', 'silent')}
  (report,) = results['ensembles'].values()
  assert [m['name'] for m in report['members']] == [
    'balanced_first/0', 'balanced_first/1',
    'unbalanced_last/0', 'unbalanced_last/1',
  ]  # fmt: skip
  with np.load(root / 'l6/predictions.npz') as file:
    labels, found = file['label_ids'].astype(int), file['probabilities']
  np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
  scores = results['metrics']
  assert scores['MAP@3'] == metrics.map_at_k(labels, found)
  assert scores['MAP@3_public'] == metrics.map_at_k(labels[:3], found[:3])
  assert scores['MAP@3_private'] == metrics.map_at_k(labels[3:], found[3:])
  targets, mean = predictions.mean_probabilities([root / 'l6'])
  np.testing.assert_array_equal(targets.argmax(1), labels)
  np.testing.assert_allclose(mean, found)


def test_the_report_is_there_and_comes_back_when_missing(finished):
  config, root, results = finished
  page = root / 'l6/report/index.html'
  text = page.read_text()
  # All 6 clips are among the hardest and the surest, with their sound.
  listed = text[text.index('hardest clips</') :]
  assert listed.count('data:audio/mpeg') >= 6
  assert listed.count('data:image/png') >= 6
  assert text.count('class="strip"') == 6
  for clip in ('test000.wav', 'audio_train/void.wav', 'train003.wav'):
    assert clip in text
  data = results['data']
  assert data['clips'] == {
    'train': {'high': 6, 'low': 6, 'mid': 6},
    'test': {'high': 2, 'low': 2, 'mid': 2},
  }
  assert data['verified'] == {'high': 1, 'low': 1, 'mid': 1}
  for seconds in data['seconds'].values():
    assert seconds[0] >= 0.2 and seconds[-1] <= 0.9
    assert seconds == sorted(seconds)
  low, high = results['intervals']['MAP@3_public']
  assert low <= results['metrics']['MAP@3_public'] <= high
  page.unlink()
  experiment.run(config, root / 'l6', root / 'cache')
  assert page.read_text() == text


def test_evaluate_scores_to_the_same_digits(finished, tmp_path, monkeypatch):
  config, root, results = finished
  again = experiment.run(config, root / 'l6', root / 'cache', 'evaluate')
  assert again['metrics'] == results['metrics']
  # And from an empty cache, by the bundle in the work folder.
  monkeypatch.setattr(extractor, '_train', None)
  again = experiment.run(config, root / 'l6', tmp_path, 'evaluate')
  assert again['metrics'] == pytest.approx(results['metrics'], rel=1e-6)


def test_a_second_experiment_prepares_and_tunes_nothing(finished, monkeypatch):
  config, root, _ = finished

  def refuse(*args):
    raise AssertionError('a stage was built again')

  monkeypatch.setattr(log_mels, '_write', refuse)
  monkeypatch.setattr(extractor, '_train', refuse)
  plain = tiny(config.data_dir, 'dcase_l6_plain', segments=(1,), max_steps=2)
  results = experiment.run(plain, root / 'plain', root / 'cache')
  assert list(results['ensembles']) == ['1']


def test_other_settings_are_refused_in_the_same_folder(finished):
  config, root, _ = finished
  other = tiny(config.data_dir, mixup_alpha=0.4)
  with pytest.raises(UserError, match=r'config\.mixup_alpha: 0\.2 there'):
    experiment.run(other, root / 'l6', root / 'cache')


def test_a_silent_clip_can_be_an_error(finished, tmp_path):
  config, root, _ = finished
  strict = tiny(config.data_dir, on_bad='error')
  with pytest.raises(UserError, match='unusable file'):
    experiment.run(strict, tmp_path / 'run', root / 'cache')
  (Path(config.data_dir) / 'audio_train/void.wav').rename(tmp_path / 'void')
  try:
    clips = log_mels.list_clips(config, root / 'cache')
    with pytest.raises(UserError, match=r'train003\.wav: silent'):
      log_mels.prepare(strict, clips, tmp_path / 'cache')
  finally:
    (tmp_path / 'void').rename(Path(config.data_dir) / 'audio_train/void.wav')


def test_shifted_copies_train_where_their_clip_does():
  config = dcase_data.tiny_config(folds=3)
  split = np.array(['train'] * 12 + ['test'] * 3)
  clips = dcase_data.clip_examples([1] * 15, [0, 1, 2] * 5, split=split)
  source = np.array([0, 0, 5, 7, 11])
  jobs = extractor_jobs(config, clips)
  members = members_of(config, clips, jobs, source)
  assert len(members) == 4 * 3
  for member in members:
    plain = member.training[member.training < 15]
    copies = member.training[member.training >= 15] - 15
    np.testing.assert_array_equal(copies, np.flatnonzero(
      np.isin(source, plain)))  # fmt: skip
    assert member.scored.tolist() == [12, 13, 14]
    parts = np.sort(np.concatenate([plain, member.validation]))
    np.testing.assert_array_equal(parts, np.arange(12))


@pytest.mark.parametrize('own_folds', [True, False])
def test_out_of_fold_nothing_has_seen_what_it_is_scored_on(own_folds):
  config = dcase_data.tiny_config('esc10', folds=3)
  fold = np.arange(24) % 4 + 1 if own_folds else np.full(24, -1)
  clips = dcase_data.clip_examples([1] * 24, np.arange(24) // 8, fold=fold)
  source = np.arange(24)
  jobs = extractor_jobs(config, clips)
  members = members_of(config, clips, jobs, source)
  folds = 4 if own_folds else 3
  assert len(members) == len(jobs) == 4 * folds
  for job, member in zip(jobs, members, strict=True):
    seen = {*job.training, *job.validation}
    assert seen == {c % 24 for c in member.training} | {*member.validation}
    assert not seen & {*member.scored}
    # Folders list class by class; each class trains nonetheless.
    assert clips.labels.select(job.training).class_counts().all()
    if own_folds:
      assert len(set(fold[member.scored])) == 1
  scored = np.concatenate([m.scored for m in members])
  assert (np.bincount(scored) == 4).all()


def test_where_nothing_chooses_a_step_nothing_is_held_back():
  config = dcase_data.tiny_config('esc10', folds=3, keep='last')
  clips = dcase_data.clip_examples([1] * 24, np.arange(24) // 8)
  for job in extractor_jobs(config, clips):  # the extractors' steps are chosen
    assert len({*job.training, *job.validation}) == 16
  config.extractor.keep = 'last'
  jobs = extractor_jobs(config, clips)
  for job, member in zip(
    jobs, members_of(config, clips, jobs, []), strict=True
  ):
    assert len(job.training) == 16
    assert {*job.training} | {*job.validation} == {*range(24)}
    assert [*job.validation] == [*member.scored] == [*member.validation]


def test_probabilities_are_geometric_means():
  found = [np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.125, 0.5]])]
  members = [
    Member('a', 0, [], [], np.array([0, 2])),
    Member('b', 0, [], [], np.array([2])),
  ]
  combined = np.exp(combine(3, [Part(members, found)]))
  np.testing.assert_allclose(combined[0], [0.5, 0.5])
  assert np.isnan(combined[1]).all()
  np.testing.assert_allclose(combined[2], [np.sqrt(0.9 / 8), np.sqrt(0.05)])


def test_the_tables_are_complete():
  assert set(EXPERIMENTS) >= TABLES_12_TO_15


@pytest.mark.parametrize('name', EXPERIMENTS)
@pytest.mark.parametrize('data_dir', ['', 'FSD'])
def test_config_is_whole(name, data_dir, monkeypatch):
  module = importlib.import_module(f'configs.{name}')
  assert f'--config=configs/{name}.py' in module.__doc__
  config = module.get_config()
  assert config.name == name
  config.data_dir = data_dir
  # As if these weights were there.
  monkeypatch.setattr(extractors, 'pretrained', lambda section: None)
  config.extractor.init = 'vggish.npz'
  config = presets.resolve(config)
  config_checks.check_config(config)
  assert None not in jax.tree.leaves(
    config.to_dict(), is_leaf=lambda x: x is None
  )
  for score in config.expected.values():
    assert f'{score:.3f}' in module.__doc__
