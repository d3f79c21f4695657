"""Events: when a class is heard, from its probabilities over time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from aec_jax.audio.stream import Facts
from aec_jax.bundle.activity import Frames
from aec_jax.errors import UserError


class Event(NamedTuple):
  """A class, heard without a gap.

  Attributes:
    onset, offset: seconds of the sound.
    label: the class.
    confidence: the highest probability in it, after filtering.
  """

  onset: float
  offset: float
  label: str
  confidence: float


class Events(NamedTuple):
  """The events of a sound.

  Attributes:
    facts: of the sound.
    events: by onset, then by class.
    error: why the sound can't be heard, or not to its end.
  """

  facts: Facts
  events: list[Event]
  error: UserError | None


def median_frames(seconds: float | None, hop: float, per_segment: int) -> int:
  """The odd number of frames that a median is taken of.

  Args:
    seconds: that it is to span; None for about a segment, which takes nothing
      from events of one frame where frames are segments.
    hop: seconds from frame to frame.
    per_segment: frames of a segment.

  Raises:
    UserError: the span is negative.
  """
  if seconds is None:
    return per_segment // 2 * 2 + 1
  if not 0 <= seconds < 3600:
    raise UserError(f'--median is {seconds:g}; it takes 0 to 3,600 seconds')
  return round(seconds / hop) // 2 * 2 + 1


def find(
  frames: Iterable[Frames],
  classes: Sequence[str],
  thresholds: np.ndarray,
  median: int,
) -> Iterator[Events]:
  """The events of sounds.

  Args:
    frames: of sounds, as `activity.follow_embedded` gives them.
    classes: their names.
    thresholds: (class,) from which probability on a class is heard; NaN: never.
    median: frames, odd, over which the median smooths each class.

  Yields:
    The events of each sound, of which none is in digital silence.
  """
  finder = _Finder(classes, thresholds, median)
  for some in frames:
    finder.add(some)
    if some.last:
      events = sorted(finder.events, key=lambda e: (e.onset, e.label))
      yield Events(some.facts, events, some.error)
      finder = _Finder(classes, thresholds, median)


class _Finder:
  """Finds the events of one sound, as its frames come."""

  def __init__(self, classes, thresholds, median):
    self._classes, self._thresholds = classes, thresholds
    self._median, self._half = median, median // 2
    self._rows = np.zeros((0, len(classes)), np.float32)
    # The number of the first row, and of frames that are told.
    self._from = self._done = 0
    # What may go on, by class: its first frame, and the peak so far.
    self._open: dict[int, tuple[int, float]] = {}
    self.events: list[Event] = []

  def add(self, some: Frames) -> None:
    # Below any threshold.
    told_now = np.where(some.quiet[:, None], -1, some.probabilities)
    rows = np.concatenate([self._rows, told_now.astype(np.float32)])
    count = self._from + len(rows)
    told = count - len(some.probabilities)
    origin = some.start - told * some.hop  # where frame 0 begins, seconds
    stop = count if some.last else max(self._done, count - self._half)
    if stop > self._done:
      smooth = rows
      if self._median > 1:
        from scipy import ndimage  # which plain tagging does without

        size = (self._median, 1)
        smooth = ndimage.median_filter(rows, size, mode='nearest')
      mine = slice(self._done - self._from, stop - self._from)
      self._go_on(smooth[mine], origin, some)
      self._done = stop
    keep = max(self._from, self._done - self._half)
    self._rows, self._from = rows[keep - self._from :], keep
    if some.last:
      for k, (first, peak) in self._open.items():
        self._tell(k, first, count, peak, origin, some)

  def _go_on(self, rows, origin, some) -> None:
    """Takes the next rows (frame, class), smoothed."""
    heard = rows >= self._thresholds
    for k in [k for k in self._open if not heard[0, k]]:
      first, peak = self._open.pop(k)
      self._tell(k, first, self._done, peak, origin, some)
    for k in np.flatnonzero(heard.any(0)).tolist():
      turns = np.diff(heard[:, k], prepend=False, append=False)
      for start, stop in np.flatnonzero(turns).reshape(-1, 2).tolist():
        first, peak = self._done + start, float(rows[start:stop, k].max())
        if not start and k in self._open:
          first, before = self._open.pop(k)
          peak = max(peak, before)
        if stop == len(rows):
          self._open[k] = first, peak
        else:
          self._tell(k, first, self._done + stop, peak, origin, some)

  def _tell(self, k, first, stop, peak, origin, some) -> None:
    onset, offset = (origin + i * some.hop for i in (first, stop))
    offset = min(offset, some.facts.kept[1])
    self.events.append(
      Event(
        round(float(onset), 4), round(float(offset), 4), self._classes[k], peak
      )
    )
