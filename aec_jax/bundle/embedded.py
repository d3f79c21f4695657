"""Sounds as embeddings, in batches across them and in little memory.

A long sound comes in stretches, so that neither a day in one file nor a hundred
thousand files are ever held whole.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from aec_jax.audio import FrontEnd, stream
from aec_jax.bundle.network import Network
from aec_jax.errors import UserError
from aec_jax.input import shifts
from aec_jax.models import embedding_postprocess

# Examples of a stretch: at 0.96 s each, 65 minutes.
_LONGEST = 4096
# What resampling leaves of digital silence, beside a peak of 1, is below.
_QUIET = 1e-6

# What is embedded: AudioSet's embeddings are taken as they are, and errors are
# passed on.
Item = stream.Recording | stream.Examples | np.ndarray | UserError


@dataclasses.dataclass(eq=False)
class Stretch:
  """Some of a sound's examples, in order.

  Attributes:
    name: of the sound, for messages.
    facts: of the whole sound.
    first: the number of its first example.
    last: whether no more come of this sound.
    embeddings: an (extractor, feature) an example.
    shifted: the same of each further shift, whose examples begin later and are
      as many, but for the sound's first stretch, which has one less.
    quiet: whether there is nothing to hear in it, of each.
  """

  name: str
  facts: stream.Facts
  first: int = 0
  last: bool = False
  embeddings: list[np.ndarray] = dataclasses.field(default_factory=list)
  shifted: list[list[np.ndarray]] = dataclasses.field(default_factory=list)
  quiet: list[bool] = dataclasses.field(default_factory=list)
  _count: int = 0
  _faults: list[UserError] = dataclasses.field(default_factory=list)

  @property
  def complete(self) -> bool:
    return len(self.embeddings) == self._count

  def next(self) -> 'Stretch':
    """The one that follows, of the same sound."""
    return Stretch(
      self.name, self.facts, self.first + self._count,
      shifted=[[] for _ in self.shifted], _faults=self._faults,
    )  # fmt: skip

  @property
  def error(self) -> UserError | None:
    """Why the sound can't be heard, or not to its end."""
    return self._faults[0] if self._faults else None


def check_hop(network: Network, hop: float | None) -> int:
  """How many examples begin in a segment.

  Args:
    network: of a bundle.
    hop: seconds from one example to the next; None for a segment.

  Raises:
    UserError: it is not a whole part of a segment, in whole frames.
  """
  seconds, frames = network.spec.seconds, network.spec.step
  parts = [n for n in range(1, frames + 1) if frames % n == 0]
  hops = {n: seconds / n for n in parts}
  near = min(parts, key=lambda n: abs(hops[n] - (hop or seconds)))
  if hop is not None and not abs(hops[near] - hop) <= 1e-6:  # NaN neither
    some = ', '.join(f'{hops[n]:g}' for n in parts[:8])
    raise UserError(
      f'--hop is {hop:g}; it takes a segment or a whole part of it: {some} …'
    )
  return near


