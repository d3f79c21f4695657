"""A picture of where a sound was listened to, as PNG or as a page.

Its log-mel, and beneath it the likeliest classes: of each its probability over
time, and where there is an attention model the weights p_k(t) (thesis eq. 22),
as multiples of what even attention would be.
"""

import base64
import dataclasses
import html
import math
import os
from pathlib import Path

import numpy as np

from aec_jax.audio import stream
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
from aec_jax.run import files

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


def write(path: str, tagger: Tagger, sound: str, tags: Tags) -> None:
  """Writes the timeline of a sound, whole or not at all.

  Args:
    path: what to write, .png or .html.
    tagger: that made the tags.
    sound: the file that was tagged.
    tags: of it.

  Raises:
    UserError: the sound can't be read again, or the path not be written.
  """
  name = os.path.basename(sound)
  log_mel = log_mel_of(tagger, stream.Recording.of_file(sound))
  if Path(path).suffix.lower() == '.png':
    data = draw(name, tags, log_mel, WIDE)
  else:
    data = page(name, tags, log_mel, sound).encode('utf-8', 'replace')
  try:
    with files.whole(path) as unfinished:
      unfinished.write_bytes(data)
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error.strerror}') from error


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
  block = rate = None
  for block, rate in blocks:
    yield block, rate
  yield np.zeros((samples, block.shape[1]), np.float32), rate


def figure(tags: Tags, log_mel: LogMel) -> str:
  """HTML of the pictures: for wide and narrow windows, light and dark."""
  narrow, dark = '(max-width: 700px)', '(prefers-color-scheme: dark)'
  sources = [
    (f'{narrow} and {dark}', NARROW, True), (narrow, NARROW, False),
    (dark, WIDE, True),
  ]  # fmt: skip
  lines = [
    f'<source media="{media}" srcset="{_picture(tags, log_mel, width, night)}">'
    for media, width, night in sources
  ]
  return '\n'.join(
    [
      '<picture>',
      *lines,
      f'<img src="{_picture(tags, log_mel, WIDE, False)}" style="width: 100%"'
      ' alt="Log-mel, probabilities and attention over time">',
      '</picture>',
    ]
  )


def _picture(tags, log_mel, width, dark) -> str:
  return _data('image/png', draw('', tags, log_mel, width, dark))


def page(name: str, tags: Tags, log_mel: LogMel, sound: str) -> str:
  """A page that opens from disk, with nothing from elsewhere.

  Args:
    name: its title.
    tags: of the sound.
    log_mel: of the sound.
    sound: the file; a small one is put into the page, to be played.
  """
  rows = ''.join(
    f'<tr><td>{html.escape(label)}</td><td>{p:.3f}</td></tr>'
    for label, p in tags.tags[:CLASSES]
  )
  kind = _TYPES.get(Path(sound).suffix.lower())
  player = '<p>The sound is too large, or of another kind, to be in here.</p>'
  if kind and os.path.getsize(sound) <= _PLAYER_BYTES:
    source = _data(kind, Path(sound).read_bytes())
    player = f'<audio controls src="{source}"></audio>'
  (left, share), (left_narrow, share_narrow) = map(panels, (WIDE, NARROW))
  notes = ''.join(f'<p>Note: {html.escape(note)}</p>' for note in tags.notes)
  return _PAGE.format(
    name=html.escape(name), rows=rows, player=player, notes=notes,
    figure=figure(tags, log_mel), duration=tags.duration,
    left=left, share=share, left_narrow=left_narrow, share_narrow=share_narrow,
  )  # fmt: skip


def _data(kind: str, data: bytes) -> str:
  return f'data:{kind};base64,{base64.b64encode(data).decode()}'


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{name}</title>
<style>
html {{ color-scheme: light dark }}
body {{ font: 16px/1.5 sans-serif; max-width: 1320px; margin: 0 auto;
  padding: 1em; color: #222; background: #fff; overflow-wrap: anywhere }}
@media (prefers-color-scheme: dark) {{
  body {{ color: #e6e9ec; background: #0f1419 }}
}}
h1 {{ font-size: 1.3em }}
audio {{ width: 100% }}
td + td {{ text-align: right; padding-left: 1.5em }}
figure {{ position: relative; margin: 1em 0 }}
img {{ width: 100%; display: block; border-radius: 6px }}
#now {{ position: absolute; top: 0; bottom: 0; width: 2px; background: #d00;
  display: none; --left: {left}; --share: {share};
  left: calc(100% * (var(--left) + var(--share) * var(--at, 0))) }}
@media (max-width: 700px) {{
  #now {{ --left: {left_narrow}; --share: {share_narrow} }}
}}
</style>
<h1>{name}</h1>
{player}
{notes}
<table>{rows}</table>
<figure>
{figure}
<div id="now"></div>
</figure>
<script>
const audio = document.querySelector('audio');
const now = document.getElementById('now');
function follow() {{
  const at = audio.currentTime / {duration};
  now.style.display = at <= 1 ? 'block' : 'none';
  now.style.setProperty('--at', at);
  if (!audio.paused) requestAnimationFrame(follow);
}}
if (audio) for (const event of ['play', 'seeked', 'timeupdate'])
  audio.addEventListener(event, follow);
</script>
</html>
"""
