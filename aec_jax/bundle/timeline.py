"""A picture of where a sound was listened to, as PNG or as a page.

Its log-mel, and beneath it the likeliest classes: of each its probability over
time, and where there is an attention model the weights p_k(t) (thesis eq. 22),
as multiples of what even attention would be.
"""

import base64
import dataclasses
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from aec_jax.audio import stream
from aec_jax.bundle import activity, embedded
from aec_jax.bundle.events import Event
from aec_jax.bundle.tagger import Tagger
from aec_jax.bundle.tags import Tags
from aec_jax.bundle.timeline_figure import (
  CLASSES,
  NARROW,
  WIDE,
  LogMel,
  draw,
  panels,
)
from aec_jax.errors import UserError
from aec_jax.run import files, templates

# About as many columns as a picture has; frames are averaged down to them.
_COLUMNS = 2000
# Larger files are not put into a page, which then has no player.
_PLAYER_BYTES = 20_000_000
_TYPES = {
  '.wav': 'audio/wav',
  '.flac': 'audio/flac',
  '.ogg': 'audio/ogg',
  '.mp3': 'audio/mpeg',
}


def check_path(path: str) -> None:
  """Raises `UserError` unless a timeline can be written there."""
  if Path(path).suffix.lower() not in ('.png', '.html'):
    raise UserError(f'--timeline is {path!r}; it must end with .png or .html')
  if not os.path.isdir(os.path.dirname(path) or '.'):
    raise UserError(f'--timeline is {path!r}, whose folder is not there')
  if os.path.isdir(path):
    raise UserError(f'--timeline is {path!r}, a folder: name a file')


def check_sounds(path: str, files: Sequence) -> None:
  """Raises `UserError` for what can't be drawn, or for more than a picture has.

  Args:
    path: of the timeline.
    files: to be drawn, as `predict.find` gives them.
  """
  if len(files) != 1 and Path(path).suffix.lower() == '.png':
    raise UserError(
      f'--timeline={path} draws one sound, not {len(files)}: name one, or give'
      ' a page, .html, which has them all'
    )
  for file in files:
    if file.of_records:
      raise UserError(
        f'--timeline={path} draws sounds, and {file.path} holds embeddings:'
        ' leave it out'
      )


class Drawing:
  """The timelines of sounds in one file: a picture of one, or a page of all.

  Args:
    path: what to write, .png or .html.
    tagger: that makes the tags.
  """

  def __init__(self, path: str, tagger: Tagger) -> None:
    self.path, self._tagger = path, tagger
    self._picture = Path(path).suffix.lower() == '.png'
    self._drawn: list = []

  def add(self, sound: str, tags: Tags) -> None:
    """Draws a sound.

    Args:
      sound: the file that was tagged.
      tags: of it.

    Raises:
      UserError: the sound can't be read again.
    """
    name = os.path.basename(sound)
    recording = stream.Recording.of_file(sound).held()
    log_mel = log_mel_of(self._tagger, recording)
    heard = embedded.stretches(self._tagger, [recording])
    tags = by_segment(self._tagger, tags, heard)
    if self._picture:
      self._drawn.append(draw(name, tags, log_mel, WIDE))
    else:
      self._drawn.append(entry(name, tags, log_mel, sound))

  def write(self) -> None:
    """Writes what was drawn, whole or not at all.

    Raises:
      UserError: the path can't be written.
    """
    if self._picture:
      (data,) = self._drawn
    else:
      data = page(self._drawn).encode('utf-8', 'replace')
    try:
      with files.whole(self.path) as unfinished:
        unfinished.write_bytes(data)
    except OSError as error:
      raise UserError(
        f'{self.path}: cannot be written: {error.strerror}'
      ) from error


def by_segment(
  tagger: Tagger, tags: Tags, heard: Iterable[embedded.Stretch]
) -> Tags:
  """Tags whose timeline changes from segment to segment.

  Theirs has, for all segments of a piece, what the piece has. Here a piece
  begins at each segment, and a segment has what that around it has.

  Args:
    tagger: that made the tags.
    tags: of a sound.
    heard: the sound's embeddings.
  """
  frames = activity.follow_embedded(tagger, heard, 1, 'pieces')
  found = np.concatenate([some.probabilities for some in frames])
  if len(found) != len(tags.timeline):  # nothing was heard
    return tags
  return dataclasses.replace(tags, timeline=found)


