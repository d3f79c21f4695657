"""A folder of anybody's own recordings as a TFDS data set, read in place.

    import aec_jax.tfds  # registers it

    builder = tfds.builder('audio_folder', data_dir='recordings/')
    name = builder.info.features['label'].int2str
    for clip in tfds.as_numpy(builder.as_dataset(split='train[:80%]')):
      clip['audio'], clip['sample_rate'], name(clip['label'])

`aec_jax.datasets.folders.from_folder` says how the folder may be laid out.
"""

import functools
import os

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from aec_jax.audio import waveform
from aec_jax.datasets.folders import from_folder
from aec_jax.errors import PassingError, UserError
from aec_jax.features.file_parts import Wholes


class AudioFolder(tfds.core.DatasetBuilder):
  """The clips of a folder, in the manner of `tfds.ImageFolder`.

  An example is {'audio': float32 (sample,), channels averaged, 'sample_rate':
  Hz, 'label', 'verified', 'fold': -1 where there is none, 'filename'}; where
  some clip has several labels, all have 'labels' in the place of 'label'. What
  was left out is in `info.metadata['skipped']`, how the folder was read in
  'notes'; a file that turns out to be unreadable later is left out with a
  warning, and what is odd about one that is read is warned of.
  """

  VERSION = tfds.core.Version('1.0.0')

  def __init__(
    self,
    data_dir: str | os.PathLike | None = None,
    on_bad: str = 'skip',
    label_separator: str = '',
    **kwargs,
  ):
    """Lists the folder.

    Args:
      data_dir: the folder.
      on_bad: 'skip' or 'error', as for `from_folder`.
      label_separator: its `separator`.
      **kwargs: `config` and `version`, as TFDS has them.

    Raises:
      UserError: no folder is named, or as `from_folder` does.
    """
    if not data_dir:
      raise UserError('audio_folder needs data_dir, the folder of recordings')
    folder = os.path.expanduser(os.fspath(data_dir))
    self.clips = from_folder(folder, on_bad, label_separator)
    super().__init__(data_dir=folder, **kwargs)
    self._data_dir = folder  # not folder/audio_folder/1.0.0
    self._original_state |= {
      'on_bad': on_bad,
      'label_separator': label_separator,
    }
    self.info.metadata['skipped'] = self.clips.skipped
    self.info.metadata['notes'] = self.clips.notes
    self.info.set_splits(tfds.core.splits.SplitDict(self._splits()))

  def _splits(self) -> list:
    names, counts = np.unique(self.clips.split, return_counts=True)
    return [
      tfds.core.SplitInfo(name=name, shard_lengths=[count], num_bytes=0)
      for name, count in zip(names.tolist(), counts.tolist(), strict=True)
    ]

  @property
  def _labels(self) -> str:
    """What the feature is called: clips with several labels have 'labels'."""
    several = np.any(np.diff(self.clips.label_offsets) > 1)
    return 'labels' if several else 'label'

  def _label_feature(self) -> tfds.features.FeatureConnector:
    one = tfds.features.ClassLabel(names=list(self.clips.classes))
    return one if self._labels == 'label' else tfds.features.Sequence(one)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Audio classification from a folder of recordings.',
      features=tfds.features.FeaturesDict(
        {
          'audio': tfds.features.Audio(shape=(None,), dtype=np.float32),
          'sample_rate': np.int32,
          self._labels: self._label_feature(),
          'verified': np.bool_,
          'fold': np.int32,
          'filename': tfds.features.Text(),
        }
      ),
      supervised_keys=('audio', self._labels),
      metadata=tfds.core.MetadataDict(skipped=[], notes=[]),
    )

  def download_and_prepare(self, **kwargs) -> None:
    """Does nothing: the recordings are read where they lie."""

  _download_and_prepare = download_and_prepare  # TFDS wants it stated

  def _as_dataset(
    self, split, decoders=None, read_config=None, shuffle_files=False
  ):
    """A split, in part or several ('train[:80%]', 'train+test')."""
    import tensorflow as tf  # Six seconds: not before it is needed.

    features = self.info.features
    if isinstance(decoders, tfds.decode.PartialDecoding):
      features = decoders.extract_features(features)
      decoders = decoders.decoders
    clips = self.clips.select(self._index(split))
    labels = tf.RaggedTensor.from_row_splits(
      clips.label_ids.astype(np.int64), clips.label_offsets
    )
    if self._labels == 'label':
      labels = clips.labels.astype(np.int64)
    fields = {
      self._labels: labels,
      'verified': clips.verified,
      'fold': clips.fold.astype(np.int32),
      'filename': clips.ids.astype(object),
    }
    read = functools.partial(_read, wholes=Wholes())

    def load(part, fields):
      audio, rate = tf.numpy_function(
        read, part, [tf.float32, tf.int32], stateful=False
      )
      clip = {
        'audio': tf.ensure_shape(audio, (None,)),
        'sample_rate': tf.ensure_shape(rate, ()),
        **fields,
      }
      readable = tf.size(audio) > 0
      clip = {name: clip[name] for name in features}
      clip = features.decode_example(clip, decoders=decoders)
      if read_config.add_tfds_id:
        clip['tfds_id'] = fields['filename']
      return readable, clip

    parts = (clips.paths.astype(object), clips.start, clips.end)
    dataset = tf.data.Dataset.from_tensor_slices((parts, fields))
    dataset = _in_order_of(read_config, dataset, len(clips), shuffle_files)
    dataset = dataset.map(
      load, num_parallel_calls=read_config.num_parallel_calls_for_decode
    )
    dataset = dataset.filter(lambda readable, _: readable)
    return dataset.map(lambda _, clip: clip).with_options(read_config.options)

  def _index(self, split) -> np.ndarray:
    """The clips of a split, as TFDS's way to name them has it."""
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(
      self.info.splits
    )
    rows = []
    for part in parts:
      of_split = np.flatnonzero(self.clips.split == part.splitname)
      rows.append(of_split[part.from_ : part.to])
    return np.concatenate(rows)


