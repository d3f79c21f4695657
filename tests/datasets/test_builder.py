"""The TFDS builders, and the synthetic set that one of them writes."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn import metrics

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from aec_jax.tfds.audioset_embeddings_dataset_builder import (
  AudiosetEmbeddings,
  SyntheticAudioset,
)

SIZES = {'classes': 8, 'train': 160, 'unbalanced': 300, 'evaluation': 120}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('audioset') / 'synthetic'
  synthetic_audioset.make(folder, **SIZES)
  return folder


@pytest.fixture(scope='module')
def examples(folder, tmp_path_factory):
  """The same clips by the reader, by split."""
  packed = {}
  for split in audioset_tfrecord.SPLITS:
    out = tmp_path_factory.mktemp(split)
    audioset_tfrecord.pack(folder, split, out)
    packed[split] = Examples.load(out)
  return packed


@pytest.fixture(scope='module')
def builder(folder):
  builder = AudiosetEmbeddings(data_dir=folder)
  builder.download_and_prepare()
  return builder


def ids(dataset):
  return [clip['video_id'] for clip in tfds.as_numpy(dataset)]


@pytest.mark.parametrize('split', audioset_tfrecord.SPLITS)
def test_builder_gives_the_clips_of_the_reader(builder, examples, split):
  expected = examples[split]
  dense = expected.labels.multi_hot()
  clips = list(tfds.as_numpy(builder.as_dataset(split=split)))
  assert len(clips) == len(expected) == builder.info.splits[split].num_examples
  for i, clip in enumerate(clips):
    n = expected.n_segments[i]
    assert clip['video_id'] == expected.ids[i]
    assert clip['audio_embedding'].dtype == np.uint8
    assert clip['audio_embedding'].shape == (n, 128)
    np.testing.assert_array_equal(
      clip['audio_embedding'], expected.embeddings[i, :n]
    )
    np.testing.assert_array_equal(clip['labels'], np.flatnonzero(dense[i]))
    assert clip['end_time_seconds'] > clip['start_time_seconds'] >= 0


def test_info_names_the_classes(builder, examples):
  names = builder.info.features['labels'].feature.names
  assert tuple(names) == examples['eval'].classes
  assert names[3] == 'Synthetic 03'


def test_splits_can_be_sliced_and_joined(builder, examples):
  dataset = builder.as_dataset(split='eval[10:15]+bal_train[:2]')
  expected = [*examples['eval'].ids[10:15], *examples['bal_train'].ids[:2]]
  assert ids(dataset) == expected


def test_batches_are_padded(builder, examples):
  dataset = builder.as_dataset(split='eval', batch_size=120)
  (batch,) = tfds.as_numpy(dataset)
  np.testing.assert_array_equal(
    batch['audio_embedding'], examples['eval'].embeddings
  )


def test_only_shuffle_files_changes_the_order(builder):
  plain = ids(builder.as_dataset(split='eval'))
  assert plain == ids(builder.as_dataset(split='eval'))
  shuffled = ids(builder.as_dataset(split='eval', shuffle_files=True))
  assert shuffled != plain
  assert sorted(shuffled) == sorted(plain)


def test_tfds_load_finds_the_builder(folder, examples):
  dataset, info = tfds.load(
    'audioset_embeddings', split='eval', data_dir=folder, with_info=True
  )
  assert ids(dataset) == list(examples['eval'].ids)
  assert info.splits['eval'].num_examples == SIZES['evaluation']


def test_an_unknown_split_is_told_the_splits(builder):
  with pytest.raises(ValueError, match='bal_train'):
    builder.as_dataset(split='test')


def test_synthetic_builder_writes_the_files_it_reads(tmp_path):
  builder = SyntheticAudioset(data_dir=tmp_path / 'new', **SIZES)
  builder.download_and_prepare()
  builder.download_and_prepare()
  assert builder.info.splits['eval'].num_examples == SIZES['evaluation']
  again = AudiosetEmbeddings(data_dir=tmp_path / 'new')
  assert ids(builder.as_dataset(split='eval')) == ids(
    again.as_dataset(split='eval')
  )


# The synthetic set itself.


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


def test_equal_seeds_give_equal_files_and_others_do_not(folder, tmp_path):
  synthetic_audioset.make(tmp_path / 'same', **SIZES)
  synthetic_audioset.make(tmp_path / 'other', seed=1, **SIZES)
  assert contents(tmp_path / 'same') == contents(folder)
  assert contents(tmp_path / 'other') != contents(folder)


def test_sizes_are_as_asked_and_clips_are_distinct(examples):
  assert [len(e) for e in examples.values()] == [160, 300, 120]
  assert len(examples['eval'].classes) == 8
  everything = Examples.concatenate(examples.values())
  assert len(np.unique(everything.ids)) == len(everything)


def test_training_and_evaluation_sets_are_balanced(examples):
  for split in ('bal_train', 'eval'):
    counts = examples[split].labels.multi_hot().sum(0)
    assert counts.min() >= len(examples[split]) // 8
    assert counts.max() < 3 * counts.min()


def test_the_unbalanced_set_has_a_long_tail(examples):
  counts = examples['unbal_train'].labels.multi_hot().sum(0)
  assert counts.min() > 0
  assert counts.argmax() == 0
  assert counts.max() > 4 * counts.min()


def test_clips_have_one_to_five_labels_and_a_few_are_short(examples):
  everything = Examples.concatenate(examples.values())
  n_labels = everything.labels.multi_hot().sum(1)
  assert n_labels.min() == 1
  assert 1.4 < n_labels.mean() < 2.2
  assert n_labels.max() <= 5
  assert everything.n_segments.min() >= 1
  assert 0.002 < (everything.n_segments < 10).mean() < 0.06


def test_it_can_be_learnt(examples):
  """By ridge regression on the means and maxima over time."""

  def features(split):
    x = examples[split].embeddings / 255.0
    return np.concatenate([x.mean(1), x.max(1), np.ones((len(x), 1))], 1)

  x, y = features('unbal_train'), examples['unbal_train'].labels.multi_hot()
  weights = np.linalg.solve(x.T @ x + 3 * np.eye(x.shape[1]), x.T @ y)
  targets = examples['eval'].labels.multi_hot()
  scores = features('eval') @ weights
  chance = targets.mean()
  assert metrics.average_precision_score(targets, scores) > 2 * chance


def test_it_can_be_tiny(tmp_path):
  folder = tmp_path / 'tiny'
  synthetic_audioset.make(
    folder, classes=2, train=2, unbalanced=0, evaluation=3
  )
  splits = AudiosetEmbeddings(data_dir=folder).info.splits
  assert {k: v.num_examples for k, v in splits.items()} == {
    'bal_train': 2,
    'eval': 3,
  }
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
    synthetic_audioset.make(tmp_path / 'new', **SIZES)
  assert list(tmp_path.iterdir()) == []


def test_more_classes_than_clips_are_refused(tmp_path):
  with pytest.raises(UserError, match='40 classes'):
    synthetic_audioset.make(tmp_path / 'new', train=39)
