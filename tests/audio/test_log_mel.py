"""Log-mel: against a float64 statement of VGGish's definition, and sines."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aec_jax.audio import FRONT_END, waveform
from aec_jax.audio import log_mel as lm


def mel(hertz):
  return 1127.0 * math.log(1.0 + hertz / 700.0)


@functools.cache
def tables():
  """Cosine and sine (sample, bin), weights (bin, band); float64."""
  hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
  angle = 2 * np.pi * np.outer(np.arange(400), np.arange(257)) / 512
  edges = np.linspace(mel(125.0), mel(7500.0), 66)
  weights = np.zeros((257, 64))
  for k in range(1, 257):
    m = mel(k * 16_000 / 512)
    for band in range(64):
      low, centre, high = edges[band : band + 3]
      slopes = (m - low) / (centre - low), (high - m) / (high - centre)
      weights[k, band] = max(0.0, min(slopes))
  return hann[:, None] * np.cos(angle), hann[:, None] * np.sin(angle), weights


def reference(x):
  """One waveform (sample,) -> (frame, 64), in float64."""
  cosine, sine, weights = tables()
  starts = range(0, len(x) - 399, 160)
  frames = np.array([x[i : i + 400] for i in starts], np.float64)
  return np.log(np.hypot(frames @ cosine, frames @ sine) @ weights + 0.01)


def noise(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize('samples', [400, 559, 560, 15_600])
@pytest.mark.parametrize('scale', [1e-4, 1])
def test_log_mel_is_vggishs(samples, scale):
  x = scale * noise(2, samples)
  y = lm.log_mel(x)
  assert y.shape == (2, 1 + (samples - 400) // 160, 64)
  assert y.dtype == jnp.float32
  for row, clip in zip(np.asarray(y), x, strict=True):
    np.testing.assert_allclose(row, reference(clip), rtol=0, atol=1e-4)


def test_both_code_paths_agree():
  """The rows one by one (CPU), and as one batch (accelerators)."""
  x = noise(3, 5000)
  batch = jax.jit(functools.partial(lm._log_mel, spec=FRONT_END))(x)
  np.testing.assert_allclose(lm.log_mel(x), batch, rtol=0, atol=1e-5)


@pytest.mark.parametrize('hertz', [200, 440, 1000, 3000, 7000])
def test_a_sine_is_loudest_in_its_band(hertz):
  x = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000)
  mean = np.asarray(lm.log_mel(x[None].astype(np.float32)))[0].mean(0)
  # Centres lie at 1 … 64 steps of (mel(7500) - mel(125)) / 65 from mel(125).
  step = (mel(7500) - mel(125)) / 65
  assert abs(mean.argmax() - ((mel(hertz) - mel(125)) / step - 1)) <= 1


def test_silence_is_the_logarithm_of_the_offset():
  np.testing.assert_allclose(
    lm.log_mel(np.zeros((1, 1000), np.float32)), math.log(0.01), rtol=1e-6
  )


@pytest.mark.parametrize(('batch', 'row'), [(2, 0), (7, 3), (7, 6)])
def test_a_row_does_not_depend_on_its_batch(batch, row):
  x = noise(batch, 2000)
  np.testing.assert_array_equal(
    lm.log_mel(x)[row], lm.log_mel(x[row : row + 1])[0]
  )


def test_frames_do_not_look_ahead():
  """No centring: what follows a frame's window doesn't change it."""
  x = noise(1, 4000)
  np.testing.assert_allclose(
    lm.log_mel(x[:, :2000]), lm.log_mel(x)[:, :11], rtol=0, atol=1e-5
  )


def test_an_empty_batch():
  assert lm.log_mel(np.zeros((0, 15_600), np.float32)).shape == (0, 96, 64)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, np.float16])
def test_half_precision_is_raised_to_float32(dtype):
  x = jnp.asarray(noise(1, 1000), dtype)
  y = lm.log_mel(x)
  assert y.dtype == jnp.float32
  np.testing.assert_array_equal(y, lm.log_mel(x.astype(jnp.float32)))


def test_unscaled_integers_and_too_short_rows_are_refused():
  with pytest.raises(TypeError, match='not int16'):
    lm.log_mel(np.ones((1, 1000), np.int16))
  with pytest.raises(ValueError, match='needs 400 samples, not 399'):
    lm.log_mel(np.ones((1, 399), np.float32))


@pytest.mark.parametrize('samples', [15_600, 30_959, 30_960])
def test_examples_of_a_clip_are_the_log_mel_of_its_pieces(samples):
  x = noise(samples)
  whole = lm.examples(lm.log_mel(x[None]))[0]
  pieces = lm.log_mel(waveform.split_examples(x))
  assert whole.shape == ((samples - 240) // 15_360, 96, 64)
  np.testing.assert_allclose(whole, pieces, rtol=0, atol=1e-5)


def test_examples_keep_leading_axes_and_drop_the_tail():
  x = np.arange(2 * 3 * 200 * 4).reshape(2, 3, 200, 4)
  y = lm.examples(x)
  assert y.shape == (2, 3, 2, 96, 4)
  np.testing.assert_array_equal(y[1, 2, 1], x[1, 2, 96:192])


def test_mel_matrix_covers_125_to_7500_hertz():
  weights = lm.mel_matrix()
  assert weights.shape == (257, 64) and weights.min() == 0
  assert weights.any(0).all()
  used = np.flatnonzero(weights.any(1)) * 16_000 / 512
  assert used.min() > 125 and used.max() < 7500
