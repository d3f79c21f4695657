"""What can be said of sounds: tags, decisions, events, embeddings.

An `Answer` says it in rows, whichever way they are written then
(`aec_jax.formats`, `aec_jax.archive`).
"""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from aec_jax.bundle import activity, decisions, embedded, events
from aec_jax.bundle.embedded import Item
from aec_jax.bundle.tagger import Tagger
from aec_jax.bundle.tags import Tags as SoundTags
from aec_jax.errors import UserError
from aec_jax.run import cache, files

NONE = 'none of these'


@dataclasses.dataclass(frozen=True)
class Found:
  """What is said of a sound, or of the next stretch of it.

  Attributes:
    rows: values of the answer's columns.
    notes: what is odd about the sound.
    error: why it can't be heard, or not to its end; there are no rows then.
    seconds: of the whole sound.
    last: whether no more comes of this sound.
    tags: all that plain tags are of, for a timeline.
  """

  rows: list[tuple]
  notes: tuple[str, ...] = ()
  error: UserError | None = None
  seconds: float = 0.0
  last: bool = True
  tags: SoundTags | None = None


class Answer(Protocol):
  """A way to answer what is in sounds.

  Attributes:
    name: of its rows in JSON.
    columns: their names and types: str, float, bool, or list for a vector.
    settings: what else the rows depend on beside the bundle's weights and the
      sounds, for JSON.
    per_segment: examples that begin in a segment.
  """

  name: str
  columns: dict[str, type]
  settings: dict
  per_segment: int

  def tag(self, sounds: Iterable[Item]) -> Iterator[Found]:
    """One or more `Found` of each sound, in their order."""

  def lines(self, rows: Sequence[tuple]) -> list[str]:
    """Rows of a sound for people to read."""


class Tags:
  """The likeliest classes of each sound.

  Args:
    tagger: of a bundle.
    top: how many.
    only: (class,) bool, which classes are told.
  """

  name, per_segment = 'tags', 1

  def __init__(self, tagger: Tagger, top: int, only: np.ndarray) -> None:
    self._tagger, self._top = tagger, top
    self._names = {tagger.classes[k] for k in np.flatnonzero(only)}
    self.columns: dict[str, type] = {'label': str, 'probability': float}
    self.settings = {'top': top, 'classes': sorted(self._names)}
    self.settings |= _shifts(tagger)

  def tag(self, sounds: Iterable[Item]) -> Iterator[Found]:
    for tags in self._tagger.tag(sounds):
      if isinstance(tags, UserError):
        yield Found([], error=tags)
        continue
      rows = [(k, p) for k, p in tags.tags if k in self._names]
      yield Found(rows[: self._top], tags.notes, None, tags.duration, tags=tags)

  def lines(self, rows: Sequence[tuple]) -> list[str]:
    return [f'{probability:.4f}  {label}' for label, probability in rows]