def spec_of(network: Network, per_segment: int) -> FrontEnd:
  """The front end where so many examples begin in a segment."""
  return network.spec._replace(step=network.spec.step // per_segment)


def check_hears(network: Network, name: str) -> None:
  """Raises `UserError` where a bundle takes no sound, such as that name's."""
  if not network.hears:
    raise UserError(
      f'{name}: this bundle hears nothing without VGGish: give'
      ' --vggish=FILE.npz and --pca=FILE.npz, or AudioSet embeddings'
      ' (*.tfrecord)'
    )


def check_finite(name: str, values: np.ndarray) -> None:
  """Raises `UserError` where a bundle makes NaN of the sound of that name."""
  if not np.isfinite(values).all():
    raise UserError(
      f'{name}: the bundle makes NaN of it: its weights are no sound ones'
    )


def stretches(
  network: Network,
  sounds: Iterable[Item],
  per_segment: int = 1,
  test_shifts: int = 1,
) -> Iterator[Stretch]:
  """Embeds sounds.

  Args:
    network: of a bundle.
    sounds: to be embedded.
    per_segment: examples that begin in a segment; of embeddings 1.
    test_shifts: of whole segments, at how many shifts sounds are cut.

  Yields:
    One or more stretches of each sound, in their order.
  """
  waiting: collections.deque[Stretch] = collections.deque()
  rows: list[_Row] = []
  for item in sounds:
    stretch = Stretch(getattr(item, 'name', 'embeddings'), stream.Facts())
    stretch.shifted = [[] for _ in range(test_shifts - 1)]
    waiting.append(stretch)
    before = None
    try:
      for example in _examples(network, item, stretch, per_segment):
        if stretch._count == _LONGEST:
          stretch = stretch.next()
          waiting.append(stretch)
        stretch._count += 1
        stretch.quiet.append(bool(np.abs(example).max() < _QUIET))
        between = _between(network.spec, before, example, test_shifts)
        for row in _rows(stretch, between, example):
          rows.append(row)
          if len(rows) == network.together:
            _embed(network, rows)
            # All but the one under way.
            while len(waiting) > 1 and waiting[0].complete:
              yield waiting.popleft()
        before = example
    except UserError as error:
      stretch._faults.append(error)
    stretch.last = True
    if not rows:
      yield from waiting
      waiting.clear()
  _embed(network, rows)
  yield from waiting


# An example, of which stretch, and where its embeddings go.
_Row = tuple[Stretch, list, np.ndarray]


def _rows(stretch, between, example) -> Iterator[_Row]:
  """An example and those that begin before it, by shifts.

  It comes last: a stretch that has its embeddings has theirs.
  """
  for own, row in zip(stretch.shifted, between, strict=False):
    yield stretch, own, row
  yield stretch, stretch.embeddings, example


def _embed(network, rows: list[_Row]) -> None:
  """Gives stretches the embeddings of rows, and takes the rows away."""
  found: Any = ()
  if rows:
    found = network.embed(np.stack([row for *_, row in rows]))
  for (stretch, own, _), embeddings in zip(rows, found, strict=True):
    own.append(embeddings)
    try:
      check_finite(stretch.name, embeddings)
    except UserError as error:
      stretch._faults.append(error)
  rows.clear()


def _between(spec, before, example, test_shifts) -> np.ndarray:
  """(shift, sample) the examples that begin between two of a sound.

  None of them before its first, nor where there are no shifts.
  """
  if before is None or test_shifts == 1:
    return np.zeros((0, len(example)), example.dtype)
  later = shifts.later(test_shifts, spec.step)
  shape = len(later), len(example)
  first, second = (np.broadcast_to(x, shape) for x in (before, example))
  return shifts.between(first, second, later * spec.hop, spec.example_hop)


def _examples(network, item, stretch, per_segment) -> Iterator[np.ndarray]:
  """The examples (15600,) of a sound; sets the stretch's facts."""
  if isinstance(item, UserError):
    raise item
  if isinstance(item, np.ndarray):
    if per_segment != 1:
      raise UserError('embeddings are of whole segments: leave out --hop')
    _check_embeddings(network, item)
    seconds = network.spec.seconds * len(item)
    stretch.facts = stream.Facts(seconds, (0.0, seconds))
    stretch.embeddings = list(item[:, None])
    stretch.quiet = [False] * len(item)
    stretch._count = len(item)
    return
  check_hears(network, item.name)
  how = network.front_end
  if isinstance(item, stream.Recording):
    item = stream.open_examples(
      item, spec_of(network, per_segment), how['trim_db'],
      how['peak_normalise'],
    )  # fmt: skip
  stretch.facts = item.facts
  for some in item.blocks:
    yield from some


def _check_embeddings(network, embeddings) -> None:
  """Raises `UserError` for what are none of AudioSet's, or not taken."""
  if not network.takes_embeddings:
    raise UserError('this bundle takes sound, not embeddings of AudioSet')
  size = embedding_postprocess.SIZE
  if embeddings.shape[1:] != (size,) or not len(embeddings):
    raise UserError(f'embeddings are {embeddings.shape}, not (…, {size})')