def _in_order_of(read_config, dataset, count, shuffle_files):
  """What TFDS does to a list of files; here each is a clip."""
  if context := read_config.input_context:
    dataset = dataset.shard(
      context.num_input_pipelines, context.input_pipeline_id
    )
  if shuffle_files:
    dataset = dataset.shuffle(
      max(1, count),
      seed=read_config.shuffle_seed,
      reshuffle_each_iteration=read_config.shuffle_reshuffle_each_iteration,
    )
  return dataset.repeat() if read_config.repeat_filenames else dataset


def _read(
  path: bytes, start: np.float64, end: np.float64, wholes: Wholes
) -> tuple[np.ndarray, np.int32]:
  """Samples (sample,), channels averaged, and Hz; none where unreadable.

  Args:
    path: of the file.
    start, end: seconds, NaN for the file's own.
    wholes: the files that parts are of.
  """
  notes: list[str] = []
  try:
    if np.isnan(start) and np.isnan(end):
      samples, rate = waveform.read(path.decode(), notes)
    else:
      samples, rate = _part(path.decode(), start, end, wholes, notes)
  except PassingError:
    raise
  except UserError as error:
    logging.warning('skipped: %s', error)
    return np.zeros(0, np.float32), np.int32(0)
  for note in notes:
    logging.warning('%s', note)
  return samples, np.int32(rate)


def _part(path, start, end, wholes, notes) -> tuple[np.ndarray, int]:
  """A part of a file, likewise; raises `UserError` where it has no samples."""
  part, odd = wholes.part(path, start, end)
  runs = list(part.blocks())
  if not runs:
    raise UserError(f'{path}: has no samples from {start} to {end} s')
  notes += [f'{path}: {note}' for note in odd]
  samples = np.concatenate([samples[:, 0] for samples, _ in runs])
  return samples, runs[0][1]
