"""A folder of anybody's own recordings as a TFDS data set, read in place.

    builder = AudioFolder('recordings/')
    print(builder.info)
    for example in tfds.as_numpy(builder.as_dataset(split='train[:80%]')):
      ...

`aec_jax.datasets.audio_folder.from_folder` says how the folder may be laid out.
"""

import os

import numpy as np
import soundfile
import tensorflow_datasets as tfds
from absl import logging

from aec_jax.datasets.folders import from_folder


class AudioFolder(tfds.core.DatasetBuilder):
  """The clips of a folder, in the manner of `tfds.ImageFolder`.

  An example is {'audio': float32 (sample,), channels averaged, 'sample_rate':
  Hz, 'label', 'verified', 'fold': -1 where there is none, 'filename'}. What was
  left out is in `info.metadata['skipped']`; a file that turns out to be
  unreadable later is left out with a warning.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(self, root_dir: str | os.PathLike, on_bad: str = 'skip'):
    """Lists the folder.

    Args:
      root_dir: the folder.
      on_bad: 'skip' or 'error', as for `from_folder`.

    Raises:
      UserError: as `from_folder` does.
    """
    root_dir = os.path.expanduser(os.fspath(root_dir))
    self.clips = from_folder(root_dir, on_bad)
    super().__init__(data_dir=root_dir)
    self._data_dir = root_dir  # not root_dir/audio_folder/1.0.0
    self._original_state = {'root_dir': root_dir, 'on_bad': on_bad}
    self.info.features['label'].names = self.clips.classes
    self.info.metadata['skipped'] = self.clips.skipped
    self.info.set_splits(tfds.core.splits.SplitDict(self._splits()))

  def _splits(self) -> list:
    names, counts = np.unique(self.clips.split, return_counts=True)
    return [
      tfds.core.SplitInfo(name=name, shard_lengths=[count], num_bytes=0)
      for name, count in zip(names.tolist(), counts.tolist(), strict=True)
    ]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Audio classification from a folder of recordings.',
      features=tfds.features.FeaturesDict(
        {
          'audio': tfds.features.Audio(shape=(None,), dtype=np.float32),
          'sample_rate': np.int32,
          'label': tfds.features.ClassLabel(),  # named once the folder is read
          'verified': np.bool_,
          'fold': np.int32,
          'filename': tfds.features.Text(),
        }
      ),
      supervised_keys=('audio', 'label'),
      metadata=tfds.core.MetadataDict(skipped=[]),
    )

  def download_and_prepare(self, **kwargs) -> None:
    """Does nothing: the recordings are read where they lie."""

  _download_and_prepare = download_and_prepare  # TFDS wants it stated

  def _as_dataset(
    self, split, decoders=None, read_config=None, shuffle_files=False
  ):
    """A split, in part or several ('train[:80%]', 'train+test')."""
    import tensorflow as tf  # Six seconds: not before it is needed.

    index = self._index(split)
    seed = read_config.shuffle_seed if read_config else None
    if shuffle_files:
      index = np.random.default_rng(seed).permutation(index)
    clips = self.clips.select(index)
    fields = {
      'label': clips.labels.astype(np.int64),
      'verified': clips.verified,
      'fold': clips.fold.astype(np.int32),
      'filename': clips.ids.astype(object),
    }

    def load(path, example):
      audio, rate = tf.numpy_function(
        _read, [path], [tf.float32, tf.int32], stateful=False
      )
      example = {
        'audio': tf.ensure_shape(audio, (None,)),
        'sample_rate': tf.ensure_shape(rate, ()),
        **example,
      }
      return self.info.features.decode_example(example, decoders=decoders)

    dataset = tf.data.Dataset.from_tensor_slices(
      (clips.paths.astype(object), fields)
    ).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.filter(lambda example: tf.size(example['audio']) > 0)

  def _index(self, split) -> np.ndarray:
    """The clips of a split, as TFDS's way to name them has it."""
    parts = tfds.core.ReadInstruction.from_spec(str(split)).to_absolute(
      self.info.splits
    )
    rows = []
    for part in parts:
      of_split = np.flatnonzero(self.clips.split == part.splitname)
      rows.append(of_split[part.from_ : part.to])
    return np.concatenate(rows)


def _read(path: bytes) -> tuple[np.ndarray, np.int32]:
  """Samples (sample,), channels averaged, and Hz; none where unreadable."""
  try:
    samples, rate = soundfile.read(path, dtype='float32', always_2d=True)
  except soundfile.SoundFileError as error:
    logging.warning('%s skipped: %s', path.decode(), error)
    return np.zeros(0, np.float32), np.int32(0)
  return samples.mean(1, dtype=np.float32), np.int32(rate)
