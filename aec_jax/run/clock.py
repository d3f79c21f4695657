"""What each stage of a run takes, and which of them is under way."""

import contextlib
import resource
import time
from collections.abc import Iterator, Sequence

from absl import logging

from aec_jax.run import progress

# What the stages are called in words.
WORDS = {
  'prepare': 'preparing',
  'fine_tune': 'fine-tuning',
  'embed': 'embedding',
  'train': 'training',
  'score': 'scoring',
  'report': 'report',
}


class Clock:
  """Seconds of each stage, in this run, and the memory up to its end.

  Args:
    stages: that `stage` counts and announces, in their order.

  Attributes:
    seconds: {stage: seconds}.
    peak_gb: {stage: the largest resident size so far, GB}.
  """

  def __init__(self, stages: Sequence[str] = ()) -> None:
    self.seconds: dict[str, float] = {}
    self.peak_gb: dict[str, float] = {}
    self._stages = list(stages)
    self._expected: dict[str, float | None] = {}
    self._last = time.monotonic()

  def expect(self, seconds: dict[str, float | None]) -> None:
    """Says how long stages will take, before they begin.

    Args:
      seconds: of each stage; None where it is not known. Others take none.
    """
    self._expected = seconds

  @contextlib.contextmanager
  def stage(self, name: str) -> Iterator[None]:
    """Announces a stage, and ends it.

    One that is not among those to be counted is timed in silence.
    """
    with contextlib.ExitStack() as stack:
      if name in self._stages:
        number = self._stages.index(name) + 1
        which = f'stage {number} of {len(self._stages)}'
        later = self._after(number)
        stack.enter_context(progress.within(which, WORDS[name], later=later))
        logging.info('%s', progress.place(self._ahead(number)))
      yield
    self.lap(name)

  def _after(self, number: int) -> float | None:
    """Seconds of the stages after so many, None where one is not known."""
    some = [self._expected.get(stage, 0.0) for stage in self._stages[number:]]
    return None if None in some else sum(filter(None, some))

  def _ahead(self, number: int) -> str:
    """The time until the end, of this stage on; '' where it is not known."""
    seconds = self._after(number - 1)
    if not seconds:
      return ''
    return f'at most about {progress.duration(seconds)} left'

  def lap(self, stage: str) -> None:
    """Ends a stage."""
    now = time.monotonic()
    self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
    self.peak_gb[stage] = (
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    self._last = now
