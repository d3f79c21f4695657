"""What was heard in a sound."""

import dataclasses

import numpy as np

from aec_jax.run.text import printable

# Classes that a printed `Tags` names.
_SHOWN = 5


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tags:
  """What was heard in one sound.

  Attributes:
    classes: names of the K classes.
    probabilities: (class,) float32, of the whole sound.
    times: (segment,) seconds from the sound's start to that of each segment;
      what trimming cut off is in none.
    seconds: from one segment to the next.
    timeline: (segment, class) float32, probabilities of the piece that each
      segment stands in; whatever the bundle's shifts, cut at the beginning.
    attention: (segment, class) float32, the weights p_k(t) that the segments
      have in their piece (thesis eq. 22), mean over levels and members; None
      without an attention model.
    uniform: (segment,) float32, what `attention` is where a model listens to
      all of a piece alike.
    duration: seconds of the whole sound.
    kept: seconds, from where to where trimming left it.
    notes: what is odd about the sound, such as 'silent'.
    silent: whether there is nothing to hear.
  """

  classes: tuple[str, ...]
  probabilities: np.ndarray
  times: np.ndarray
  seconds: float
  timeline: np.ndarray
  attention: np.ndarray | None
  uniform: np.ndarray
  duration: float
  kept: tuple[float, float]
  notes: tuple[str, ...] = ()
  silent: bool = False

  def __repr__(self) -> str:
    """One line: the likeliest classes, and what else there is to know."""
    top = [f'{printable(k)} {p:.3f}' for k, p in self.tags[:_SHOWN]]
    rest = len(self.tags) - len(top)
    top += [f'{rest} more classes'] * (rest > 0)
    about = ', '.join(top) or 'no tags'
    notes = ''.join(f'; {note}' for note in self.notes)
    return f'<Tags of {self.duration:.2f} s: {about}{notes}>'

  @property
  def tags(self) -> list[tuple[str, float]]:
    """(class, probability), the likeliest first: of all classes, or of none
    where there is nothing to hear.
    """
    if self.silent:
      return []
    order = np.argsort(-self.probabilities, kind='stable')
    return [(self.classes[k], float(self.probabilities[k])) for k in order]
