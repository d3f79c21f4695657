"""A recording read block by block gives what it gives as a whole."""

import numpy as np
import pytest
import soundfile

from aec_jax.audio import FRONT_END, stream, waveform
from aec_jax.errors import UserError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(stream, '_BLOCK', 4096)


def whole(path, spec=FRONT_END):
  samples, rate = waveform.read(path)
  return waveform.split_examples(waveform.prepare(samples, rate), spec)


def in_blocks(recording, spec=FRONT_END):
  found = stream.survey(recording, 60.0, True)
  return np.concatenate(list(stream.examples(recording, found, spec)))


def sound(seconds, rate, channels=1, silence=0.0):
  """Noise between silences, (sample, channel)."""
  rng = np.random.default_rng(0)
  noise = rng.uniform(-0.4, 0.4, (round(seconds * rate), channels))
  quiet = np.zeros((round(silence * rate), channels))
  return np.concatenate([quiet, noise, quiet]).astype(np.float32)


@pytest.mark.parametrize('seconds', [0.01, 0.5, 0.975, 0.976, 4.3])
@pytest.mark.parametrize(
  ('rate', 'channels', 'kind'),
  [
    (44100, 2, 'wav'),
    (16000, 1, 'flac'),
    (8000, 1, 'ogg'),
    (48000, 2, 'mp3'),
    (22050, 6, 'wav'),
  ],
)
def test_blocks_give_the_examples_of_the_whole(
  tmp_path, monkeypatch, seconds, rate, channels, kind
):
  if kind == 'mp3':
    # In short reads libsndfile decodes the first frames after digital silence
    # otherwise than in long ones.
    monkeypatch.setattr(stream, '_BLOCK', 1 << 16)
  path = tmp_path / f'a.{kind}'
  soundfile.write(path, sound(seconds, rate, channels, silence=0.7), rate)
  expected = whole(path)
  found = in_blocks(stream.Recording.of_file(path))
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('samples', [15_599, 15_601, 30_960, 30_961, 46_000])
def test_tails_are_kept_in_blocks_as_of_the_whole(tmp_path, samples):
  path = tmp_path / 'a.wav'
  soundfile.write(path, sound(samples / 16_000, 16_000), 16_000)
  spec = FRONT_END._replace(tail='repeat')
  found = in_blocks(stream.Recording.of_file(path), spec)
  np.testing.assert_array_equal(found, whole(path, spec))


def test_what_is_trimmed_is_known(tmp_path):
  recording = stream.Recording.of_array(sound(1, 16000, 1, 2.0), 16000)
  found = stream.survey(recording, 60.0, True)
  assert abs(found.start / 16000 - 2) < 0.1
  assert abs(found.stop / 16000 - 3) < 0.1
  kept = stream.survey(recording, None, False)
  assert (kept.start, kept.stop, kept.gains) == (0, 5 * 16000, ())


def test_floats_of_int16_scale_are_divided(tmp_path):
  path = tmp_path / 'a.wav'
  soundfile.write(path, 32768 * sound(1.5, 8000), 8000, 'FLOAT')
  recording = stream.Recording.of_file(path)
  np.testing.assert_array_equal(in_blocks(recording), whole(path))


def test_silence_is_not_dropped(tmp_path):
  path = tmp_path / 'a.wav'
  soundfile.write(path, np.zeros(30000), 8000)
  found = in_blocks(stream.Recording.of_file(path))
  np.testing.assert_array_equal(found, whole(path))
  assert not found.any()


@pytest.mark.parametrize(
  'dtype', [np.int16, np.int32, np.uint8, np.float64, np.float32]
)
def test_arrays_of_any_kind_are_the_same_sound(dtype):
  samples = sound(1.2, 16000, 2)
  if np.dtype(dtype).kind == 'f':
    same = samples.astype(dtype)
  else:
    limits = np.iinfo(dtype)
    middle = (int(limits.max) + int(limits.min) + 1) // 2
    full = (int(limits.max) - int(limits.min) + 1) / 2
    same = np.rint(samples.astype(float) * full + middle).astype(dtype)
  expected = in_blocks(stream.Recording.of_array(samples, 16000))
  found = in_blocks(stream.Recording.of_array(same, 16000))
  tolerance = 0.01 if dtype is np.uint8 else 1e-4
  np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize(
  ('samples', 'message'),
  [
    (np.zeros(0), 'no samples'),
    (np.full(9000, np.inf), 'infinite'),
    (np.full(9000, 1e6), 'scale'),
  ],
)
def test_bad_samples_are_found_before_anything_is_cut(samples, message):
  recording = stream.Recording.of_array(samples, 16000)
  with pytest.raises(UserError, match=message):
    stream.survey(recording, 60.0, True)
