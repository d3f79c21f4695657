"""What each stage of a run takes."""

import resource
import time


class Clock:
  """Seconds of each stage, in this run, and the memory up to its end.

  Attributes:
    seconds: {stage: seconds}.
    peak_gb: {stage: the largest resident size so far, GB}.
  """

  def __init__(self) -> None:
    self.seconds: dict[str, float] = {}
    self.peak_gb: dict[str, float] = {}
    self._last = time.monotonic()

  def lap(self, stage: str) -> None:
    """Ends a stage."""
    now = time.monotonic()
    self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
    self.peak_gb[stage] = (
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    self._last = now
