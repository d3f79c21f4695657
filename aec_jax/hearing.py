"""What the page of `aec_jax.demo` says of a sound."""

import dataclasses

import numpy as np

from aec_jax import answers, index
from aec_jax.audio import FrontEnd, decode, levels, stream
from aec_jax.bundle import activity, embedded, events, timeline
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError
from aec_jax.report import charts
from aec_jax.run import templates
from aec_jax.run.text import printable

_ABSENT = 3  # classes that are not there which are told of
_NEAREST = 10  # pieces of an index
_EVENTS = 200  # that are listed


class Hearing:
  """Hears sounds: tags, decisions, events, and what an index has like them.

  Args:
    tagger: of a bundle that hears.
    opened: an index of that bundle to search, or None.
    seconds: that a sound may last.
  """

  def __init__(
    self, tagger: Tagger, opened: index.Index | None, seconds: float
  ) -> None:
    self._tagger, self._index, self._most = tagger, opened, seconds
    self._decisions = None
    if tagger.info.get('decisions'):
      everything = np.ones(len(tagger.classes), bool)
      self._decisions = answers.Decisions(tagger, None, _ABSENT, everything)
    self._events = answers.Events(
      tagger, 1, activity.default(tagger),
      events.median_frames(None, tagger.spec.seconds, 1),
      answers.usual_thresholds(tagger),
    )  # fmt: skip

  def hear(self, path: str) -> tuple[dict[str, float], str]:
    """What there is to say of a sound.

    Args:
      path: of an audio file.

    Returns:
      {class: probability} of all classes; the rest, as HTML.

    Raises:
      UserError: the file is no sound, or lasts too long.
    """
    recording = _at_most(stream.Recording.of_file(path), self._most).held()
    count = self._tagger.test_shifts
    heard = list(
      embedded.stretches(self._tagger, [recording], test_shifts=count)
    )
    (tags,) = self._tagger.tag_embedded(heard)
    if isinstance(tags, UserError):
      # The path is the page's own, of no use to who reads it.
      said = str(tags).replace(f'{path}: ', 'the sound ')
      raise UserError(said.replace(path, 'the sound'))
    (found,) = self._events.tag_embedded(heard)
    told = [events.Event(*row) for row in found.rows]
    log_mel = timeline.log_mel_of(self._tagger, recording)
    notes = (*tags.notes, *answers.unshifted(self._tagger))
    drawn = timeline.by_segment(self._tagger, tags, heard)
    body = templates.render(
      'aec_jax', 'hearing.html.jinja', notes=notes, nothing=answers.NONE,
      decisions=self._decisions and self._decisions.rows(tags),
      events=told[:_EVENTS], more=max(0, len(told) - _EVENTS),
      figure=timeline.figure(drawn, log_mel, told),
      nearest=self._nearest(heard, path),
    )  # fmt: skip
    return {printable(label): p for label, p in tags.tags}, body

  def _nearest(self, heard, path) -> list[tuple] | None:
    """(likeness, file, start, end, player's data) of pieces of the index; None
    without one.
    """
    if self._index is None:
      return None
    told = answers.Embeddings(self._tagger).tag_embedded(heard)
    query = [row for some in told for _, _, row in some.rows]
    if not query:
      return []
    found = index.nearest(self._index, np.stack(query), path, _NEAREST)
    spec = self._tagger.spec
    return [
      (like, file, start, end, _played(file, start, end, spec))
      for like, file, start, end in found
    ]


def _played(path: str, start: float, end: float, spec: FrontEnd) -> str:
  """A piece of a short file as a data URI; '' of others, which take long."""
  try:
    if (decode.seconds_of(path) or np.inf) > stream.SHORT:
      return ''
    recording = stream.Recording.of_file(path).held()
    level, _ = levels.listen(path, recording.blocks)
    part = recording.part(level, start, end)
    found = stream.survey(part, None, True, levels.Level())
    parts = list(stream.samples_of(part, found, spec))
  except UserError:  # it was there when the index was made
    return ''
  return charts.mp3(np.concatenate(parts), spec.sample_rate) if parts else ''


def _at_most(recording, seconds):
  """A recording that is refused where it turns out to last longer.

  By its samples, by which a file can't hide how long it is.
  """

  def blocks():
    count = 0
    for block, rate in recording.blocks():
      count += len(block)
      if count > seconds * rate:
        raise UserError(f'the sound is longer than {seconds:,} s')
      yield block, rate

  return dataclasses.replace(recording, blocks=blocks)