def log_mel_of(tagger: Tagger, recording: stream.Recording) -> LogMel:
  """A recording's log-mel, untrimmed, averaged to a picture's width."""
  how, spec = tagger.front_end, tagger.spec
  found = stream.survey(recording, how['trim_db'], how['peak_normalise'])
  seconds = found.samples / found.rate
  frames = spec.step  # of an example, as far as the next one begins
  # Columns of an example: a divisor of its frames.
  columns = max(
    (n for n in range(1, frames + 1)
     if frames % n == 0 and n * seconds / spec.seconds <= _COLUMNS),
    default=1,
  )  # fmt: skip
  # With zeros after its end, so that the last example is whole and none is
  # repeated: what is drawn of them is cut off again.
  more = math.ceil(spec.example_samples * found.rate / spec.sample_rate) + 1
  longer = dataclasses.replace(
    recording, blocks=lambda: _padded(recording.blocks(), more)
  )
  whole = dataclasses.replace(found, start=0, stop=found.samples + more)
  rows = []
  for some in tagger.log_mels(longer, whole):
    shape = (-1, frames // columns, spec.bands)
    rows.append(some[:, :frames].reshape(shape).mean(1))
  column = spec.seconds / columns
  count = math.ceil(seconds / column)
  return LogMel(np.concatenate(rows)[:count], column, spec.low, spec.high)


def _padded(blocks, samples):
  """Blocks of a recording, and as many zeros after them."""
  channels, rate = 1, 0
  for block, rate in blocks:
    channels = block.shape[1]
    yield block, rate
  yield np.zeros((samples, channels), np.float32), rate


def figure(tags: Tags, log_mel: LogMel, events: Sequence[Event] = ()) -> str:
  """HTML of the pictures: for wide and narrow windows, light and dark.

  Args:
    tags: of a sound.
    log_mel: of it.
    events: to mark on the log-mel.
  """
  narrow, dark = '(max-width: 700px)', '(prefers-color-scheme: dark)'
  sources = [
    (f'{narrow} and {dark}', NARROW, True), (narrow, NARROW, False),
    (dark, WIDE, True),
  ]  # fmt: skip

  def picture(width, night):
    drawn = draw('', tags, log_mel, width, night, events)
    return _data('image/png', drawn)

  lines = [
    f'<source media="{media}" srcset="{picture(width, night)}">'
    for media, width, night in sources
  ]
  return '\n'.join(
    [
      '<picture>',
      *lines,
      f'<img src="{picture(WIDE, False)}" style="width: 100%"'
      ' alt="Log-mel, probabilities and attention over time">',
      '</picture>',
    ]
  )


def entry(name: str, tags: Tags, log_mel: LogMel, sound: str) -> dict:
  """What a page has of a sound.

  Args:
    name: its title.
    tags: of the sound.
    log_mel: of the sound.
    sound: the file; a small one is put into the page, to be played.
  """
  kind, player = _TYPES.get(Path(sound).suffix.lower()), ''
  if kind and os.path.getsize(sound) <= _PLAYER_BYTES:
    player = _data(kind, Path(sound).read_bytes())
  return {
    'name': name,
    'seconds': tags.duration,
    'tags': tags.tags[:CLASSES],
    'notes': tags.notes,
    'player': player,
    'figure': figure(tags, log_mel),
  }


def page(sounds: Sequence[Mapping]) -> str:
  """A page that opens from disk, with nothing from elsewhere.

  Args:
    sounds: what `entry` returns, of each.
  """
  title = sounds[0]['name'] if len(sounds) == 1 else f'{len(sounds)} sounds'
  return templates.render(
    'aec_jax.bundle', 'timeline.html.jinja', title=title, sounds=sounds,
    wide=panels(WIDE), narrow=panels(NARROW),
  )  # fmt: skip


def _data(kind: str, data: bytes) -> str:
  return f'data:{kind};base64,{base64.b64encode(data).decode()}'
