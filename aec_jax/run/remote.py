"""Files here, or of any file system that etils opens, such as gs://."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from aec_jax.errors import PassingError, UserError, may_pass
from aec_jax.run import files


def is_remote(path: str | os.PathLike) -> bool:
  """Whether a path is an address."""
  return '://' in os.fspath(path)


def read_bytes(path: str) -> bytes:
  """All of a file.

  Raises:
    UserError: it can't be read.
    PassingError: the system can't read it now.
  """
  try:
    if is_remote(path):
      return epath.Path(path).read_bytes()
    files.check_file(path)
    with open(path, 'rb') as file:
      return file.read()
  except OSError as error:
    if may_pass(error):
      raise PassingError.of(path, error.strerror) from error
    raise UserError(f'{path}: {error.strerror or error}') from error


@contextlib.contextmanager
def whole(path: epath.Path) -> Iterator[epath.Path]:
  """As `files.whole`, of a file that may be of a bucket."""
  if not is_remote(path):
    with files.whole(Path(path)) as unfinished:
      yield epath.Path(unfinished)
    return
  unfinished = path.parent / f'.{path.name}.{uuid.uuid4().hex}'
  try:
    yield unfinished
    unfinished.replace(path)
  finally:
    unfinished.unlink(missing_ok=True)


def write_text(path: epath.Path, text: str) -> None:
  """Writes a small file, whole or not at all."""
  if is_remote(path):
    path.write_text(text)  # objects of a bucket appear whole
    return
  with whole(path) as unfinished:
    unfinished.write_text(text, encoding='utf-8')


def settle(path: epath.Path, text: str) -> bool:
  """Writes a small file, or says whether it holds this already.

  What is cut off is written anew.

  Raises:
    UserError: it can't be read or written.
  """
  try:
    found = read_bytes(os.fspath(path)).decode() if path.exists() else ''
    if found != text and text.startswith(found):  # none is there, or cut off
      path.parent.mkdir(parents=True, exist_ok=True)
      write_text(path, text)
      return True
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise UserError(f'{path}: {reason}') from error
  return found == text
