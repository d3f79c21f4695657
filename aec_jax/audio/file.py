"""A file whose system errors are told from its bytes' faults."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any


class File(io.FileIO):
  """A file that keeps what the system refused to read of it.

  FFmpeg takes a refusal for an end, or for a damaged piece.

  Attributes:
    refused: the last error, None where all could be read.
  """

  refused: OSError | None = None

  def read(self, size: int | None = -1, /) -> bytes:
    return self._kept(super().read, size)

  def read_at(self, size: int, place: int) -> bytes:
    """Up to `size` bytes from a place on, wherever the file stands."""
    return self._kept(os.pread, self.fileno(), size, place)

  @property
  def size(self) -> int:
    """Bytes of the whole file."""
    return os.fstat(self.fileno()).st_size

  def _kept(self, read: Callable[..., Any], *where) -> bytes:
    try:
      return read(*where)
    except OSError as error:
      self.refused = error
      raise


@contextlib.contextmanager
def opened(name: str) -> Iterator[File]:
  """A file without a name, which FFmpeg might take for an address.

  A name may also have bytes that are not UTF-8, as FFmpeg's must be.

  Raises:
    OSError: the system refused to read of it, whatever was made of that.
  """
  with File(os.open(name, os.O_RDONLY)) as file:
    try:
      yield file
    except GeneratorExit:  # nobody waits for more of it
      raise
    except BaseException:
      if file.refused:
        raise file.refused from None
      raise
    if file.refused:
      raise file.refused
