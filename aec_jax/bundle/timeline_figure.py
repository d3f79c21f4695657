"""The picture of a timeline: a sound's log-mel, and its classes over time."""

import dataclasses
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aec_jax.bundle.events import Event
from aec_jax.bundle.tags import Tags
from aec_jax.run.text import printable

CLASSES = 5
WIDE, NARROW = 11.0, 4.0  # inches
# Inches from which on a legend fits in one line.
_SIDE_BY_SIDE = 9
# Left of the panels, for their axes, and right of them; of one text line, the
# log-mel, a probability, an attention, and the line of times. Inches.
_LEFT, _RIGHT = 0.42, 0.14
_TEXT, _MEL, _CURVE, _ATTENTION, _TIMES, _GAP = 0.24, 1.5, 0.46, 0.36, 0.3, 0.1
# Of marked events: the height of a lane as a share of the log-mel, what is read
# on its colours, and the characters of a name.
_LANE, _EVENT, _LABEL = 0.15, '#7fd1ff', 24
_BETWEEN = 0.16  # so that the numbers of two axes don't touch


class LogMel(NamedTuple):
  """A log-mel picture of a whole sound.

  Attributes:
    values: (column, band).
    seconds: of a column.
    low, high: of the bands, Hz.
  """

  values: np.ndarray
  seconds: float
  low: float
  high: float


class _Colours(NamedTuple):
  """As in the report's page."""

  back: str
  text: str
  line: str
  probability: str
  attention: str
  unheard: str


_LIGHT = _Colours(
  '#ffffff', '#1b1f24', '#d0d7de', '#0072b2', '#c44e00', '#8c959f'
)
_DARK = _Colours(
  '#0f1419', '#e6e9ec', '#39424d', '#56b4e9', '#ff8b47', '#7d8894'
)


def panels(width: float) -> tuple[float, float]:
  """Where a picture's panels begin, and how wide they are, as shares of it."""
  return _LEFT / width, 1 - (_LEFT + _RIGHT) / width


def draw(
  name: str,
  tags: Tags,
  log_mel: LogMel,
  width: float,
  dark: bool = False,
  events: Sequence[Event] = (),
) -> bytes:
  """A picture, as PNG.

  Time is the sound's own, from 0 to its end; each instant is drawn once. What
  the model did not hear is hatched.

  Args:
    name: its title; '' for none.
    tags: of a sound.
    log_mel: of the same, untrimmed.
    width: inches.
    dark: whether for a dark page.
    events: to mark on the log-mel, of the surest classes.
  """
  top = (
    np.zeros(0, int)
    if tags.silent
    else np.argsort(-tags.probabilities)[:CLASSES]
  )
  heard = tags.attention is not None and not tags.silent
  colours = _DARK if dark else _LIGHT
  legend = _legend(tags, colours, heard)
  lines = 1 if width >= _SIDE_BY_SIDE else len(legend)
  height = (bool(name) + 1 + lines) * _TEXT + _MEL + _TIMES + 0.06
  height += len(top) * (_TEXT + _CURVE + heard * (_ATTENTION + _BETWEEN) + _GAP)
  height += _TIMES if len(top) else _TEXT
  sheet = _Sheet(tags, width, height, colours)
  if name:
    sheet.write(name, fontweight='bold')
  sheet.write(f'log-mel, {log_mel.low:,.0f} to {log_mel.high:,.0f} Hz')
  axes = sheet.panel(_MEL)
  _picture(axes, log_mel)
  _mark(axes, events, tags.duration)
  sheet.finish(axes, times=True)
  relative = _relative(tags) if heard else None
  most = 0.0
  if relative is not None:
    most = max(2.0, float(np.ceil(relative[:, top].max())))
  for k in top:
    sheet.write(f'{tags.probabilities[k]:.3f}  {tags.classes[k]}')
    axes = sheet.panel(_CURVE)
    sheet.curve(axes, tags.timeline[:, k], sheet.colours.probability, 1, 0)
    if relative is not None:
      sheet.finish(axes)
      sheet.y -= _BETWEEN
      axes = sheet.panel(_ATTENTION)
      sheet.curve(axes, relative[:, k], sheet.colours.attention, most, 1)
    sheet.finish(axes, times=k == top[-1])
    sheet.y -= _GAP
  if not len(top):
    sheet.write('silent: no tags')
  sheet.legend(legend)
  return sheet.png()


def _legend(tags, colours, heard) -> list[tuple[str, str]]:
  """What the colours mean: (words, colour)."""
  found = []
  if not tags.silent:
    found.append(('probability, 0 to 1', colours.probability))
  if heard:
    found.append(('attention; even attention is 1', colours.attention))
  if unheard(tags):
    found.append(('hatched: not heard', colours.text))
  return found


def _relative(tags) -> np.ndarray:
  """(segment, class), attention as a multiple of uniform attention."""
  return tags.attention / tags.uniform[:, None]


def _picture(axes, log_mel) -> None:
  values = log_mel.values
  axes.imshow(
    values.T, aspect='auto', origin='lower', cmap='magma',
    extent=(0, len(values) * log_mel.seconds, 0, 1),
    interpolation='antialiased',  # 'auto' to matplotlib 3.10, which knows both
  )  # fmt: skip
  axes.set_yticks([])


