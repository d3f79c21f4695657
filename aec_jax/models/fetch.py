"""Downloads the released VGGish and converts it.

  python -m aec_jax.models.fetch vggish [--out=DIR]

A download that was cut off goes on where it stopped, and files that are there
are not fetched again. DIR/fetched.json keeps the size and SHA-256 of each file
as it was when first fetched; a file that has changed since is refused.
"""

import base64
import contextlib
import functools
import hashlib
import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aec_jax.errors import UserError
from aec_jax.models import convert, embedding_postprocess
from aec_jax.run import console, files, lock, progress

URL = 'https://storage.googleapis.com/audioset'
CHECKPOINT = 'vggish_model.ckpt'
PCA = 'vggish_pca_params.npz'
CONVERTED = 'vggish.npz'
RECORD = 'fetched.json'

_BLOCK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte
# What urllib raises where a server cannot be reached or stops in mid-answer.
_NO_ANSWER = (OSError, http.client.HTTPException)


class Remote(NamedTuple):
  """What a server says of a file.

  Attributes:
    url: of the file.
    size: bytes.
    version: differs between versions of it (the ETag), '' where not said.
    md5: of the content, hexadecimal, '' where not said.
  """

  url: str
  size: int
  version: str
  md5: str


def vggish(out: Path, url: str = URL) -> Path:
  """Fetches the released checkpoint and PCA, and converts the checkpoint.

  Args:
    out: folder for `CHECKPOINT`, `PCA`, `CONVERTED` and `RECORD`.
    url: of the folder that the first two lie in.

  Returns:
    The path of the converted weights.

  Raises:
    UserError: the network or the disk refuses, the server's answer is not the
      file, or a file is not the one that was fetched first.
  """
  try:
    out.mkdir(parents=True, exist_ok=True)
    for name, read in (
      (PCA, embedding_postprocess.load_pca),
      (CHECKPOINT, convert.read),
    ):
      fetch(f'{url.rstrip("/")}/{name}', out / name, read)
    return _convert(out)
  except OSError as error:
    raise UserError(
      f'{out}: cannot be written: {error.strerror}; run the command again to go'
      ' on'
    ) from error


def _convert(out):
  converted = out / CONVERTED
  if not _holds(converted):
    print(f'converting {out / CHECKPOINT}')
    convert.save(str(converted), convert.read(str(out / CHECKPOINT)))
    _record(converted, _state(converted))
  return converted


def fetch(url: str, path: Path, read: Callable[[str], object]) -> None:
  """Downloads a file, unless it is there as it was when first fetched.

  Without a record beside it, a file that is there is taken for a download that
  was made by other means, and is checked as one.

  Args:
    url: of the file.
    path: where it is to be; its record is beside it.
    read: raises UserError of a file that is not what it should be, such as the
      page of a network that wants a login; it is then not trusted.

  Raises:
    UserError: as `vggish` does.
    OSError: the disk refuses.
  """
  if _holds(path):
    print(f'{path}: there already')
    return
  remote = _ask(url)
  bring = _check_own if path.exists() else _download
  _record(path, bring(path, remote, read))


def _ask(url) -> Remote:
  with _answer(url, 'HEAD') as response:
    headers = response.headers
  size = headers.get('Content-Length', '')
  if not size.isdecimal() or not int(size):
    raise UserError(f'{url}: the server does not say how large it is')
  # Google's storage gives 'crc32c=…,md5=…', in one header or in two.
  hashes = ','.join(headers.get_all('x-goog-hash', [])).split(',')
  md5 = next((h.strip()[4:] for h in hashes if h.strip()[:4] == 'md5='), '')
  return Remote(
    url, int(size), headers.get('ETag', ''), base64.b64decode(md5).hex()
  )


@contextlib.contextmanager
def _answer(url, method, start=0) -> Iterator[http.client.HTTPResponse]:
  """A response, from byte `start` on; raises UserError where none comes."""
  headers = {'Range': f'bytes={start}-'} if start else {}
  try:
    request = urllib.request.Request(url, headers=headers, method=method)
    response = urllib.request.urlopen(request, timeout=_TIMEOUT)
  except urllib.error.HTTPError as error:
    raise UserError(
      f'{url}: the server answers {error.code} {error.reason}'
    ) from error
  except (*_NO_ANSWER, ValueError) as error:  # ValueError: no URL
    reason = getattr(error, 'reason', None) or error
    raise UserError(
      f'{url} cannot be reached ({reason}); where there is no network, put the'
      ' files into the folder yourself and convert them with python -m'
      ' aec_jax.models.convert'
    ) from error
  with response:
    yield response


def _download(path, remote, read) -> dict:
  """Brings `path`, by way of a file beside it that outlives a failure.

  Returns:
    What to record of it.
  """
  try:
    with lock.held(path.with_name(f'.{path.name}.lock')):
      state = _download_alone(path, remote, read)
  except lock.Busy as error:
    raise UserError(f'{path}: {error} is fetching it') from error
  print(f'{path}: {_show(remote.size)} from {remote.url}')
  return state


