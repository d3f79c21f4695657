"""What a model hears over time, by frames, as pieces slide over a sound.

A piece says what is in all of its segments. Where pieces of L segments slide on
by a hop, a frame of that length has what the piece says whose middle it is; at
the ends of a sound, the first and the last piece. An attention model also says
which of its segments made it say so, by p_k(t) f_k(t) (thesis eq. 22): a frame
then has the mean, over the pieces that hold it, of its own share.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from aec_jax.audio.stream import Facts
from aec_jax.bundle.embedded import Stretch, check_finite
from aec_jax.bundle.network import Ensemble, Network
from aec_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
  """What was heard in some of a sound.

  Attributes:
    facts: of the whole sound.
    start: seconds, where the first frame begins.
    hop: seconds from frame to frame.
    probabilities: (frame, class) float32.
    quiet: (frame,), where a segment of digital silence is, of which models say
      anything.
    last: whether no more come of this sound.
    error: why the sound can't be heard, or not to its end.
  """

  facts: Facts
  start: float
  hop: float
  probabilities: np.ndarray
  quiet: np.ndarray
  last: bool
  error: UserError | None = None


def default(network: Network) -> str:
  """What tells more: 'attention' where a bundle has it, else 'pieces'."""
  attends = network.ensembles and network.info['model']['name'] == 'attention'
  return 'attention' if attends else 'pieces'


def check(network: Network, by: str) -> None:
  """Raises `UserError` where a bundle has no attention and `by` is that."""
  if by == 'attention' != default(network):
    raise UserError('--by=attention: this bundle has no attention model')


def follow_embedded(
  network: Network, embedded: Iterable[Stretch], per_segment: int, by: str
) -> Iterator[Frames]:
  """Follows sounds over time.

  Args:
    network: of a bundle.
    embedded: the sounds, as `embedded.stretches` gives them.
    per_segment: frames of a segment, and examples that begin in one.
    by: 'pieces' or 'attention'.

  Yields:
    One or more of each sound, in their order.
  """
  hop = network.spec.seconds / per_segment
  of_sound = None
  for stretch in embedded:
    of_sound = of_sound or _Sound(network, per_segment, by == 'attention')
    begun = of_sound.done
    probabilities = np.zeros((0, len(network.classes)), np.float32)
    of_sound.quiet += stretch.quiet
    if stretch.embeddings and not stretch.facts.silent:
      some = np.stack(stretch.embeddings)
      probabilities = of_sound.add(some, stretch.last)
      try:
        check_finite(stretch.name, probabilities)
      except UserError as error:
        of_sound.error = of_sound.error or error
    yield Frames(
      stretch.facts, stretch.facts.kept[0] + begun * hop, hop, probabilities,
      of_sound.quiet_frames(begun), stretch.last,
      stretch.error or of_sound.error,
    )  # fmt: skip
    if stretch.last:
      of_sound = None


class _Sound:
  """A sound whose embeddings come in stretches.

  Attributes:
    done: frames that have been told.
    quiet: of each example so far.
    error: what is wrong with what was told.
  """

  error: UserError | None = None

  def __init__(self, network, per_segment, located):
    self._network, self._per, self._located = network, per_segment, located
    self.quiet: list[bool] = []
    self._rows: np.ndarray | None = None  # (example, extractor, feature)
    self._from = self.done = 0  # the number of the first of them
    longest = max((e.length for e in network.ensembles), default=1)
    self._reach = longest * per_segment

  def add(self, rows, last) -> np.ndarray:
    """The probabilities (frame, class) that are sure now."""
    if self._rows is not None:
      rows = np.concatenate([self._rows, rows])
    count = self._from + len(rows)  # of examples, so far
    stop = (
      count + self._per - 1 if last else max(self.done, count - self._reach)
    )
    values = self._values(rows)[self.done - self._from : stop - self._from]
    self.done = stop
    keep = max(self._from, self.done - self._reach)
    self._rows, self._from = rows[keep - self._from :], keep
    probabilities = self._network.objective.to_probabilities(values)
    return np.asarray(probabilities, np.float32)

  def quiet_frames(self, begun) -> np.ndarray:
    """(frame,), of those from one on that have been told."""
    # A frame is in each example that begins less than a segment before it.
    before = [False] * max(0, self._per - 1 - begun)
    own = self.quiet[max(0, begun - self._per + 1) : self.done]
    after = [False] * (self.done - len(self.quiet))
    padded = np.array([*before, *own, *after], bool)
    count = self.done - begun
    parts = [padded[i : i + count] for i in range(self._per)]
    return np.any(parts, 0)

  def _values(self, rows) -> np.ndarray:
    """(frame, class), the mean over the lengths of pieces."""
    network = self._network
    if not network.ensembles:
      values = np.asarray(network.objective.values(rows)).mean(1)
      return _centred(values, 1, self._per, len(rows))
    found = [
      of_ensemble(network, e, rows, self._per, self._located)
      for e in network.ensembles
    ]
    return np.mean(found, 0)


def of_ensemble(
  network: Network,
  ensemble: Ensemble,
  rows: np.ndarray,
  per_segment: int,
  located: bool,
) -> np.ndarray:
  """Values of frames (frame, class) by one length of pieces.

  Args:
    network, ensemble: of a bundle.
    rows: (example, extractor, feature), embeddings of a sound.
    per_segment: examples that begin in a segment.
    located: whether by attention.
  """
  segments, valid = _windows(
    len(rows), ensemble.length, per_segment, ensemble.last_piece
  )
  wanted = np.arange(segments.shape[1]) < valid[:, None]
  asked = ('of_segments',) if located else ()
  pieces, _, of_segments = network.pieces(
    ensemble, np.moveaxis(rows, 1, 0), segments, valid, asked=asked
  )
  if of_segments is None:
    whole = _whole(len(rows), ensemble.length, per_segment)
    length = ensemble.length if whole else 1
    pieces = pieces[: whole or None]
    return _centred(pieces, length, per_segment, len(rows))
  own = wanted & (_numbers(segments, per_segment) < len(rows))
  total = np.zeros((len(rows), pieces.shape[1]))
  count = np.zeros((len(rows), 1))
  np.add.at(total, segments[own], of_segments[own])
  np.add.at(count, segments[own], 1)
  return _centred(total / count, 1, per_segment, len(rows))


def _numbers(segments, per_segment) -> np.ndarray:
  """Where the segments of windows stood, did none begin again."""
  steps = per_segment * np.arange(segments.shape[1])
  return segments[:, :1] + steps


def _whole(count, length, per_segment) -> int:
  """How many pieces fit into a number of examples."""
  return max(0, count - (length - 1) * per_segment)


def _windows(count, length, per_segment, last_piece):
  """Pieces that begin at every example.

  Of those of the first segment each begins one, so that all are in some; what
  is too short for them repeats or is masked as the bundle's pieces.

  Returns:
    segments (piece, length) and how many of them are valid (piece,).
  """
  whole = _whole(count, length, per_segment)
  starts = np.arange(max(whole, min(per_segment, count)))
  there = np.minimum(length, -(-(count - starts) // per_segment))
  steps = np.arange(length) % there[:, None]
  valid = np.full(len(starts), length) if last_piece == 'repeat' else there
  return starts[:, None] + steps * per_segment, valid.astype(np.int32)


def _centred(values, length, per_segment, examples) -> np.ndarray:
  """Frames (frame, class) of values (piece, class), by the pieces' middles."""
  frames = np.arange(examples + per_segment - 1)
  half = (length * per_segment - 1) / 2
  last = len(values) - 1
  below = np.floor(frames - half).clip(0, last).astype(int)
  above = np.ceil(frames - half).clip(0, last).astype(int)
  return (values[below] + values[above]) / 2
