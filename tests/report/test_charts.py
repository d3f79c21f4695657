"""Charts: where things are drawn, and data URIs that decode to the same."""

import base64
import io
import re

import numpy as np
import soundfile
from PIL import Image

from aec_jax.report import charts


def test_lines_go_from_corner_to_corner():
  text = charts.lines({'a': ([0, 1], [0, 1])}, 'x', 'y', unit=True)
  (points,) = re.findall(r'points="(.*?)"', text)
  (x0, y0), (x1, y1) = (map(float, p.split(',')) for p in points.split())
  left, right, top, bottom = 56, 350, 8, 210
  assert (x0, y0, x1, y1) == (left, bottom, right, top)
  assert 'role="img" aria-label="y against x: a"' in text
  assert 'legend' not in text  # one line needs none


def test_ticks_are_round_and_reach_over_the_data():
  np.testing.assert_allclose(
    charts._ticks(0.132, 0.273), [0.1, 0.15, 0.2, 0.25, 0.3]
  )
  np.testing.assert_allclose(charts._ticks(0, 1500), [0, 500, 1000, 1500])
  for same in (0, 0.5, -3):
    ticks = charts._ticks(same, same)
    assert ticks[0] <= same <= ticks[-1] and len(ticks) > 1


def test_a_loss_that_falls_far_has_a_logarithmic_scale():
  far = {'a': ([0, 1, 2], [10.0, 1.0, 0.1])}
  text = charts.lines(far, 'x', 'loss', wide=True)
  (points,) = re.findall(r'points="(.*?)"', text)
  heights = [float(p.partition(',')[2]) for p in points.split()]
  assert heights == [8, 109, 210] and '>loss, log scale<' in text
  np.testing.assert_allclose(
    charts._log_ticks(0.46, 14), [0.2, 0.5, 1, 2, 5, 10, 20]
  )
  np.testing.assert_allclose(
    charts._log_ticks(1e-5, 1), 10.0 ** np.arange(-5, 1)
  )
  for near in ([1.0, 0.1], [1.0, 0.0], [1.0, -1.0]):
    text = charts.lines({'a': ([0, 1], near)}, 'x', 'loss', wide=True)
    assert 'log scale' not in text


def test_long_lines_are_thinned_and_single_points_seen():
  x = np.arange(10_000)
  text = charts.lines({'long': (x, x), 'point': ([5], [5])}, 'x', 'y')
  (points,) = re.findall(r'points="(.*?)"', text)
  assert len(points.split()) <= 240
  assert '<circle' in text


def test_a_spot_for_each_value_but_nan():
  series = {'a': [0.1, 0.2], 'b': [np.nan, 1.0]}
  text = charts.dots(['one', 'two'], series, 'AP')
  assert text.count('translate(') - 2 == 3  # two are the legend's
  assert 'translate(348.0' in text  # 1.0 is at the right end


def picture(uri):
  """A PNG's colours (row, column, 3)."""
  data = base64.b64decode(uri.removeprefix('data:image/png;base64,'))
  return np.asarray(
    Image.open(io.BytesIO(data), formats=['PNG']).convert('RGB')
  )


def test_a_picture_keeps_its_values():
  values = np.array([[0.0, 1.0], [0.5, 0.25], [0.0, 0.0]])
  pixels = picture(charts.png(values))
  # The first row is at the bottom; the ends of the colours are viridis's.
  assert pixels.shape == (3, 2, 3)
  assert pixels[2, 0].tolist() == [68, 1, 84]
  assert pixels[2, 1].tolist() == [253, 231, 37]
  np.testing.assert_allclose(pixels[1, 0], [33, 144, 141], atol=1)


def test_a_wide_picture_is_averaged():
  values = np.zeros((2, 1280))
  values[:, 1::2] = np.arange(640) / 640
  pixels = picture(charts.png(values))
  expected = picture(charts.png(np.arange(640)[None]))
  assert pixels.shape == (2, 640, 3)
  np.testing.assert_array_equal(pixels[0], expected[0])


def test_sound_decodes_to_its_length():
  wave = 0.3 * np.sin(np.arange(16_000) / 7)
  uri = charts.mp3(wave, 16_000)
  assert uri.startswith('data:audio/mpeg;base64,')
  data = base64.b64decode(uri.partition(',')[2])
  found, rate = soundfile.read(io.BytesIO(data))
  assert rate == 16_000 and abs(len(found) - len(wave)) < 2500
