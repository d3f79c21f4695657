"""AudioSet's VGGish embeddings for users of TensorFlow Datasets.

The release is read as it is; nothing is converted or copied:

    builder = AudiosetEmbeddings(data_dir='~/audioset')
    for clip in tfds.as_numpy(builder.as_dataset(split='bal_train')):
      clip['audio_embedding'], clip['labels']
"""

import os

import numpy as np
import tensorflow_datasets as tfds

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset, tfrecord
from aec_jax.features import embedded_recordings


class AudiosetEmbeddings(tfds.core.DatasetBuilder):
  """The unpacked release: `features/<split>/*.tfrecord` and the class list.

  Clips come in the order of files and of records in them, unless as_dataset
  is given shuffle_files=True.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, data_dir: str, **kwargs):
    self._folder = os.path.expanduser(os.fspath(data_dir))
    super().__init__(data_dir=self._folder, **kwargs)
    self._data_dir = self._folder  # not a versioned folder under it
    if os.path.exists(self._folder):
      self._scan()

  def _scan(self):
    """Completes `info` with what is in the folder."""
    names = audioset_tfrecord.read_classes(self._folder)
    self.info.features['labels'].feature.names = names
    self._files = {
      split: audioset_tfrecord.list_files(self._folder, split)
      for split in audioset_tfrecord.list_splits(self._folder)
    }
    self.info.set_splits(
      tfds.core.splits.SplitDict(
        [
          tfds.core.SplitInfo(
            name=split,
            shard_lengths=[tfrecord.count_records(path) for path in paths],
            num_bytes=sum(os.path.getsize(path) for path in paths),
          )
          for split, paths in self._files.items()
        ]
      )
    )

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description='VGGish embeddings of AudioSet, one a 960 ms segment.',
      homepage='https://research.google.com/audioset/download.html',
      features=tfds.features.FeaturesDict(
        {
          'video_id': tfds.features.Text(),
          'start_time_seconds': np.float32,
          'end_time_seconds': np.float32,
          'audio_embedding': tfds.features.Tensor(
            shape=(None, audioset_tfrecord.EMBEDDING_SIZE), dtype=np.uint8
          ),
          'labels': tfds.features.Sequence(tfds.features.ClassLabel()),
        }
      ),
      supervised_keys=('audio_embedding', 'labels'),
    )

  def download_and_prepare(self, **kwargs):
    """Does nothing: the files are read as they are."""
    del kwargs

  def _download_and_prepare(self, *args, **kwargs):
    del args, kwargs

  def _as_dataset(
    self, split, decoders=None, read_config=None, shuffle_files=False
  ):
    del read_config
    instruction = tfds.core.ReadInstruction.from_spec(str(split))
    parts = [
      self._read(part.splitname, part.from_, part.to, shuffle_files)
      for part in instruction.to_absolute(self.info.splits)
    ]
    dataset = parts[0]
    for part in parts[1:]:
      dataset = dataset.concatenate(part)
    return dataset.map(
      lambda clip: self.info.features.decode_example(
        _parse(clip), decoders=decoders
      ),
      num_parallel_calls=4,
    )

  def _read(self, split, start, stop, shuffle_files):
    """The records of a split, or of a slice of it: None is its end."""
    tf = audioset_tfrecord.import_tensorflow()
    paths = tf.data.Dataset.from_tensor_slices(self._files[split])
    if shuffle_files:
      paths = paths.shuffle(len(self._files[split]))
    start = start or 0
    stop = self.info.splits[split].num_examples if stop is None else stop
    records = tf.data.TFRecordDataset(paths, buffer_size=1 << 18)
    return records.skip(start).take(stop - start)


def _parse(serialized):
  tf = audioset_tfrecord.import_tensorflow()
  context, lists = tf.io.parse_single_sequence_example(
    serialized,
    context_features={
      'video_id': tf.io.FixedLenFeature([], tf.string),
      'start_time_seconds': tf.io.FixedLenFeature([], tf.float32),
      'end_time_seconds': tf.io.FixedLenFeature([], tf.float32),
      'labels': tf.io.RaggedFeature(tf.int64),
    },
    sequence_features={
      'audio_embedding': tf.io.FixedLenSequenceFeature([], tf.string)
    },
  )
  embedding = tf.io.decode_raw(lists['audio_embedding'], tf.uint8)
  size = audioset_tfrecord.EMBEDDING_SIZE
  return context | {'audio_embedding': tf.ensure_shape(embedding, (None, size))}


class SyntheticAudioset(AudiosetEmbeddings):
  """`synthetic_audioset` in the same form; preparing it writes the files."""

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, data_dir: str, seed: int = 0, **sizes):
    """Takes the arguments of `synthetic_audioset.make`."""
    self._options = {'seed': seed, **sizes}
    super().__init__(data_dir=data_dir)

  def download_and_prepare(self, **kwargs):
    """Writes the files, unless they are there."""
    del kwargs
    if not os.path.exists(self._folder):
      synthetic_audioset.make(self._folder, **self._options)
      self._scan()


class EmbeddedRecordings(AudiosetEmbeddings):
  """Recordings in the same form; preparing them embeds them.

      recordings, classes = embedded_recordings.of_folder('recordings/')
      builder = EmbeddedRecordings(
        data_dir='~/embedded', recordings=recordings, classes=classes, …
      )
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(beam_runner='FlinkRunner')
      )

  Without a `download_config` the files are written one after another.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, data_dir: str, **options):
    """Takes the arguments of `embedded_recordings.shards`."""
    self._options = {'out': os.path.expanduser(data_dir), **options}
    super().__init__(data_dir=data_dir)

  def _scan(self):
    if not embedded_recordings.shards(**self._options):
      super()._scan()

  def download_and_prepare(self, *, download_config=None, **kwargs):
    """Writes the files that are missing."""
    del kwargs
    todo = embedded_recordings.shards(**self._options)
    if download_config:
      embedded_recordings.run_beam(
        todo, download_config.beam_options or (), download_config.beam_runner
      )
    else:
      for shard in todo:
        embedded_recordings.write(shard)
    self._scan()
