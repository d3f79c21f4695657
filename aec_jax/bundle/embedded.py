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
    quiet: whether there is nothing to hear in it, of each.
  """

  name: str
  facts: stream.Facts
  first: int = 0
  last: bool = False
  embeddings: list[np.ndarray] = dataclasses.field(default_factory=list)
  quiet: list[bool] = dataclasses.field(default_factory=list)
  _count: int = 0
  _faults: list[UserError] = dataclasses.field(default_factory=list)

  @property
  def complete(self) -> bool:
    return len(self.embeddings) == self._count

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
  network: Network, sounds: Iterable[Item], per_segment: int = 1
) -> Iterator[Stretch]:
  """Embeds sounds.

  Args:
    network: of a bundle.
    sounds: to be embedded.
    per_segment: examples that begin in a segment; of embeddings 1.

  Yields:
    One or more stretches of each sound, in their order.
  """
  waiting: collections.deque[Stretch] = collections.deque()
  rows: list[tuple[Stretch, np.ndarray]] = []

  def flush():
    found: Any = ()
    if rows:
      found = network.embed(np.stack([row for _, row in rows]))
    for (stretch, _), embeddings in zip(rows, found, strict=True):
      stretch.embeddings.append(embeddings)
      try:
        check_finite(stretch.name, embeddings)
      except UserError as error:
        stretch._faults.append(error)
    rows.clear()

  for item in sounds:
    stretch = Stretch(getattr(item, 'name', 'embeddings'), stream.Facts())
    waiting.append(stretch)
    try:
      for example in _examples(network, item, stretch, per_segment):
        if stretch._count == _LONGEST:
          after = stretch.first + _LONGEST
          stretch = Stretch(
            stretch.name, stretch.facts, after, _faults=stretch._faults
          )
          waiting.append(stretch)
        stretch._count += 1
        rows.append((stretch, example))
        stretch.quiet.append(bool(np.abs(example).max() < _QUIET))
        if len(rows) == network.together:
          flush()
          # All but the one under way.
          while len(waiting) > 1 and waiting[0].complete:
            yield waiting.popleft()
    except UserError as error:
      stretch._faults.append(error)
    stretch.last = True
    if not rows:
      yield from waiting
      waiting.clear()
  flush()
  yield from waiting


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
