"""Data sets for users of TensorFlow Datasets, registered by importing this.

    import aec_jax.tfds
    import tensorflow_datasets as tfds

    tfds.load('audioset_embeddings', split='bal_train', data_dir=AUDIOSET)
    tfds.load('audio_folder', split='train[:80%]', data_dir=RECORDINGS)
    tfds.load('fsdkaggle2018', split='train')

The first two read their files where they lie.
"""

from aec_jax.tfds.audio_folder_dataset_builder import AudioFolder
from aec_jax.tfds.audioset_embeddings_dataset_builder import (
  AudiosetEmbeddings,
  EmbeddedRecordings,
  SyntheticAudioset,
)
from aec_jax.tfds.fsdkaggle2018_dataset_builder import Fsdkaggle2018

__all__ = [
  'AudioFolder',
  'AudiosetEmbeddings',
  'EmbeddedRecordings',
  'Fsdkaggle2018',
  'SyntheticAudioset',
]