class Decisions:
  """Which classes are there, by the bundle's thresholds, and which are not.

  Args:
    tagger: of a bundle that decides.
    precision: that is wished; None for the best F1.
    top: how many of the classes that are not there.
    only: (class,) bool, which classes are told.

  Raises:
    UserError: the bundle has no thresholds, or none of that precision.
  """

  name, per_segment = 'decisions', 1

  def __init__(
    self, tagger: Tagger, precision: float | None, top: int, only: np.ndarray
  ) -> None:
    self._tagger, self._top = tagger, top
    self._how = decided_by(tagger)
    self._thresholds = decisions.thresholds(self._how, precision)
    self._only = np.flatnonzero(only)
    self.columns: dict[str, type] = {
      'label': str, 'probability': float, 'threshold': float, 'there': bool
    }  # fmt: skip
    names = [tagger.classes[k] for k in self._only]
    self.settings = {
      'precision': precision, 'top': top, 'classes': names,
      'decisions': cache.digest(self._how),
    } | _shifts(tagger)  # fmt: skip

  def tag(self, sounds: Iterable[Item]) -> Iterator[Found]:
    for tags in self._tagger.tag(sounds):
      if isinstance(tags, UserError):
        yield Found([], error=tags)
        continue
      yield Found(self.rows(tags), tags.notes, None, tags.duration)

  def rows(self, tags: SoundTags) -> list[tuple]:
    """What is there of a sound, then what is not."""
    found = decisions.calibrated(self._how, tags.probabilities)
    there = (found >= self._thresholds) & (not tags.silent)
    order = self._only[np.argsort(-found[self._only], kind='stable')]
    absent = order[~there[order]][: self._top]
    return [
      (tags.classes[k], float(found[k]), _number(self._thresholds[k]), yes)
      for yes, some in ((True, order[there[order]]), (False, absent))
      for k in some
    ]

  def lines(self, rows: Sequence[tuple]) -> list[str]:
    lines = [] if any(there for *_, there in rows) else [f'yes  {NONE}']
    for label, probability, threshold, there in rows:
      at = 'never' if threshold is None else f'from {threshold:.3f}'
      mark = 'yes' if there else 'no '
      lines.append(f'{mark}  {probability:.3f} ({at})  {label}')
    return lines


class Events:
  """When each class is heard.

  Args:
    tagger: of a bundle.
    per_segment: frames of a segment.
    by: 'pieces' or 'attention', which dates them.
    median: frames, odd.
    thresholds: (class,) probabilities; NaN where a class is not told.
  """

  name = 'events'

  def __init__(
    self,
    tagger: Tagger,
    per_segment: int,
    by: str,
    median: int,
    thresholds: np.ndarray,
  ) -> None:
    activity.check(tagger, by)
    self._tagger, self.per_segment, self._by = tagger, per_segment, by
    self._median, self._thresholds = median, thresholds
    self._how = tagger.info.get('decisions')
    self.columns: dict[str, type] = {
      'onset': float, 'offset': float, 'label': str, 'confidence': float
    }  # fmt: skip
    self.settings = {
      'per_segment': per_segment, 'by': by, 'median': median,
      'thresholds': [_number(x) for x in thresholds],
      'decisions': cache.digest(self._how),
    }  # fmt: skip

  def frames(self, sounds: Iterable[Item]) -> Iterator[activity.Frames]:
    """Probabilities over time, calibrated where the bundle knows how."""
    yield from self._frames(
      embedded.stretches(self._tagger, sounds, self.per_segment)
    )

  def _frames(self, stretches) -> Iterator[activity.Frames]:
    for some in activity.follow_embedded(
      self._tagger, stretches, self.per_segment, self._by
    ):
      if self._how:
        found = decisions.calibrated(self._how, some.probabilities)
        some = dataclasses.replace(some, probabilities=found)
      yield some

  def tag(self, sounds: Iterable[Item]) -> Iterator[Found]:
    yield from self.tag_embedded(
      embedded.stretches(self._tagger, sounds, self.per_segment)
    )

  def tag_embedded(
    self, stretches: Iterable[embedded.Stretch]
  ) -> Iterator[Found]:
    """As `tag`, of sounds that are embedded already, by `per_segment`."""
    frames = self._frames(stretches)
    for found in events.find(
      frames, self._tagger.classes, self._thresholds, self._median
    ):
      rows = [] if found.error else [tuple(event) for event in found.events]
      facts = found.facts
      yield Found(rows, facts.notes, found.error, facts.duration)

  def lines(self, rows: Sequence[tuple]) -> list[str]:
    return [
      f'{onset:9.2f} {offset:9.2f}  {confidence:.3f}  {label}'
      for onset, offset, label, confidence in rows
    ]


