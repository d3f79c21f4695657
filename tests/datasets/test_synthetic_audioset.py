"""The synthetic set in AudioSet's form."""

import numpy as np
import pytest
from bundle_data import SYNTHETIC_SIZES
from sklearn import metrics

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


def test_equal_seeds_give_equal_files_and_others_do_not(
  synthetic_dir, tmp_path
):
  synthetic_audioset.make(tmp_path / 'same', **SYNTHETIC_SIZES)
  synthetic_audioset.make(tmp_path / 'other', seed=1, **SYNTHETIC_SIZES)
  assert contents(tmp_path / 'same') == contents(synthetic_dir)
  assert contents(tmp_path / 'other') != contents(synthetic_dir)


def test_sizes_are_as_asked_and_clips_are_distinct(synthetic_set):
  assert [len(e) for e in synthetic_set.values()] == [160, 300, 120]
  assert len(synthetic_set['eval'].classes) == 8
  everything = Examples.concatenate(synthetic_set.values())
  assert len(np.unique(everything.ids)) == len(everything)


def test_training_and_evaluation_sets_are_balanced(synthetic_set):
  for split in ('bal_train', 'eval'):
    counts = synthetic_set[split].labels.multi_hot().sum(0)
    assert counts.min() >= len(synthetic_set[split]) // 8
    assert counts.max() < 3 * counts.min()


def test_the_unbalanced_set_has_a_long_tail(synthetic_set):
  counts = synthetic_set['unbal_train'].labels.multi_hot().sum(0)
  assert counts.min() > 0
  assert counts.argmax() == 0
  assert counts.max() > 4 * counts.min()


def test_clips_have_one_to_five_labels_and_a_few_are_short(synthetic_set):
  everything = Examples.concatenate(synthetic_set.values())
  n_labels = everything.labels.multi_hot().sum(1)
  assert n_labels.min() == 1
  assert 1.4 < n_labels.mean() < 2.2
  assert n_labels.max() <= 5
  assert everything.n_segments.min() >= 1
  assert 0.002 < (everything.n_segments < 10).mean() < 0.06


def test_it_can_be_learnt(synthetic_set):
  """By ridge regression on the means and maxima over time."""

  def features(split):
    x = synthetic_set[split].embeddings / 255.0
    return np.concatenate([x.mean(1), x.max(1), np.ones((len(x), 1))], 1)

  x, y = (
    features('unbal_train'),
    synthetic_set['unbal_train'].labels.multi_hot(),
  )
  weights = np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ y)
  targets = synthetic_set['eval'].labels.multi_hot()
  scores = features('eval') @ weights
  chance = targets.mean()
  assert metrics.average_precision_score(targets, scores) > 2 * chance


def test_it_can_be_tiny(tmp_path):
  folder = tmp_path / 'tiny'
  synthetic_audioset.make(
    folder, classes=2, train=2, unbalanced=0, evaluation=3
  )
  assert list(audioset_tfrecord.list_splits(folder)) == ['bal_train', 'eval']
  audioset_tfrecord.pack(folder, 'eval', tmp_path / 'packed')
  assert len(Examples.load(tmp_path / 'packed')) == 3


def test_it_leaves_an_existing_folder_alone(tmp_path):
  with pytest.raises(UserError, match=str(tmp_path)):
    synthetic_audioset.make(tmp_path)
  assert list(tmp_path.iterdir()) == []


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  def write(records, path):
    raise OSError('disk full')

  monkeypatch.setattr(audioset_tfrecord, 'write', write)
  with pytest.raises(OSError, match='disk full'):
    synthetic_audioset.make(tmp_path / 'new', **SYNTHETIC_SIZES)
  assert list(tmp_path.iterdir()) == []


def test_more_classes_than_clips_are_refused(tmp_path):
  with pytest.raises(UserError, match='40 classes'):
    synthetic_audioset.make(tmp_path / 'new', train=39)
