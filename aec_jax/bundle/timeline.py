"""A picture of where a sound was listened to, as PNG or as a page.

Its log-mel, and beneath it the likeliest classes: of each its probability over
time, and where there is an attention model the weights p_k(t) (thesis eq. 22).
"""

import base64
import html
import io
import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from aec_jax.audio import stream
from aec_jax.bundle.tagger import Tagger, Tags
from aec_jax.errors import UserError
from aec_jax.run import files

CLASSES = 5
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
# Left and right edge of the panels, as shares of a picture's width.
_LEFT, _RIGHT = 0.03, 0.97
WIDE, NARROW = 11.0, 4.0  # inches


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
    pictures = [draw('', tags, log_mel, size) for size in (WIDE, NARROW)]
    data = page(name, tags, pictures, sound).encode('utf-8', 'replace')
  try:
    with files.whole(path) as unfinished:
      unfinished.write_bytes(data)
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error.strerror}') from error


def log_mel_of(tagger: Tagger, recording: stream.Recording) -> np.ndarray:
  """(column, band): a recording's log-mel, averaged to a picture's width."""
  how, spec = tagger.front_end, tagger.spec
  found = stream.survey(recording, how['trim_db'], how['peak_normalise'])
  seconds = (found.stop - found.start) / found.rate
  frames = spec.step  # of an example, as far as the next one begins
  # Columns of an example: a divisor of its frames.
  columns = max(
    (n for n in range(1, frames + 1)
     if frames % n == 0 and n * seconds / spec.seconds <= _COLUMNS),
    default=1,
  )  # fmt: skip
  rows = []
  for some in tagger.log_mels(recording, found):
    shape = (-1, frames // columns, spec.bands)
    rows.append(some[:, :frames].reshape(shape).mean(1))
  return np.concatenate(rows)


def draw(name: str, tags: Tags, log_mel: np.ndarray, width: float) -> bytes:
  """A picture, as PNG.

  Args:
    name: its title; '' for none.
    tags: of a sound.
    log_mel: (column, band) of the same.
    width: inches.
  """
  top = [int(k) for k in np.argsort(-tags.probabilities)[:CLASSES]]
  strip, text, mel = 0.2, 0.24, 1.5  # inches
  attention = tags.attention
  heard = attention is not None
  height = text * (1 + bool(name)) + mel + 0.85
  height += len(top) * (text + strip * (1 + heard) + 0.06)
  figure = Figure((width, height), dpi=120)
  span = (tags.times[0], tags.times[-1] + tags.seconds)
  y = height

  def panel(inches, values, limits, colours):
    nonlocal y
    y -= inches
    axes = figure.add_axes((_LEFT, y / height, _RIGHT - _LEFT, inches / height))
    axes.imshow(
      values, aspect='auto', origin='lower', cmap=colours,
      vmin=limits[0], vmax=limits[1], extent=(*span, 0, 1),
    )  # fmt: skip
    axes.set_yticks([])
    axes.set_xticks([])
    return axes

  def label(words, **style):
    nonlocal y
    y -= text
    figure.text(
      _LEFT, (y + 0.07) / height, words, fontsize=9, parse_math=False, **style
    )

  if name:
    label(name[: round(14 * width)], fontweight='bold')
  label('log-mel, 125 to 7,500 Hz')
  panel(mel, log_mel.T, (log_mel.min(), log_mel.max()), 'magma')
  most = 1 if attention is None else attention[:, top].max()
  for k in top:
    label(
      f'{tags.probabilities[k]:.3f}  {tags.classes[k]}'[: round(14 * width)]
    )
    axes = panel(strip, tags.timeline[:, k][None], (0, 1), 'Blues')
    if attention is not None:
      axes = panel(strip, attention[:, k][None], (0, most), 'Oranges')
    y -= 0.06
  ticks = _ticks(span, width)
  axes.set_xticks(ticks, [_clock(x, span[1]) for x in ticks])
  axes.tick_params(labelsize=8)
  y -= 0.4
  label('blue: probability, 0 to 1', color='#08519c')
  if heard:
    figure.text(
      _LEFT + (1.9 / width), (y + 0.07) / height, fontsize=9, color='#a63603',
      s=f'orange: attention, 0 to {most:.2f}',
    )  # fmt: skip
  out = io.BytesIO()
  figure.savefig(out, format='png')
  return out.getvalue()


def _ticks(span, count):
  """At most about `count` round times."""
  steps = (
      0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
      7200, 14400, 43200,
  )  # fmt: skip
  first, last = span
  step = next((s for s in steps if (last - first) / s <= count), 86_400)
  return step * np.arange(np.ceil(first / step), last / step)


def _clock(seconds: float, longest: float) -> str:
  """'4.8 s', '1:05', '2:00:30'."""
  if longest < 100:
    return f'{seconds:g} s'
  minutes, seconds = divmod(round(seconds), 60)
  if longest < 3600:
    return f'{minutes}:{seconds:02d}'
  return f'{minutes // 60}:{minutes % 60:02d}:{seconds:02d}'


def page(name: str, tags: Tags, pictures: list[bytes], sound: str) -> str:
  """A page that opens from disk, with nothing from elsewhere.

  Args:
    name: its title.
    tags: of the sound.
    pictures: for wide and for narrow windows, as PNG.
    sound: the file; a small one is put into the page, to be played.
  """
  wide, narrow = (_data('image/png', picture) for picture in pictures)
  rows = ''.join(
    f'<tr><td>{html.escape(label)}</td><td>{p:.3f}</td></tr>'
    for label, p in tags.tags[:CLASSES]
  )
  kind = _TYPES.get(Path(sound).suffix.lower())
  player = '<p>The sound is too large, or of another kind, to be in here.</p>'
  if kind and os.path.getsize(sound) <= _PLAYER_BYTES:
    source = _data(kind, Path(sound).read_bytes())
    player = f'<audio controls src="{source}"></audio>'
  first, last = tags.times[0], tags.times[-1] + tags.seconds
  return _PAGE.format(
    name=html.escape(name), rows=rows, player=player, wide=wide, narrow=narrow,
    first=first, last=last, left=_LEFT, share=_RIGHT - _LEFT,
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
  display: none }}
</style>
<h1>{name}</h1>
{player}
<table>{rows}</table>
<figure>
<picture>
<source media="(max-width: 700px)" srcset="{narrow}">
<img src="{wide}" alt="Log-mel, probabilities and attention over time">
</picture>
<div id="now"></div>
</figure>
<script>
const audio = document.querySelector('audio');
const now = document.getElementById('now');
function follow() {{
  const share = (audio.currentTime - {first}) / ({last} - {first});
  now.style.display = share >= 0 && share <= 1 ? 'block' : 'none';
  now.style.left = 100 * ({left} + {share} * share) + '%';
  if (!audio.paused) requestAnimationFrame(follow);
}}
if (audio) for (const event of ['play', 'seeked', 'timeupdate'])
  audio.addEventListener(event, follow);
</script>
</html>
"""
