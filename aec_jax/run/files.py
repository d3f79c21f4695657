"""Files and folders that appear whole or not at all, and outlast power cuts."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aec_jax.errors import PassingError, UserError, may_pass

ABSENT, _DANGLING = 'no such file', 'a dangling link'
# What is no file, by the type in its mode.
_KINDS = {
  stat.S_IFDIR: 'a folder', stat.S_IFIFO: 'a pipe', stat.S_IFSOCK: 'a socket',
  stat.S_IFCHR: 'a device', stat.S_IFBLK: 'a device',
}  # fmt: skip


def why_no_file(path: str | os.PathLike) -> str:
  """Why a path can't be read as a file, in words; '' where it can.

  Raises:
    PassingError: the system can't tell now.
  """
  try:
    mode = os.stat(path).st_mode
  except (FileNotFoundError, NotADirectoryError):
    return _DANGLING if os.path.islink(path) else ABSENT
  except OSError as error:
    if may_pass(error):
      raise PassingError.of(path, error.strerror) from error
    return (error.strerror or str(error)).lower()
  except ValueError:  # a null byte in the name
    return ABSENT
  if not stat.S_ISREG(mode):
    return f'{_KINDS.get(stat.S_IFMT(mode), "something else")}, not a file'
  return '' if os.access(path, os.R_OK) else 'permission denied'


def why_no_folder(path: str | os.PathLike) -> str:
  """Why a path can't be read as a folder, in words; '' where it can.

  Raises:
    PassingError: the system can't tell now.
  """
  if os.path.isdir(path):
    return '' if os.access(path, os.R_OK | os.X_OK) else 'permission denied'
  trouble, known, _ = why_no_file(path).partition(', not a file')
  if trouble == ABSENT:
    return 'no such folder'
  if trouble and not known and trouble != _DANGLING:  # the system refuses
    return trouble
  return f'{trouble or "a file"}, not a folder'


def check_file(
  path: str | os.PathLike, needed: bool = True, remedy: str = ''
) -> None:
  """Lets pass what can be read as a file, before it is opened.

  To open a pipe would wait for who writes to it.

  Args:
    path: of the file.
    needed: whether it must be there; else there may be nothing.
    remedy: what to do where it can't be read.

  Raises:
    UserError: it can't be read; named by what it is.
    PassingError: the system can't tell now.
  """
  trouble = why_no_file(path)
  if trouble and (needed or trouble != ABSENT):
    then = f': {remedy}' if remedy else ''
    raise UserError(f'{os.fspath(path)}: {trouble}{then}')


def check_folder_can_be(option: str, path: str | os.PathLike) -> None:
  """Raises `UserError` where no folder is nor can be made; it makes none.

  Args:
    option: that names it.
    path: of the folder.
  """
  path = os.fspath(path)
  if not path or '\0' in path:
    raise UserError(f'{option} is {path!r}, no name of a folder')
  there = Path(path).absolute()
  while not os.path.lexists(there):
    there = there.parent
  if not there.is_dir():
    raise UserError(f'{option}={path}: {there}: {why_no_folder(there)}')


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
  """Another path to write to, so that a file appears whole or not at all.

  Of several processes that write one file at once, the last one's is there.

  Raises:
    OSError: a folder is there, or the system refuses to write.
  """
  path = Path(path)
  if path.is_dir():  # which would be found out when all is written
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = own_name(path)
  remove_left(path)
  try:
    yield unfinished
    _settle(unfinished)
    os.replace(unfinished, path)
    _settle(path.parent)
  finally:
    unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
  """An empty folder to fill, so that a folder appears whole or not at all.

  Args:
    path: of the folder to be.
    replace: whether it takes the place of an older one.

  Raises:
    OSError: something else is there, or the system refuses to write.
  """
  path = Path(path).absolute()
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = own_name(path)
  old = path.with_name(f'.{path.name}.old')
  remove_left(path)
  for rest in (unfinished, old):
    shutil.rmtree(rest, ignore_errors=True)
  try:
    unfinished.mkdir()
    yield unfinished
    settle_folder(unfinished)
    if replace and path.exists():
      os.rename(path, old)
    os.rename(unfinished, path)
    _settle(path.parent)
  finally:
    for rest in (unfinished, old):
      shutil.rmtree(rest, ignore_errors=True)


def own_name(path: Path) -> Path:
  """Beside a path: where this process alone fills what will be there."""
  return path.with_name(f'.{socket.gethostname()}-{os.getpid()}.{path.name}')


def remove_left(path: Path) -> None:
  """Removes what killed processes of this host have left under `own_name`.

  One that bore this process's number is dead too.
  """
  host = glob.escape(f'.{socket.gethostname()}-')
  for left in path.parent.glob(f'{host}*.{glob.escape(path.name)}'):
    process = left.name.removeprefix(f'.{socket.gethostname()}-').partition('.')
    if process[0].isdigit() and not another_runs(int(process[0])):
      if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
      else:
        left.unlink(missing_ok=True)


def another_runs(process: int) -> bool:
  """Whether a process of this host has that number, and is not this one."""
  if process == os.getpid():
    return False
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except PermissionError:  # somebody else's
    pass
  return True


def settle_folder(folder: Path) -> None:
  """Has the disk hold all of a folder before it is given its name."""
  for path in folder.rglob('*'):
    if not path.is_symlink():  # what it leads to is not the folder's
      _settle(path)
  _settle(folder)


def _settle(path):
  number = os.open(path, os.O_RDONLY)
  try:
    os.fsync(number)
  finally:
    os.close(number)


def write_json(path: str | Path, value: Any) -> None:
  """Writes a JSON file that appears whole or not at all."""
  text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
  with whole(Path(path)) as unfinished:
    unfinished.write_text(text + '\n', encoding='utf-8')


def read_json(path: str | Path, *needed: str, remedy: str = '') -> dict:
  """Reads an object that `write_json` has written.

  Args:
    path: of the file.
    needed: keys that it must have.
    remedy: what to do where it is damaged.

  Raises:
    UserError: it is not there, no file, or not whole.
    PassingError: the system can't tell now.
  """
  check_file(path)
  try:
    value = json.loads(Path(path).read_text(encoding='utf-8'))
    if not isinstance(value, dict):
      raise TypeError('no object')
    for key in needed:
      value[key]
  except OSError as error:
    raise UserError(f'{path}: {error.strerror}') from error
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise UserError(
      f'{path} is damaged: it is no JSON object with'
      f' {", ".join(needed) or "anything"}{remedy and f"; {remedy}"}'
    ) from error
  return value


class GrowingNpy:
  """An .npy file that grows by rows, so that the whole need not fit in memory.

  A context manager.

  Args:
    path: of the file.
    digest_size: of the hash, bytes.

  Attributes:
    hash: of the bytes so far.
  """

  def __init__(self, path: str | Path, digest_size: int = 64) -> None:
    self._path, self._count = path, 0
    self._like: np.ndarray | None = None
    self.hash = hashlib.blake2b(digest_size=digest_size)

  def __enter__(self) -> 'GrowingNpy':
    self._file = open(self._path, 'wb')
    return self

  def append(self, rows: np.ndarray) -> None:
    """Adds rows, all of one shape and dtype."""
    rows = np.ascontiguousarray(rows)
    if self._like is None:
      self._like = rows[:0]
      self._write_header(self._like)
    self._count += len(rows)
    self.hash.update(rows.reshape(-1).view(np.uint8).data)
    self._file.write(rows.data)

  @property
  def entry(self) -> tuple[str, tuple[int, ...], str]:
    """The rows' dtype, shape and hash, once there are some."""
    assert self._like is not None
    shape = (self._count, *self._like.shape[1:])
    return self._like.dtype.str, shape, self.hash.hexdigest()

  def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
    with self._file:
      if error is None and self._like is not None:
        self._write_header(
          self._like
        )  # as long as the first one: numpy pads it

  def _write_header(self, like):
    self._file.seek(0)
    header = {
      'descr': np.lib.format.dtype_to_descr(like.dtype),
      'fortran_order': False,
      'shape': (self._count, *like.shape[1:]),
    }
    np.lib.format.write_array_header_1_0(self._file, header)
