"""AudioSet's VGGish embeddings for users of TensorFlow Datasets.

The release is read as it is; nothing is converted or copied:

    import aec_jax.tfds  # registers it

    clips = tfds.load(
      'audioset_embeddings', split='bal_train', data_dir='~/audioset'
    )
    for clip in tfds.as_numpy(clips):
      clip['audio_embedding'], clip['labels']
"""

import dataclasses
import os

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import reader
from tensorflow_datasets.core.utils.read_config import MISSING

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset, tfrecord
from aec_jax.errors import UserError
from aec_jax.features import embedded_recordings


@dataclasses.dataclass(eq=False, frozen=True)
class _Split(tfds.core.SplitInfo):
  """A split whose files do not have the names that TFDS would give them."""

  paths: tuple[str, ...] = ()

  @property
  def filepaths(self):
    return [epath.Path(path) for path in self.paths]

  @property
  def filenames(self):
    return [os.path.basename(path) for path in self.paths]


class _Reader(reader.Reader):
  """TFDS's reader, for the SequenceExamples of the release."""

  def __init__(self, features):
    super().__init__(features.get_serialized_info(), 'tfrecord')
    self._parser = _Parser(list(features))


class _Parser:
  """Takes the place of TFDS's parser, which knows Examples only."""

  def __init__(self, names):
    self._names = names

  def parse_example(self, serialized):
    parsed = _parse(serialized)
    return {name: parsed[name] for name in self._names}


class AudiosetEmbeddings(tfds.core.DatasetBuilder):
  """The unpacked release: `features/<split>/*.tfrecord` and the class list.

  Clips come in the order of files and of records in them, unless as_dataset
  is given shuffle_files=True, which shuffles the files of a split, or of the
  part of it that is asked for: parts have the same clips in any order.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, *, data_dir: str | os.PathLike | None = None, **kwargs):
    """Lists the files.

    Args:
      data_dir: the folder of the release.
      **kwargs: `config` and `version`, as TFDS has them.

    Raises:
      UserError: the class list or every split is missing, or a file is
        compressed.
    """
    if not data_dir:
      raise UserError(f'{self.name} needs data_dir, the folder of the files')
    self._folder = os.path.expanduser(os.fspath(data_dir))
    super().__init__(data_dir=self._folder, **kwargs)
    self._data_dir = self._folder  # not a versioned folder under it
    self._scan()

  def _scan(self):
    """Completes `info` with what is in the folder."""
    names = audioset_tfrecord.read_classes(self._folder)
    self.info.features['labels'].feature.names = list(names)
    found = list(audioset_tfrecord.list_splits(self._folder))
    splits = found or audioset_tfrecord.SPLITS[:1]  # none: refused as missing
    self.info.set_splits(
      tfds.core.splits.SplitDict([self._split(split) for split in splits])
    )

  def _split(self, name):
    paths = audioset_tfrecord.list_files(self._folder, name)
    return _Split(
      name=name,
      shard_lengths=[tfrecord.count_records(path) for path in paths],
      num_bytes=sum(os.path.getsize(path) for path in paths),
      paths=tuple(paths),
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
    audioset_tfrecord.import_tensorflow()
    features = self.info.features
    if isinstance(decoders, tfds.decode.PartialDecoding):
      features = decoders.extract_features(features)
      decoders = decoders.decoders
    unset = read_config.interleave_cycle_length == MISSING
    if unset and not shuffle_files:  # TFDS would mix 16 files
      read_config = read_config.replace(interleave_cycle_length=1)
    return _Reader(features).read(
      instructions=split,
      split_infos=self.info.splits.values(),
      read_config=read_config,
      shuffle_files=shuffle_files,
      decode_fn=lambda clip: features.decode_example(clip, decoders=decoders),
    )


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

  def __init__(
    self, *, data_dir: str | os.PathLike | None = None, seed: int = 0, **sizes
  ):
    """Takes the arguments of `synthetic_audioset.make`."""
    self._options = {'seed': seed, **sizes}
    super().__init__(data_dir=data_dir)
    self._original_state = {'data_dir': data_dir, **self._options}

  def _scan(self):
    if os.path.exists(self._folder):
      super()._scan()

  def download_and_prepare(self, **kwargs):
    """Writes the files, unless they are there."""
    del kwargs
    if not os.path.exists(self._folder):
      synthetic_audioset.make(self._folder, **self._options)
      self._scan()


class EmbeddedRecordings(AudiosetEmbeddings):
  """Recordings in the same form; preparing them embeds them.

      found = recordings.of_folder('recordings/', 'bal_train')
      builder = EmbeddedRecordings(
        data_dir='~/embedded', split='bal_train', **found._asdict(), …
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
    self._original_state = {'data_dir': data_dir, **options}

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
