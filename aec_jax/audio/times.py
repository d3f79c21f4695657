"""Whether sound is missing in a stream, by the times of its frames.

A demuxer passes over damage and over packets that never came; only that the
times run ahead of what was heard tells of it.
"""

# Seconds by which times may run ahead of the sound with nothing missing: they
# are rounded to milliseconds or to a frame, and recorders stamp a packet when
# it comes, a few hundredths early or late. Two packets of Opus are 0.04.
_TOLERANCE = 0.05
# A smaller gap than that counts if as much follows: else the last packet may
# just have come late.
_SURE = 0.25
# Seconds a second by which two clocks differ: sound cards' by less.
_DRIFT = 1e-3
# Back by more than that, they count something else from there on.
_ANEW = 1.0


class Times:
  """The frames of one stream, as they are heard.

  Attributes:
    start: of the first frame, seconds; None where it has no time.
    due: when the next frame begins, seconds; None where that is unknown.
    gaps, missed: places where sound is missing and was not made up for by what
      came later, and seconds of it; after `end`.
  """

  def __init__(self) -> None:
    self.start: float | None = None
    self.due: float | None = None
    self.gaps, self.missed = 0, 0.0
    self._heard = self._forgiven = 0.0
    # By how much times are ahead: at first, and after each gap that has lasted
    # so far; and what was heard before each.
    self._levels: list[float] = []
    self._since: list[float] = []

  def follow(self, time: float | None, seconds: float) -> None:
    """Takes the next frame.

    Args:
      time: when it begins; None where it doesn't say.
      seconds: how long it is.
    """
    if time is None:
      time = self.due
    else:
      self._place(time - self._heard, seconds)
    self._heard += seconds
    self.due = None if time is None else time + seconds

  def forgive(self, seconds: float | None) -> None:
    """Lets a damaged frame pass: it is known of.

    Args:
      seconds: that it had; None where it doesn't say, and whatever is missing
        before the next frame is forgiven.
    """
    if seconds is None or self.due is None:
      self.due = None
    else:
      self.due += seconds
      self._heard += seconds

  def end(self) -> None:
    """Counts the gaps that have lasted."""
    levels = self._levels
    while (
      len(levels) > 1
      and levels[-1] - levels[-2] < _SURE
      and self._heard - self._since[-1] < _SURE
    ):
      self._drop()
    if levels:
      self.gaps += len(levels) - 1
      self.missed += levels[-1] - levels[0]
    levels.clear()
    self._since.clear()

  def _place(self, ahead, seconds) -> None:
    levels = self._levels
    if self.start is None:
      self.start = ahead + self._heard
    elif self.due is None and levels:
      self._forgiven += max(0.0, ahead - self._forgiven - levels[-1])
    ahead -= self._forgiven
    if levels and ahead < levels[0] - _ANEW:
      self.end()
    while len(levels) > 1 and ahead <= levels[-2] + _TOLERANCE:
      self._drop()
    if not levels or ahead > levels[-1] + _TOLERANCE:
      levels.append(ahead)
      self._since.append(self._heard)
    else:
      levels[-1] = min(ahead, levels[-1] + _DRIFT * seconds)

  def _drop(self) -> None:
    self._levels.pop()
    self._since.pop()