def _download_alone(path, remote, read) -> dict:
  version = hashlib.sha256(f'{remote.version} {remote.size}'.encode())
  part = path.with_name(f'.{path.name}.{version.hexdigest()[:8]}.part')
  for other in path.parent.glob(f'.{path.name}.*.part'):
    if other != part:  # the beginning of another version
      other.unlink()
  files.check_file(part, needed=False)
  with open(part, 'ab') as file:
    _room_for(remote.size - file.tell(), path)
    bar = progress.Meter(path.name, remote.size)
    bar.advance(file.tell())
    while file.tell() < remote.size:
      _go_on(remote, file, bar)
    bar.clear()
    file.flush()
    os.fsync(file.fileno())
    state = _check_download(part, remote, read, path)
    os.replace(part, path)
  return state


def _room_for(count, path):
  free = shutil.disk_usage(path.parent).free
  if count > free:
    raise UserError(
      f'{path.parent}: {path.name} needs {_show(count)} more, {_show(free)} are'
      ' free; make room or name another folder by --out'
    )


def _go_on(remote, file, bar):
  """Appends what one connection brings; raises UserError if that is nothing."""
  start = at = file.tell()
  with _answer(remote.url, 'GET', start) as response:
    if start and response.status != http.client.PARTIAL_CONTENT:
      file.seek(0)  # the server does not do parts
      file.truncate()
      bar.done = at = 0
    reason = 'the connection ended'
    while True:
      try:
        block = response.read1(_BLOCK)
      except _NO_ANSWER as error:
        reason, block = str(error), b''
      if not block:
        break
      file.write(block)
      at += len(block)
      bar.advance(len(block))
  if at <= start:
    raise UserError(
      f'{remote.url}: {reason} after {at:,} of {remote.size:,} bytes; run the'
      ' command again to go on'
    )


def _check_download(part, remote, read, path) -> dict:
  """What to record of a download; drops it and raises UserError if wrong."""
  state = _state(part)
  if fault := _fault(part, state, remote, read):
    part.unlink()
    raise UserError(f'{path}: the download is wrong: {fault}; try again')
  if _records(path.parent).get(path.name, state) != state:
    raise UserError(
      f'{remote.url} is no longer the file that {path.parent / RECORD} recorded'
      ' when it was first fetched; delete that record to trust the new one'
    )
  return state


def _check_own(path, remote, read) -> dict:
  """What to record of a file that the user has put there."""
  state = _state(path)
  if fault := _fault(path, state, remote, read):
    raise UserError(f'{path}: {fault}; delete it and try again')
  return state


def _fault(path, state, remote, read) -> str:
  """What is wrong with a file, '' if it is the server's and can be read."""
  if state['size'] != remote.size:
    return f'{state["size"]:,} bytes, and {remote.url} has {remote.size:,}'
  md5 = _digest(path, 'md5') if remote.md5 else ''
  if md5 != remote.md5:
    return f'its MD5 is {md5}, and that of {remote.url} {remote.md5}'
  try:
    read(str(path))
  except UserError as error:
    return str(error).removeprefix(f'{path}: ')
  return ''


def _holds(path) -> bool:
  """Whether a file is there as recorded; raises UserError if it has changed."""
  known = _records(path.parent).get(path.name)
  if not known or not path.exists():
    return False
  if known != _state(path):
    raise UserError(
      f'{path} has changed since {path.parent / RECORD} was written; delete it'
      ' and try again'
    )
  return True


def _record(path, state):
  records = _records(path.parent) | {path.name: state}
  files.write_json(path.parent / RECORD, records)


def _records(folder) -> dict[str, dict]:
  record = folder / RECORD
  if not record.exists():
    return {}
  return files.read_json(record, remedy='delete it and try again')


def _state(path):
  files.check_file(path)
  return {'size': path.stat().st_size, 'sha256': _digest(path, 'sha256')}


def _digest(path, kind) -> str:
  with open(path, 'rb') as file:
    new = functools.partial(hashlib.new, kind, usedforsecurity=False)
    return hashlib.file_digest(file, new).hexdigest()


def _show(count):
  return f'{count / 1e6:,.1f} MB'


def default_folder() -> Path:
  """Where fetched weights lie if nothing else is said."""
  cache = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return Path(cache).expanduser() / 'aec_jax' / 'vggish'


def main(argv: Sequence[str] | None = None) -> int:
  """The command; `argv` defaults to the process's."""
  parser = console.Parser(__doc__)
  parser.add_argument('what', choices=['vggish'], help='The model to fetch.')
  parser.add_argument(
    '--out',
    metavar='DIR',
    type=Path,
    default=default_folder(),
    help='The folder to keep it in (default: %(default)s).',
  )
  parser.add_argument(
    '--url', default=URL, help='Where it lies (default: %(default)s).'
  )
  options = parser.parse_args(argv)
  weights = vggish(options.out.expanduser(), options.url).absolute()
  print(
    f'check it:   python -m aec_jax.models.check --weights={weights}'
    f' --pca={weights.with_name(PCA)}\n'
    f'fine-tune:  --config.extractor.init={weights}'
  )
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
