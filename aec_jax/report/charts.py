"""Charts as inline SVG whose colours follow the page's, and data URIs.

They are drawn 360 units wide, about a phone's width, so that their text is
readable there. Lines differ in colour and dashes, spots in colour and shape.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from aec_jax.run import templates
from aec_jax.run.text import printable

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 10, 8, 40
_LINE = 15  # of text
_LANE = 7  # between the spots of a group
COLOURS = 8  # .s0 to .s7 of page.css
# A range in which a linear scale shows little of the least, and decades of
# which each gets several numbers.
_WIDE, _DECADES = 20, 2
# More points than a chart has pixels across show nothing.
_POINTS = 240
# Nor do more columns of a picture.
_COLUMNS = 640

# viridis (S. van der Walt and N. Smith, 2015) at eighths: even in lightness,
# and so for the colour-blind too.
_VIRIDIS = np.array([
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
])  # fmt: skip

# Outlines around (0, 0), one for each colour.
_SHAPES = (
  'M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0',
  'M-3.5 -3.5H3.5V3.5H-3.5Z',
  'M0 -5L5 0L0 5L-5 0Z',
  'M0 -4.5L4.5 3.5H-4.5Z',
  'M0 4.5L4.5 -3.5H-4.5Z',
  'M-5 -1.3H5V1.3H-5Z',
  'M-1.3 -5H1.3V5H-1.3Z',
  'M-4 -2L-2 -4L4 2L2 4Z',
)


def _escaped(text: str) -> str:
  """Text from anywhere, as HTML shows it on one line."""
  return html.escape(printable(text))


def lines(
  series: Mapping[str, tuple],
  x_label: str,
  y_label: str,
  unit: bool = False,
  second: tuple[str, float] | None = None,
  wide: bool = False,
) -> str:
  """A chart of lines.

  Args:
    series: (x, y) arrays by name, at most `COLOURS`.
    x_label, y_label: of the axes.
    unit: whether both axes go from 0 to 1, rather than over the data.
    second: another scale below the first: its label, and how much of x makes
      one of it.
    wide: whether y has a logarithmic scale where it is positive and its
      greatest is more than `_WIDE` times its least.
  """
  xs, ys = (
    ([0, 1], [0, 1])
    if unit
    else map(np.concatenate, zip(*series.values(), strict=True))
  )
  x_ticks = _ticks(min(xs), max(xs))
  x_at = _scale(x_ticks, _LEFT, _WIDTH - _RIGHT)
  if wide and 0 < min(ys) < max(ys) / _WIDE:
    y_label = f'{y_label}, log scale'
    y_ticks = _log_ticks(min(ys), max(ys))
    linear = _scale(np.log10(y_ticks), _HEIGHT - _BOTTOM, _TOP)
    y_at = lambda y: linear(np.log10(y))
  else:
    y_ticks = _ticks(min(ys), max(ys))
    y_at = _scale(y_ticks, _HEIGHT - _BOTTOM, _TOP)
  parts = [_axes(x_ticks, y_ticks, x_at, y_at, x_label, y_label)]
  height = _HEIGHT
  if second:
    parts.append(_second_scale(x_ticks, x_at, second))
    height += 2 * _LINE
  for i, (x, y) in enumerate(series.values()):
    points = _polyline(x_at(np.asarray(x)), y_at(np.asarray(y)))
    parts.append(f'<g class="s{i}">{points}</g>')
  legend = _legend(series, '<path class="curve" d="M0 6H28"/>')
  alt = f'{y_label} against {x_label}: {", ".join(series)}'
  return _svg(height, alt, ''.join(parts)) + legend


def dots(
  rows: Sequence[str], series: Mapping[str, Sequence[float]], x_label: str
) -> str:
  """A group for each name with one spot a series, from 0 on.

  Args:
    rows: their names, which stand above them.
    series: (row,) values by name, at most `COLOURS`; NaN leaves a spot out.
    x_label: what the values are.
  """
  step = 26 + _LANE * len(series)  # the name, and a lane for each spot
  bottom = step * len(rows)
  ticks = _ticks(0, np.nanmax([*series.values(), np.zeros(len(rows))]))
  x_at = _scale(ticks, 12, _WIDTH - 12)
  parts = [
    f'<path class="grid" d="M{x_at(t):.1f} 4V{bottom}"/>'
    f'<text x="{x_at(t):.1f}" y="{bottom + 15}" text-anchor="middle">'
    f'{_number(t)}</text>'
    for t in ticks
  ]
  for r, name in enumerate(rows):
    y = step * r
    parts.append(f'<path class="grid" d="M12 {y}H{_WIDTH - 12}"/>')
    parts.append(f'<text x="14" y="{y + 14}">{_escaped(name)}</text>')
    parts += [
      f'<path class="spot s{i}" d="{_SHAPES[i]}" transform="translate('
      f'{x_at(values[r]):.1f} {y + 25 + _LANE * i})"/>'
      for i, values in enumerate(series.values())
      if not math.isnan(values[r])
    ]
  middle = f'x="{_WIDTH / 2}" y="{bottom + 34}" text-anchor="middle"'
  parts.append(f'<text {middle}>{_escaped(x_label)}</text>')
  alt = f'{x_label} of {", ".join(rows)} for {", ".join(series)}'
  return _svg(bottom + _BOTTOM, alt, ''.join(parts)) + _legend(series, None)


def ranges(
  rows: Mapping[str, tuple[float, Sequence[float]]], x_label: str
) -> str:
  """A spot for each name, on a line from the low to the high end of it.

  Args:
    rows: (value, (low, high)) by name.
    x_label: what the values are.
  """
  step = 26 + 2 * _LANE
  values = [x for value, ends in rows.values() for x in (value, *ends)]
  ticks = _ticks(min(values), max(values))
  x_at = _scale(ticks, 16, _WIDTH - 16)
  return templates.render(
    'aec_jax.report',
    'ranges.svg.jinja',
    width=_WIDTH,
    height=step * len(rows) + _BOTTOM,
    bottom=step * len(rows),
    alt=f'{x_label} of {", ".join(rows)}',
    label=x_label,
    ticks=[{'x': x_at(t), 'text': _number(t)} for t in ticks],
    rows=[
      {'name': name, 'y': step * i, 'colour': i % COLOURS, 'x': x_at(value),
       'low': x_at(low), 'high': x_at(high)}
      for i, (name, (value, (low, high))) in enumerate(rows.items())
    ],
  )  # fmt: skip


def _svg(height, alt, inner):
  return (
    f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img"'
    f' aria-label="{_escaped(alt)}">{inner}</svg>'
  )


def _legend(series, line):
  """Which line or spot is whose; a list, so that it wraps."""
  if len(series) == 1:
    return ''
  items = ''
  for i, name in enumerate(series):
    spot = f'<path class="spot" d="{_SHAPES[i]}" transform="translate(14 6)"/>'
    items += (
      f'<li><svg class="s{i}" viewBox="0 0 28 12" aria-hidden="true">'
      f'{line or spot}</svg>{_escaped(name)}</li>'
    )
  return f'<ul class="legend">{items}</ul>'


def _axes(x_ticks, y_ticks, x_at, y_at, x_label, y_label):
  bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
  parts = []
  for t in y_ticks:
    y = y_at(t)
    parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
    parts.append(
      f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">'
      f'{_number(t)}</text>'
    )
  for t in x_ticks:
    x = x_at(t)
    parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
    anchor = 'end' if x > right - 10 else 'middle'
    parts.append(
      f'<text x="{min(x, right + 8):.1f}" y="{bottom + 15}"'
      f' text-anchor="{anchor}">{_number(t)}</text>'
    )
  middle = (_LEFT + right) / 2
  parts.append(
    f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">'
    f'{_escaped(x_label)}</text>'
  )
  middle = (_TOP + bottom) / 2
  parts.append(
    f'<text transform="translate(11 {middle}) rotate(-90)"'
    f' text-anchor="middle">{_escaped(y_label)}</text>'
  )
  return ''.join(parts)


def _second_scale(ticks, x_at, second) -> str:
  """Numbers below those of the first scale, and their label."""
  label, unit = second
  y = _HEIGHT + _LINE - 4
  texts = [
    f'<text class="second" x="{min(x_at(t), _WIDTH - 12):.1f}" y="{y}"'
    f' text-anchor="middle">{_number(float(f"{t / unit:.2g}"))}</text>'
    for t in ticks
  ]
  middle = (_LEFT + _WIDTH - _RIGHT) / 2
  texts.append(
    f'<text class="second" x="{middle}" y="{y + _LINE}" text-anchor="middle">'
    f'{_escaped(label)}</text>'
  )
  return ''.join(texts)


def _ticks(low, high):
  """About five round numbers that reach over a range."""
  span = (high - low) or abs(high) or 1.0
  size = 10 ** math.floor(math.log10(span / 4))
  step = next(size * m for m in (1, 2, 5, 10) if span / (size * m) <= 5)
  first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  return np.arange(first, max(last, first + 1) + 1) * step


def _log_ticks(low, high):
  """1, 2 and 5 times powers of ten that reach over a range; powers alone where
  it is long.
  """
  first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
  if math.log10(high / low) > _DECADES:
    step = -(-(last - first) // 5)
    return 10.0 ** np.arange(first, last + step, step)
  ticks = np.outer(10.0 ** np.arange(first, last + 1), (1, 2, 5)).ravel()
  least = np.searchsorted(ticks, low * (1 + 1e-9)) - 1
  return ticks[max(least, 0) : np.searchsorted(ticks, high * (1 - 1e-9)) + 1]


def _number(x):
  return f'{x:,.0f}' if abs(x) >= 1000 else f'{x:.4g}'


def _scale(ticks, start, end):
  low, high = ticks[0], ticks[-1]
  return lambda x: start + (x - low) / (high - low) * (end - start)


def _polyline(x, y):
  keep = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
  points = ' '.join(
    f'{a:.1f},{b:.1f}' for a, b in zip(x[keep], y[keep], strict=True)
  )
  if len(x) == 1:
    return f'<circle class="spot" cx="{x[0]:.1f}" cy="{y[0]:.1f}" r="3"/>'
  return f'<polyline class="curve" points="{points}"/>'


def strip(values: np.ndarray, alt: str) -> str:
  """Steps of equal widths over the whole of a width, from 0 up.

  They are filled from 1 on, where there is a line, and the strip's top is
  their greatest, or 2 where that is less.

  Args:
    values: (step,) from 0 up; neighbours among very many are averaged.
    alt: what is to be seen.
  """
  values = _fewer(np.asarray(values, float)[None])[0]
  height = np.round(100 * (1 - values / max(2.0, values.max())), 1)
  even = 100 * (1 - 1 / max(2.0, values.max()))
  steps = ''.join(f'V{y:g}H{i}' for i, y in enumerate(height, 1))
  width = len(values)
  return (
    f'<svg class="strip" viewBox="0 0 {width} 100" preserveAspectRatio="none"'
    f' role="img" aria-label="{_escaped(alt)}">'
    f'<path class="area" d="M0 {even:.1f}{steps}V{even:.1f}Z"/>'
    f'<path class="even" d="M0 {even:.1f}H{width}"/>'
    f'<path d="M0 {height[0]:g}{steps}"/></svg>'
  )


def png(values: np.ndarray) -> str:
  """A picture as a data URI.

  Args:
    values: (row, column), the first row at the bottom; least and greatest get
      the ends of the colours. Neighbours among very many columns are averaged.
  """
  values = _fewer(np.asarray(values, np.float32)[::-1])
  level = (values - values.min()) / (np.ptp(values) or 1.0)
  picture = Image.fromarray(np.round(255 * level).astype(np.uint8))
  grid = np.linspace(0, 255, len(_VIRIDIS))
  colours = [np.interp(np.arange(256), grid, colour) for colour in _VIRIDIS.T]
  # A palette takes half the room of matplotlib's four bytes a pixel.
  picture.putpalette(np.round(np.stack(colours, 1)).astype(np.uint8).tobytes())
  file = io.BytesIO()
  picture.save(file, 'PNG', compress_level=9)
  data = base64.b64encode(file.getvalue()).decode()
  return f'data:image/png;base64,{data}'


def _fewer(values: np.ndarray) -> np.ndarray:
  """(row, column) with no more columns than can be seen."""
  if values.shape[1] <= _COLUMNS:
    return values
  starts = np.linspace(0, values.shape[1], _COLUMNS, endpoint=False).astype(int)
  widths = np.diff(starts, append=values.shape[1])
  return np.add.reduceat(values, starts, 1) / widths


def mp3(samples: np.ndarray, rate: int) -> str:
  """Sound as a data URI that every browser plays.

  Args:
    samples: (sample,), floats in [-1, 1].
    rate: Hz, one that MP3 has.
  """
  import soundfile

  file = io.BytesIO()
  soundfile.write(file, samples, rate, format='MP3')
  return f'data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode()}'
