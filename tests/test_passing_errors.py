"""What the system can't read now is no fault of the files: nothing is kept."""

import errno
import os

import dcase_data
import numpy as np
import pytest
import soundfile

from aec_jax import experiment
from aec_jax.audio import decode, file, waveform
from aec_jax.datasets import clips, fsdkaggle2018, lists, tfrecord
from aec_jax.errors import PassingError, UserError
from aec_jax.features import log_mels
from aec_jax.run import remote


def refusing(number=errno.EIO):
  def refuse(*_, **__):
    raise OSError(number, os.strerror(number), 'a')

  return refuse


@pytest.fixture
def sound(tmp_path):
  """A function that writes 3 s of noise as a file of some kind."""

  def write(kind):
    path = tmp_path / f'a.{kind}'
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 48_000)
    soundfile.write(path, noise, 16_000)
    return str(path)

  return write


@pytest.mark.parametrize('kind', ['flac', 'ogg', 'mp3'])
@pytest.mark.parametrize('after', [1, 3])
def test_what_ffmpeg_takes_for_an_end_is_none(sound, monkeypatch, kind, after):
  path, calls = sound(kind), []
  kept = file.File._kept

  def failing(self, read, *where):
    calls.append(where)
    # As a network disk that is away for a moment.
    return kept(self, refusing() if len(calls) == after + 1 else read, *where)

  monkeypatch.setattr(file.File, '_kept', failing)
  with pytest.raises(PassingError, match='Input/output error'):
    waveform.read(path)
  assert len(waveform.read(path)[0]) >= 48_000


def test_what_libsndfile_takes_for_an_end_is_none(sound, monkeypatch):
  path, samples = sound('wav'), decode._samples
  some = lambda *args: ((x[:999], rate) for x, rate in samples(*args))
  monkeypatch.setattr(decode, '_samples', some)
  assert len(waveform.read(path)[0]) == 999  # the system has nothing to say
  monkeypatch.setattr(decode, '_read_through', refusing(errno.ESTALE))
  with pytest.raises(PassingError, match='Stale file handle'):
    waveform.read(path)


@pytest.mark.parametrize(
  ('number', 'passes'),
  [
    (errno.EIO, True), (errno.ESTALE, True), (errno.ENOLCK, True),
    (errno.ETIMEDOUT, True), (errno.EACCES, False), (errno.ELOOP, False),
  ],
)  # fmt: skip
def test_a_listing_keeps_what_lasts(sound, monkeypatch, number, passes):
  path = sound('wav')
  monkeypatch.setattr(os, 'stat', refusing(number))
  if not passes:
    assert clips.trouble_with(path) == os.strerror(number).lower()
    return
  with pytest.raises(PassingError, match='run the same command again'):
    clips.trouble_with(path)


@pytest.mark.parametrize(
  ('module', 'read'),
  [(tfrecord, lambda path: list(tfrecord.walk(path))), (remote, lists._text)],
)
def test_lists_and_records_that_cannot_be_read_now(
  tmp_path, monkeypatch, module, read
):
  path = tmp_path / 'a'
  path.touch()
  monkeypatch.setattr(module, 'open', refusing(errno.ESTALE), raising=False)
  with pytest.raises(PassingError, match='Stale'):
    read(str(path))


def test_a_stage_fails_and_is_tried_again(tmp_path, monkeypatch):
  config = dcase_data.tiny_config(
    data_dir=dcase_data.write_fsd(tmp_path / 'fsd')
  )
  found = log_mels.list_clips(config, tmp_path)
  read = decode.blocks
  bad = found.paths[4]

  def failing(path, *rest):
    if path == bad:
      raise PassingError.of(path, 'Input/output error')
    return read(path, *rest)

  monkeypatch.setattr(decode, 'blocks', failing)
  with pytest.raises(PassingError, match='cannot be read now'):
    log_mels.prepare(config, found, tmp_path / 'cache')
  assert not list((tmp_path / 'cache').glob('*clips-*'))
  monkeypatch.setattr(decode, 'blocks', read)
  prepared = log_mels.prepare(config, found, tmp_path / 'cache')
  assert len(prepared) == len(found)


def test_a_tfds_data_set_is_not_made_of_what_could_be_read(
  tmp_path, monkeypatch
):
  import tensorflow_datasets as tfds

  from aec_jax.tfds import Fsdkaggle2018

  folder = dcase_data.write_fsd(tmp_path / 'fsd')
  builder = Fsdkaggle2018(data_dir=tmp_path / 'tfds')
  found, read = fsdkaggle2018.from_fsdkaggle2018(folder), waveform.read

  def failing(path, *rest):
    if path == found.paths[4]:
      raise PassingError.of(path, 'Input/output error')
    return read(path, *rest)

  monkeypatch.setattr(waveform, 'read', failing)
  with pytest.raises(PassingError, match='cannot be read now'):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )
  assert not list(tmp_path.glob('tfds/**/*.tfrecord*'))


def test_a_passing_error_anywhere_is_one_line(tmp_path, monkeypatch):
  monkeypatch.setattr(experiment, '_train', refusing())
  config = dcase_data.tiny_config(data_dir=tmp_path)
  with pytest.raises(UserError, match='a: cannot be read now'):
    experiment.run(config, tmp_path / 'run', tmp_path / 'cache')