def _mark(axes, events, duration) -> None:
  """Bars over a log-mel, a lane for each of the surest classes."""
  surest: dict[str, float] = {}
  for event in events:
    most = surest.get(event.label, 0.0)
    surest[event.label] = max(most, event.confidence)
  order = sorted(surest, key=lambda label: -surest[label])[:CLASSES]
  for lane, label in enumerate(order):
    top = 0.97 - lane * _LANE
    spans = [(e.onset, e.offset) for e in events if e.label == label]
    for onset, offset in spans:
      axes.fill_between(
        (onset, offset), top - 0.75 * _LANE, top, color=_EVENT, linewidth=1,
      )  # fmt: skip
    late = spans[0][0] > duration / 2  # its name is written to the left
    axes.annotate(
      _shortened(label, _LABEL), (spans[0][late], top - 0.37 * _LANE),
      (-3 if late else 3, 0), textcoords='offset points',
      ha='right' if late else 'left', va='center', fontsize=7.5, color='black',
      parse_math=False, annotation_clip=False,
      bbox={'facecolor': _EVENT, 'edgecolor': 'none', 'pad': 0.8},
    )  # fmt: skip


def _shortened(words: str, most: int) -> str:
  """On one line, cut where it is too long."""
  words = printable(words)
  return words if len(words) <= most else f'{words[: most - 1]}…'


@dataclasses.dataclass(eq=False)
class _Sheet:
  """A figure that is filled from its top down."""

  tags: Tags
  width: float
  height: float
  colours: _Colours

  def __post_init__(self):
    size = (self.width, self.height)
    self.figure = Figure(size, dpi=120, facecolor=self.colours.back)
    self.y = self.height
    left, share = panels(self.width)
    self._box = (left, share)

  def write(self, words: str, at: float = 0.0, **style) -> None:
    """A line of text, `at` inches from the left; what is too long is cut."""
    self.y -= _TEXT
    words = _shortened(words, round(13 * self.width))
    style = {'color': self.colours.text, **style}
    self.figure.text(
      self._box[0] + at / self.width, (self.y + 0.07) / self.height, words,
      fontsize=9, parse_math=False, **style,
    )  # fmt: skip

  def panel(self, inches: float) -> Axes:
    """A panel as wide as all, over the sound's own time."""
    self.y -= inches
    left, share = self._box
    axes = self.figure.add_axes(
      (left, self.y / self.height, share, inches / self.height),
      facecolor=self.colours.back,
    )
    for spine in axes.spines.values():
      spine.set_color(self.colours.line)
    return axes

  def curve(self, axes, values, colour, most, even) -> None:
    """Values (segment,) as steps over a scale from 0 to `most`, filled from
    `even`, with a line there.
    """
    edges = np.append(
      self.tags.times, self.tags.times[-1] + self.tags.seconds
    ).clip(0, self.tags.kept[1])
    axes.stairs(
      values, edges, baseline=even, fill=True, color=colour, alpha=0.3
    )
    axes.stairs(values, edges, baseline=None, color=colour, linewidth=1.5)
    if even:
      axes.axhline(even, color=self.colours.text, linewidth=0.7, alpha=0.6)
    axes.set_ylim(0, most * 1.04)
    ticks = (0, 0.5, 1) if most == 1 else (0, 1, most)
    axes.set_yticks(ticks, [f'{x:g}' for x in ticks])

  def finish(self, axes, times: bool = False) -> None:
    """Hatches what was not heard, and sets a panel's time axis."""
    for first, last in unheard(self.tags):
      axes.axvspan(
        first, last, facecolor=self.colours.back,
        edgecolor=self.colours.unheard, alpha=0.75, hatch='////', linewidth=0,
      )  # fmt: skip
    span = self.tags.duration
    ticks = _ticks(span, self.width - 0.5)
    axes.set_xlim(0, span)
    labels = [_clock(x, span) for x in ticks] if times else [''] * len(ticks)
    axes.set_xticks(ticks, labels)
    axes.tick_params(
      labelsize=8, colors=self.colours.text, length=3, color=self.colours.line
    )
    if times:
      self.y -= _TIMES

  def legend(self, entries: list[tuple[str, str]]) -> None:
    """(words, colour), side by side where there is room."""
    for i, (words, colour) in enumerate(entries):
      beside = i and self.width >= _SIDE_BY_SIDE
      self.y += _TEXT * bool(beside)
      self.write(words, at=i * 3.2 if beside else 0.0, color=colour)

  def png(self) -> bytes:
    out = io.BytesIO()
    self.figure.savefig(out, format='png', facecolor=self.colours.back)
    return out.getvalue()


def unheard(tags: Tags) -> list[tuple[float, float]]:
  """From where to where a model heard nothing of a sound, seconds.

  That is what trimming cut off, and at the end what is less than a segment.
  """
  end = min(tags.times[-1] + tags.seconds, tags.kept[1])
  spans = ((0.0, tags.kept[0]), (end, tags.duration))
  # What can't be seen isn't drawn.
  return [(a, b) for a, b in spans if b - a > 0.002 * tags.duration]


def _ticks(span, count) -> np.ndarray:
  """At most about `count` round times from 0."""
  steps = (
      0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
      7200, 14400, 43200,
  )  # fmt: skip
  step = next((s for s in steps if span / s <= count), 86_400)
  return step * np.arange(span // step + 1)


def _clock(seconds: float, longest: float) -> str:
  """'4.8 s', '1:05', '2:00:30'."""
  if longest < 100:
    return f'{seconds:g} s'
  minutes, seconds = divmod(round(seconds), 60)
  if longest < 3600:
    return f'{minutes}:{seconds:02d}'
  return f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'
