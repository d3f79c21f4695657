"""FSDKaggle2018 as a TFDS data set.

    import aec_jax.tfds  # registers it

    tfds.load('fsdkaggle2018', split='train')

downloads 4.6 GB from Zenodo, unless the audio is there already, as Kaggle or
Zenodo ship it: `download_and_prepare_kwargs={'download_config':
tfds.download.DownloadConfig(manual_dir=FOLDER)}`.
"""

import hashlib

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from aec_jax.audio import waveform
from aec_jax.datasets.fsdkaggle2018 import (
  from_fsdkaggle2018,
  holds_fsdkaggle2018,
)
from aec_jax.errors import PassingError, UserError

RATE = 44100  # Hz
URL = 'https://zenodo.org/records/2552860/files/'
MD5 = {
  'FSDKaggle2018.audio_train.zip': 'a8b47ff4b52022c178f88fa5c6f080d0',
  'FSDKaggle2018.audio_test.zip': 'f85c8665c3fc39311ea1b748e194a81d',
  'FSDKaggle2018.meta.zip': 'f16828ac8be0e5285b9175a12f90d784',
}


class Fsdkaggle2018(tfds.core.GeneratorBasedBuilder):
  """41 sound classes, a label a clip, splits 'train' and 'test' (in part).

  The label of a test clip that is only padding is -1. What was left out is in
  `info.metadata['skipped']`, what is odd in 'notes', of no file where it is the
  whole set.
  """

  VERSION = tfds.core.Version('1.0.0')
  MANUAL_DOWNLOAD_INSTRUCTIONS = """
  Optional: a folder with train.csv, audio_train/ and audio_test/ (Kaggle), or
  FSDKaggle2018.meta/, FSDKaggle2018.audio_train/ and FSDKaggle2018.audio_test/
  (https://zenodo.org/records/2552860). Without one it is downloaded.
  """

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Freesound Dataset Kaggle 2018 (DCASE 2018 Task 2).',
      homepage='https://zenodo.org/records/2552860',
      features=tfds.features.FeaturesDict(
        {
          # Bytes: a list of integers would take up to five times the room.
          'audio': tfds.features.Audio(
            shape=(None,), dtype=np.int16, sample_rate=RATE, encoding='bytes'
          ),
          'label': tfds.features.ClassLabel(),  # named once the list is read
          'verified': np.bool_,
          'fname': tfds.features.Text(),
          'usage': tfds.features.Text(),
        }
      ),
      supervised_keys=('audio', 'label'),
      disable_shuffling=True,  # so that train[:8000] is train.csv's
      metadata=tfds.core.MetadataDict(skipped=[], notes=[]),
    )

  def _as_dataset(
    self, split, decoders=None, read_config=None, shuffle_files=False
  ):
    if shuffle_files:  # asked for: TFDS need not guard the order of the lists
      read_config = read_config.replace(enable_ordering_guard=False)
    return super()._as_dataset(split, decoders, read_config, shuffle_files)

  def _split_generators(self, dl_manager):
    clips = from_fsdkaggle2018(_folders(dl_manager))
    self.info.features['label'].names = list(clips.classes)
    self.info.metadata['skipped'] = list(clips.skipped)
    self.info.metadata['notes'] = [
      {'file': '', 'reason': note} for note in clips.notes
    ]
    splits = [name for name in ('train', 'test') if name in clips.split]
    return {
      name: self._generate_examples(clips.select(clips.split == name))
      for name in splits
    }

  def _generate_examples(self, clips):
    for i, fname in enumerate(clips.ids.tolist()):
      path = str(clips.paths[i])
      notes: list[str] = []
      try:
        audio = _samples(path, notes)
      except PassingError:
        raise
      except UserError as error:
        logging.warning('%s skipped', error)
        reason = str(error).removeprefix(f'{path}: ')
        self.info.metadata['skipped'].append({'file': fname, 'reason': reason})
        continue
      self.info.metadata['notes'] += [
        {'file': fname, 'reason': note.removeprefix(f'{path}: ')}
        for note in notes
      ]
      yield (
        fname,
        {
          # TFDS does not apply the encoding to arrays of samples. An object,
          # for numpy would drop the last bytes of a string that are zero.
          'audio': np.array(audio.tobytes(), object),
          'label': int(clips.labels[i]),
          'verified': bool(clips.verified[i]),
          'fname': fname,
          'usage': str(clips.usage[i]),
        },
      )


def _folders(dl_manager) -> list:
  """The folders to look in: the user's own, or what was downloaded."""
  try:
    manual = dl_manager.manual_dir
  except AssertionError:  # TFDS's word for a folder that is absent or empty
    manual = None
  if manual and holds_fsdkaggle2018(manual):
    return [manual]
  archives = dl_manager.download({name: URL + name for name in MD5})
  for name, path in archives.items():
    _check_md5(name, path)
  # TFDS would guess the kind of archive from names that it has changed.
  zips = {
    name: tfds.download.Resource(
      path=path, extract_method=tfds.download.ExtractMethod.ZIP
    )
    for name, path in archives.items()
  }
  return list(dl_manager.extract(zips).values())


def _check_md5(name, path) -> None:
  with open(path, 'rb') as f:
    md5 = hashlib.file_digest(f, 'md5').hexdigest()
  if md5 != MD5[name]:
    raise UserError(
      f'{name}: the MD5 of the download is {md5}, expected {MD5[name]}; delete'
      f' {path} and try again'
    )


def _samples(path, notes) -> np.ndarray:
  """A file as int16 (sample,) at 44.1 kHz; of the set's own wavs, to the bit.

  Raises:
    UserError: as `waveform.read` does.
    PassingError: the system can't read it now.
  """
  samples, rate = waveform.read(path, notes)
  samples = waveform.resample(samples, rate, RATE)
  return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
