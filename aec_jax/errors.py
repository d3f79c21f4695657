"""The one exception for what a user can mend."""

import contextlib
import errno
import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeGuard

# Why a system refuses to write, and why to read or to write.
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_OF_EITHER = (
  errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST,
)  # fmt: skip
_REFUSALS = {os.strerror(number): 'write' for number in _OF_WRITING} | {
  os.strerror(number): 'open' for number in _OF_EITHER
}

# Why a system can't read a file now that it may read another time: a network
# disk that is away, a fault of the device, too many open files.
_PASSING = frozenset(
  getattr(errno, name)
  for name in (
    'EIO', 'ESTALE', 'ENOLCK', 'ETIMEDOUT', 'ETIME', 'EAGAIN', 'EBUSY', 'EINTR',
    'EDEADLK', 'ENETDOWN', 'ENETUNREACH', 'ENETRESET', 'EHOSTDOWN',
    'EHOSTUNREACH', 'ECONNABORTED', 'ECONNREFUSED', 'ECONNRESET', 'ENOTCONN',
    'ESHUTDOWN', 'EPROTO', 'ECOMM', 'EREMOTEIO', 'ENODEV', 'ENXIO',
    'ENOMEDIUM', 'EKEYEXPIRED', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS',
  )
  if hasattr(errno, name)  # not every system has all
)  # fmt: skip

# What NumPy and zipfile raise of files that are not as they were written.
UNREADABLE = (
  EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
  ValueError, lzma.LZMAError, tokenize.TokenError, zipfile.BadZipFile,
  zlib.error,
)  # fmt: skip


class UserError(Exception):
  """Bad input: one line that says what is wrong, where, and what to do.

  The commands print it on stderr without a traceback and exit with status 2.
  """


class PassingError(UserError):
  """A file that the system can't read now; of its bytes that says nothing.

  Who leaves bad files out lets it through, so that nothing is kept of the
  failed stage and it is tried again at the next start.
  """

  @classmethod
  def of(cls, path: str | os.PathLike, reason: str | None) -> 'PassingError':
    """That a file cannot be read now, for a reason in the system's words."""
    return cls(
      f'{os.fspath(path)}: cannot be read now ({reason}): run the same command'
      ' again once it can'
    )


def may_pass(error: BaseException) -> TypeGuard[OSError]:
  """Whether an error is the system's and may be gone the next time."""
  return isinstance(error, OSError) and (
    error.errno in _PASSING or isinstance(error, TimeoutError)
  )


def check_choice(field: str, value: str, choices: Iterable[str]) -> None:
  """Raises `UserError` for a value that is none of the choices."""
  if value not in choices:
    raise UserError(
      f'{field} is {value!r}; it must be one of {", ".join(sorted(choices))}'
    )


@contextlib.contextmanager
def naming(*folders: str | os.PathLike, advice: str) -> Iterator[None]:
  """Makes a `UserError` of what the system refuses, which names a place.

  Args:
    folders: where it may have been, if the error doesn't say.
    advice: what to do once it is mended.
  """
  try:
    yield
  except UserError:
    raise
  except Exception as error:  # TensorFlow's are no OSErrors
    where = getattr(error, 'filename', None)
    if may_pass(error):
      raise PassingError.of(where or folders[0], error.strerror) from error
    refused = refusal(error)
    if not refused:
      raise
    did, reason = refused
    # A full disk is the folders', whatever file met it.
    if did == 'write' or not where:
      where = ' or '.join(str(folder) for folder in folders)
    raise UserError(f'cannot {did} {where}: {reason}; {advice}') from error


def refusal(error: Exception) -> tuple[str, str] | None:
  """What the system refused to do, 'write' or 'open', and why.

  None where an error is another. Orbax and TensorFlow put it in words only.
  """
  found = ((did, text) for text, did in _REFUSALS.items() if text in str(error))
  return next(found, None)
