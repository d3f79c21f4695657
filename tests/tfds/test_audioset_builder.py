"""AudioSet's embeddings as users of TFDS load them."""

import gzip
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from bundle_data import SYNTHETIC_SIZES

from aec_jax.datasets import audioset_tfrecord
from aec_jax.errors import UserError
from aec_jax.tfds import AudiosetEmbeddings, SyntheticAudioset


@pytest.fixture(scope='module')
def builder(synthetic_dir):
  builder = AudiosetEmbeddings(data_dir=synthetic_dir)
  builder.download_and_prepare()
  return builder


def ids(dataset):
  return [clip['video_id'] for clip in tfds.as_numpy(dataset)]


@pytest.mark.parametrize('split', audioset_tfrecord.SPLITS)
def test_builder_gives_the_clips_of_the_reader(builder, synthetic_set, split):
  expected = synthetic_set[split]
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


def test_info_names_the_classes(builder, synthetic_set):
  names = builder.info.features['labels'].feature.names
  assert tuple(names) == synthetic_set['eval'].classes
  assert names[3] == 'Synthetic 03'


def test_splits_can_be_sliced_and_joined(builder, synthetic_set):
  dataset = builder.as_dataset(split='eval[10:15]+bal_train[:2]')
  expected = [
    *synthetic_set['eval'].ids[10:15],
    *synthetic_set['bal_train'].ids[:2],
  ]
  assert ids(dataset) == expected


def test_batches_are_padded(builder, synthetic_set):
  dataset = builder.as_dataset(split='eval', batch_size=120)
  (batch,) = tfds.as_numpy(dataset)
  np.testing.assert_array_equal(
    batch['audio_embedding'], synthetic_set['eval'].embeddings
  )


def test_only_shuffle_files_changes_the_order(builder):
  plain = ids(builder.as_dataset(split='eval'))
  assert plain == ids(builder.as_dataset(split='eval'))
  shuffled = ids(builder.as_dataset(split='eval', shuffle_files=True))
  assert shuffled != plain
  assert sorted(shuffled) == sorted(plain)


def shuffled(builder, split, seed, **config):
  read_config = tfds.ReadConfig(shuffle_seed=seed, **config)
  return builder.as_dataset(
    split=split, shuffle_files=True, read_config=read_config
  )


@pytest.mark.parametrize('seed', [None, 1])
def test_shuffled_parts_share_nothing_and_miss_nothing(builder, seed):
  everything = sorted(ids(builder.as_dataset(split='unbal_train')))
  for parts in (
    ['unbal_train[:50%]', 'unbal_train[50%:]'],
    tfds.even_splits('unbal_train', 3),
    tfds.even_splits('unbal_train[:10%]+unbal_train[10%:]', 4),
  ):
    found = [ids(shuffled(builder, part, seed)) for part in parts]
    assert sorted(itertools.chain(*found)) == everything
    assert max(map(len, found)) - min(map(len, found)) <= 2


def test_the_seed_is_the_order_s(builder):
  orders = {
    seed: ids(shuffled(builder, 'unbal_train[:150]', seed)) for seed in range(3)
  }
  for seed, order in orders.items():
    assert order == ids(shuffled(builder, 'unbal_train[:150]', seed))
  assert len(set(map(tuple, orders.values()))) > 1


def test_epochs_are_shuffled_anew_unless_that_is_unwanted(builder):
  for again in (None, False):
    dataset = shuffled(
      builder, 'unbal_train', 1, shuffle_reshuffle_each_iteration=again
    )
    epochs = {tuple(ids(dataset)) for _ in range(4)}
    assert (len(epochs) > 1) == (again is None)


def test_tfds_load_finds_the_builder(synthetic_dir, synthetic_set):
  dataset, info = tfds.load(
    'audioset_embeddings', split='eval', data_dir=synthetic_dir, with_info=True
  )
  assert ids(dataset) == list(synthetic_set['eval'].ids)
  assert info.splits['eval'].num_examples == SYNTHETIC_SIZES['evaluation']
  assert info.splits['eval[10:15]'].num_examples == 5
  paths = audioset_tfrecord.list_files(synthetic_dir, 'eval')
  assert [str(path) for path in info.splits['eval'].filepaths] == paths
  splits = tfds.load('audioset_embeddings', data_dir=synthetic_dir)
  assert set(splits) == set(audioset_tfrecord.SPLITS)


def test_read_configs_and_decoders_of_tfds(builder, synthetic_set):
  read_config = tfds.ReadConfig(add_tfds_id=True)
  clips = builder.as_dataset(split='eval[5:25]', read_config=read_config)
  tfds_ids = {clip['tfds_id'] for clip in tfds.as_numpy(clips)}
  assert len(tfds_ids) == 20
  (clip,) = tfds.as_numpy(
    builder.as_dataset(
      split='eval[:1]',
      decoders=tfds.decode.PartialDecoding({'video_id': True, 'labels': True}),
    )
  )
  assert set(clip) == {'video_id', 'labels'}
  assert clip['video_id'] == synthetic_set['eval'].ids[0]


def test_a_builder_can_be_pickled(builder, tmp_path):
  again = pickle.loads(pickle.dumps(builder))
  assert ids(again.as_dataset(split='eval')) == ids(
    builder.as_dataset(split='eval')
  )
  made = SyntheticAudioset(data_dir=tmp_path / 'new', seed=3, **SYNTHETIC_SIZES)
  assert pickle.loads(pickle.dumps(made))._options == made._options


def test_what_is_missing_is_named(synthetic_dir, tmp_path):
  with pytest.raises(UserError, match='audioset_embeddings needs data_dir'):
    AudiosetEmbeddings()
  with pytest.raises(UserError, match='no class list'):
    AudiosetEmbeddings(data_dir=tmp_path)
  (tmp_path / 'class_labels_indices.csv').write_text(
    'index,mid,display_name\n0,/m/1,A\n'
  )
  with pytest.raises(UserError, match='no folder .*; splits there: none'):
    AudiosetEmbeddings(data_dir=tmp_path)


def test_a_compressed_file_is_refused(synthetic_dir, tmp_path):
  paths = audioset_tfrecord.list_files(synthetic_dir, 'eval')
  (tmp_path / 'eval').mkdir()
  (tmp_path / 'class_labels_indices.csv').write_text(
    'index,mid,display_name\n0,/m/1,A\n'
  )
  data = gzip.compress(Path(paths[0]).read_bytes())
  (tmp_path / 'eval/a.tfrecord.gz').write_bytes(data)
  with pytest.raises(UserError, match='a.tfrecord.gz: compressed by gzip'):
    AudiosetEmbeddings(data_dir=tmp_path)


def test_an_unknown_split_is_told_the_splits(builder):
  with pytest.raises(ValueError, match='bal_train'):
    builder.as_dataset(split='test')


def test_synthetic_builder_writes_the_files_it_reads(tmp_path):
  builder = SyntheticAudioset(data_dir=tmp_path / 'new', **SYNTHETIC_SIZES)
  builder.download_and_prepare()
  builder.download_and_prepare()
  assert (
    builder.info.splits['eval'].num_examples == SYNTHETIC_SIZES['evaluation']
  )
  again = AudiosetEmbeddings(data_dir=tmp_path / 'new')
  assert ids(builder.as_dataset(split='eval')) == ids(
    again.as_dataset(split='eval')
  )
