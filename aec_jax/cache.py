"""Stages whose outputs several experiments share."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from aec_jax.errors import UserError


def digest(value) -> str:
  """A short hexadecimal hash of a JSON-able value."""
  text = json.dumps(value, sort_keys=True, default=str)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def stage(
  cache_dir: str | Path,
  name: str,
  depends: dict,
  build: Callable[[Path], None],
) -> Path:
  """The folder of a stage's output, built if it is not there.

  The folder is named by a hash of `depends`, which it also holds as
  `depends.json`. It appears whole or not at all: it is built under another
  name and renamed.

  Args:
    cache_dir: where the stages of all experiments lie.
    name: of the stage.
    depends: everything that the output is a function of, JSON-able.
    build: fills the empty folder that it is given.
  """
  cache_dir = Path(cache_dir)
  folder = cache_dir / f'{name}-{digest(depends)}'
  if folder.exists():
    return folder
  cache_dir.mkdir(parents=True, exist_ok=True)
  unfinished = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=cache_dir))
  try:
    build(unfinished)
    write_json(unfinished / 'depends.json', depends)
    try:
      os.rename(unfinished, folder)
    except OSError:
      # Where another process was faster, its equal folder stays.
      if not folder.exists():
        raise
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
  return folder


@contextlib.contextmanager
def only_user(workdir: str | Path) -> Iterator[None]:
  """Holds a work folder, which two runs would spoil for each other.

  The hold ends with the process, however that ends.

  Raises:
    UserError: another process holds it, or the folder cannot be written.
  """
  path = Path(workdir) / '.lock'
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115
  except OSError as error:
    raise UserError(f'cannot write to {workdir}: {error.strerror}') from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      file.seek(0)
      raise UserError(
        f'{workdir} is in use by {file.read().strip()}: wait for it, or use'
        ' another --workdir'
      ) from error
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}')
    file.flush()
    yield


def write_json(path: str | Path, value) -> None:
  """Writes a JSON file that appears whole or not at all."""
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_name(f'.{path.name}.{os.getpid()}')
  text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
  unfinished.write_text(text + '\n', encoding='utf-8')
  os.replace(unfinished, path)
