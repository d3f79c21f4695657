"""Lock files, each held by one process of all that see the disk.

They are held by `flock`, and where the disk has none (NFS without its lock
service, some of Lustre) by a file `NAME.soft` that its holder has made and
touches every few seconds. Either ends with the process, however that ends.
"""

import contextlib
import errno
import fcntl
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from aec_jax.run import files

# What a disk says that has no flock.
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# Seconds: between two touches; without one, until a holder elsewhere is taken
# for dead; between two looks at a lock that is waited for.
_BEAT, _DEAD, _LOOK = 10.0, 90.0, 0.5

# What this process's own soft locks say.
_mine: set[str] = set()


class Busy(Exception):
  """Another holds the lock; says who."""


@contextlib.contextmanager
def held(path: Path, wait: Callable[[], None] | None = None) -> Iterator[None]:
  """Holds a lock, and removes its file.

  Args:
    path: of its file.
    wait: is called before another is waited for; None waits for nobody.

  Raises:
    Busy: another holds it, and `wait` is None.
    OSError: the file cannot be made.
  """
  file = _flocked(path, wait)
  if file:
    with file:
      try:
        yield
      finally:
        path.unlink(missing_ok=True)
    return
  path.unlink(missing_ok=True)  # it locks nothing
  with _soft(_soft_path(path), wait):
    yield


def holder(path: Path) -> str:
  """Who holds a lock, as 'process 12 on HOST'; '' where nobody does."""
  soft = _read(_soft_path(path))
  if soft and not _is_dead(_soft_path(path), soft):
    return _name(soft)
  if not os.path.isfile(path):  # a pipe would be waited for
    return ''
  try:
    with open(path, encoding='utf-8') as file:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except BlockingIOError:
    return _name(_read(path)) or 'another process'
  except OSError:  # none is there, or the disk has no flock
    pass
  return ''


def _flocked(path, wait) -> IO[str] | None:
  """The file, locked by flock; None where the disk has none."""
  while True:
    file = open(path, 'a+', encoding='utf-8')  # noqa: SIM115
    try:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError as error:
        if wait is None:
          raise Busy(_name(_read(path)) or 'another process') from error
        wait()
        fcntl.flock(file, fcntl.LOCK_EX)
      # Whoever held it may have removed it, and another made a new one.
      if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
        file.truncate(0)
        file.write(_me())
        file.flush()
        return file
    except FileNotFoundError:
      pass
    except OSError as error:
      file.close()
      if error.errno in _NO_FLOCK:
        return None
      raise
    except BaseException:
      file.close()
      raise
    file.close()


def _me() -> str:
  return f'process {os.getpid()} on {socket.gethostname()}'


def _name(text: str | None) -> str:
  return (text or '').partition('\n')[0].strip()


def _soft_path(path: Path) -> Path:
  return path.with_name(f'{path.name}.soft')


@contextlib.contextmanager
def _soft(path, wait) -> Iterator[None]:
  """As `held`, by a file that only one can make."""
  text = f'{_me()}\n{os.getpid()} {_machine()}\n{uuid.uuid4().hex}\n'
  _mine.add(text)  # before it is seen, by this process's threads as well
  try:
    _make(path, text, wait)
  except BaseException:
    _mine.discard(text)
    raise
  over = threading.Event()
  beat = threading.Thread(target=_touch, args=(path, text, over), daemon=True)
  beat.start()
  try:
    yield
  finally:
    over.set()
    beat.join()
    path.unlink(missing_ok=True)
    _mine.discard(text)  # not before, or a thread might take it for left behind


def _make(path, text, wait) -> None:
  """Makes the file, once nobody else's is there."""
  waiting = False
  while not _made(path, text):
    other = _read(path)
    if other is None:
      continue
    if _is_dead(path, other):
      _remove_dead(path, other)
    elif wait is None:
      raise Busy(_name(other) or 'another process')
    else:
      if not waiting:
        wait()
      waiting = True
      time.sleep(_LOOK)


def _made(path, text) -> bool:
  try:
    number = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
  except FileExistsError:
    return False
  with open(number, 'w', encoding='utf-8') as file:
    file.write(text)
  return True


def _read(path) -> str | None:
  try:
    return path.read_text(encoding='utf-8', errors='replace')
  except FileNotFoundError:
    return None


def _touch(path, text, over) -> None:
  """Shows that the holder lives; ends it where another has the lock."""
  while not over.wait(_BEAT):
    try:
      if _read(path) == text:
        os.utime(path)
        continue
    except OSError:
      continue  # the disk is away for a while
    if not over.is_set():
      # It slept for so long that it was taken for dead: two would write now.
      print(f'error: {path} was taken over: ended', file=sys.stderr, flush=True)
      os._exit(2)


def _is_dead(path, text) -> bool:
  """Whether the holder of a soft lock is gone."""
  process, _, machine = (
    text.partition('\n')[2].partition('\n')[0].partition(' ')
  )
  if machine == _machine() and process.isdigit():
    if int(process) == os.getpid():
      return text not in _mine
    return not files.another_runs(int(process))
  # By the disk's clock, for hosts have others.
  probe = files.own_name(path)
  try:
    probe.touch()
    return probe.stat().st_mtime - path.stat().st_mtime > _DEAD
  except FileNotFoundError:
    return False
  finally:
    probe.unlink(missing_ok=True)


def _remove_dead(path, text) -> None:
  """Removes a dead holder's file, unless another does or has done so.

  One at a time looks and removes, or a new holder's file might go: who has made
  the file `NAME.soft.dead`.
  """
  mark = path.with_name(f'{path.name}.dead')
  if not _made(mark, text):
    with contextlib.suppress(FileNotFoundError):
      if _is_dead(mark, ''):  # so is who made it
        mark.unlink()
    return
  try:
    if _read(path) == text:
      path.unlink()
  finally:
    mark.unlink(missing_ok=True)


def _machine() -> str:
  """What a process's number means something on: a boot, and its container."""
  try:
    boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return f'{boot} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return socket.gethostname()
