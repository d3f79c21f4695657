"""The one exception for what a user can mend."""

import errno
import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

# Why a system refuses to write.
_REFUSALS = tuple(
  os.strerror(number)
  for number in (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES,
    errno.EPERM,
  )
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


def check_choice(field: str, value: str, choices: Iterable[str]) -> None:
  """Raises `UserError` for a value that is none of the choices."""
  if value not in choices:
    raise UserError(
      f'{field} is {value!r}; it must be one of {", ".join(sorted(choices))}'
    )


def refusal(error: Exception) -> str | None:
  """Why the system refused to write, None where an error is another.

  Orbax and TensorFlow put it in words only.
  """
  return next((text for text in _REFUSALS if text in str(error)), None)