class Embeddings:
  """The embedding of each segment, of all extractors one after another.

  Silence has none.

  Args:
    tagger: of a bundle.
  """

  name, per_segment = 'embeddings', 1

  def __init__(self, tagger: Tagger) -> None:
    self._tagger = tagger
    self.columns: dict[str, type] = {
      'start': float, 'end': float, 'embedding': list
    }  # fmt: skip
    self.settings: dict = {}

  def tag(self, sounds: Iterable[Item]) -> Iterator[Found]:
    yield from self.tag_embedded(embedded.stretches(self._tagger, sounds))

  def tag_embedded(
    self, stretches: Iterable[embedded.Stretch]
  ) -> Iterator[Found]:
    """As `tag`, of sounds that are embedded already, by whole segments."""
    seconds = self._tagger.spec.seconds
    for some in stretches:
      facts = some.facts
      rows = []
      if not facts.silent and not some.error:
        edges = seconds * (some.first + np.arange(len(some.embeddings) + 1))
        edges = np.minimum(facts.kept[0] + edges, facts.kept[1]).round(4)
        rows = [
          (start, end, row.ravel().astype(np.float32))
          for start, end, row in zip(
            edges[:-1].tolist(), edges[1:].tolist(), some.embeddings,
            strict=True)
        ]  # fmt: skip
      error = some.error if some.last else None
      yield Found(rows, facts.notes, error, facts.duration, some.last)

  def lines(self, rows: Sequence[tuple]) -> list[str]:
    return [
      f'{start:9.2f} {end:9.2f}  {len(row)} numbers' for start, end, row in rows
    ]


def unshifted(tagger: Tagger) -> list[str]:
  """A note on what is told by whole sounds cut once, where tags are not."""
  if tagger.test_shifts == 1:
    return []
  return [
    f'the bundle tags at {tagger.test_shifts} shifts; events are of sounds cut'
    ' once, at their beginning'
  ]


def _shifts(tagger) -> dict:
  """Of an answer's settings; of bundles that do not shift none, as ever."""
  count = tagger.test_shifts
  return {'test_shifts': count} if count > 1 else {}


def decided_by(tagger: Tagger) -> dict:
  """The calibration and thresholds of a bundle.

  Raises:
    UserError: it has none.
  """
  found = tagger.info.get('decisions')
  if not found:
    raise UserError(
      'this bundle has no thresholds, since it is of an older version; running'
      ' its experiment with --mode=evaluate adds them'
    )
  return found


def usual_thresholds(tagger: Tagger) -> np.ndarray:
  """(class,) the bundle's thresholds of the best F1, of an older one 0.5."""
  found = tagger.info.get('decisions')
  if found:
    return decisions.thresholds(found, None)
  return np.full(len(tagger.classes), 0.5)


def chosen(tagger: Tagger, names: str | None) -> np.ndarray:
  """(class,) bool, the classes that a list names.

  Args:
    tagger: of a bundle.
    names: separated by commas, or a file of one a line; None for all.

  Raises:
    UserError: one is no class of the bundle, or the file can't be read.
  """
  classes = tagger.classes
  if names is None:
    return np.ones(len(classes), bool)
  wanted = names.split(',')
  if names not in classes and not os.path.isdir(names):
    files.check_file(names, needed=False)
  if os.path.isfile(names):
    try:
      with open(names, encoding='utf-8-sig') as file:
        wanted = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
      raise UserError(f'--classes: {names}: is no list: {error}') from error
  # A comma may be in a name, such as AudioSet's.
  wanted = [names] if names in classes else [x.strip() for x in wanted]
  wanted = [name for name in wanted if name]
  for name in wanted:
    if name not in classes:
      near = difflib.get_close_matches(name, classes, 3) or classes[:5]
      raise UserError(
        f'--classes: {name!r} is no class of this bundle; near are'
        f' {", ".join(near)}'
      )
  if not wanted:
    raise UserError(f'--classes: {names!r} names none')
  return np.isin(classes, wanted)


def _number(x) -> float | None:
  return None if np.isnan(x) else float(x)
