"""A page to try a bundle: drop or record a sound, see what is said of it.

  python -m aec_jax.demo --bundle=DIR/bundle [--index=INDEX] [--port=7860]

Tags, what is there by the bundle's thresholds, events on the spectrogram, and
of an index that `aec_jax.embed` wrote the pieces most like it. It is for this
machine alone (127.0.0.1) unless --host names another address. Uploads are at
most 200 MB and an hour, taken one at a time, and deleted after ten minutes, the
oldest sooner where they are over 500 MB in all, and at the end; a next start
deletes what one that was killed has left. Needs gradio: pip install '.[demo]'.
"""

import contextlib
import html
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aec_jax.errors import UserError
from aec_jax.run import console, files, text

MAX_SECONDS, MAX_BYTES, WAITING = 3600, 200_000_000, 16
_KEPT_SECONDS, _KEPT_BYTES = 600, 500_000_000
_LAST_PORT = 65535
_LOOK = 2.0  # seconds between two looks at how much is kept
_PREFIX = f'aec_jax-demo-{socket.gethostname()}-'


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.BundleParser(__doc__)
  parser.add_argument('--index', help='To search, of aec_jax.embed.')
  parser.add_argument('--host', default='127.0.0.1', help='[127.0.0.1]')
  parser.add_argument('--port', type=int, default=7860, help='[7860]')
  arguments = parser.parse_args(argv)
  if not 0 <= arguments.port <= _LAST_PORT:
    raise UserError(
      f'--port is {arguments.port}; it must be from 0 to {_LAST_PORT}, 0 for'
      ' one that is free'
    )
  _import_gradio()
  from aec_jax import hearing, index
  from aec_jax.bundle import embedded, store

  tagger = store.from_arguments(arguments)
  embedded.check_hears(tagger, '--bundle')
  opened = index.open_index(arguments.index) if arguments.index else None
  if opened:
    opened.check(tagger)
  hear = hearing.Hearing(tagger, opened, MAX_SECONDS).hear
  # So that what was uploaded goes, however the command is stopped.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
  with serving(tagger, hear, arguments.host, arguments.port) as page:
    print(f'open {page.local_url} (stop with Ctrl-C)', flush=True)
    page.block_thread()
  return 0


def _import_gradio():
  os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
  try:
    import gradio
  except ImportError as error:
    raise UserError(
      "the page needs gradio, which isn't installed: pip install '.[demo]'"
    ) from error
  return gradio


class serving:
  """Serves the page until the context ends, and deletes what was uploaded.

  Args:
    tagger: of a bundle.
    hear: gives of a sound's path what `hearing.Hearing.hear` does.
    host, port: where; port 0 takes a free one.

  Raises:
    UserError: the port is taken.
  """

  def __init__(self, tagger, hear: Callable, host: str, port: int):
    self.tagger, self.hear = tagger, hear
    self.host, self.port = host, port

  def __enter__(self):
    gradio = _import_gradio()
    clear_left(Path(tempfile.gettempdir()))
    self._folder = tempfile.TemporaryDirectory(
      prefix=f'{_PREFIX}{os.getpid()}-'
    )
    os.environ['GRADIO_TEMP_DIR'] = self._folder.name
    self._over = threading.Event()
    threading.Thread(target=self._keep_small, daemon=True).start()
    self._page = _page(gradio, self.tagger, self.hear)
    try:
      self._page.queue(max_size=WAITING, default_concurrency_limit=1).launch(
        server_name=self.host,
        server_port=self.port or None,
        share=False,
        max_file_size=MAX_BYTES,
        prevent_thread_lock=True,
        quiet=True,
        theme=gradio.themes.Default(font='sans-serif', font_mono='monospace'),
      )
    except OSError as error:
      self._clean_up()
      raise UserError(f'--port is {self.port}: {error}') from error
    return self._page

  def __exit__(self, *_):
    self._page.close()
    self._clean_up()

  def _clean_up(self):
    self._over.set()
    self._folder.cleanup()

  def _keep_small(self):
    while not self._over.wait(_LOOK):
      keep_below(Path(self._folder.name), _KEPT_BYTES)


def clear_left(folder: Path) -> None:
  """Deletes the uploads of pages of this host that are gone."""
  for left in folder.glob(f'{_PREFIX}*-*'):
    process = left.name.removeprefix(_PREFIX).partition('-')[0]
    if left.is_symlink() or not process.isdigit():
      continue
    if int(process) != os.getpid() and not files.another_runs(int(process)):
      shutil.rmtree(left, ignore_errors=True)


def keep_below(folder: Path, size: int) -> None:
  """Deletes a folder's oldest files until the rest has at most `size` bytes."""
  kept = []
  for path in folder.rglob('*'):
    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
      status = path.stat()
      if path.is_file():
        kept.append((status.st_mtime, path, status.st_size))
  total = sum(bytes_ for _, _, bytes_ in kept)
  for _, path, bytes_ in sorted(kept):
    if total <= size:
      break
    path.unlink(missing_ok=True)
    total -= bytes_


def _page(gradio, tagger, hear):
  from aec_jax.bundle import card

  def on_sound(path):
    if not path:
      return None, ''
    try:
      return hear(path)
    except UserError as error:
      said = text.printable(str(error))
      return None, f'<p role="alert">{html.escape(said)}</p>'

  name = text.printable(tagger.info['experiment'])
  with gradio.Blocks(
    title='aec_jax',
    analytics_enabled=False,
    delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
  ) as page:
    gradio.HTML(
      f'<h1>{html.escape(name)}</h1><p>{len(tagger.classes)} classes. Drop or'
      f' record a sound of at most {MAX_SECONDS // 60} minutes.</p>'
    )
    sound = gradio.Audio(
      type='filepath',
      sources=['upload', 'microphone'],
      buttons=['download'],  # its third one shares with the world
      label='Sound',
    )
    tags = gradio.Label(num_top_classes=5, label='Tags')
    found = gradio.HTML()
    with gradio.Accordion('What it knows, and how well', open=False):
      classes = ', '.join(map(text.markdown, tagger.classes))
      gradio.Markdown(f'## Classes\n\n{classes}\n\n{card.about(tagger.info)}')
    sound.change(on_sound, sound, [tags, found], api_name='tag')
  return page


if __name__ == '__main__':
  sys.exit(console.run_command(main))
