"""Ogg files that are chained: one stream after another in one file."""

import re
from collections.abc import Iterator

from aec_jax.audio.file import File

CAPTURE = b'OggS'
# The head of a page that begins a stream: version 0, bit 1 of the flags.
_BEGINS = re.compile(rb'OggS\0[\x02\x03\x06\x07]')
# That of a stream's last page: bit 2.
_ENDS = re.compile(rb'OggS\0[\x04-\x07]')
_HEAD = 14  # bytes of a head as far as its granule position, which is the last


def links(file: File) -> Iterator['Link']:
  """The links of a chain, each to be read before the next is taken."""
  start: int | None = 0
  while start is not None:
    link = Link(file, start)
    yield link
    start = link.find_end()


class Link:
  """One link as a file object that cannot seek.

  Args:
    file: of which it is a part.
    start: where it begins.

  Attributes:
    streams: that run in it at once.
    unended: of them, those whose last page was not read yet.
    last: the granule position of the last one's end.
  """

  def __init__(self, file: File, start: int) -> None:
    self._file, self._place = file, start
    self._body, self.streams = _first_body(file, start)
    self._ended = False
    self.unended, self.last = self.streams, 0

  def read(self, size: int) -> bytes:
    """Up to `size` bytes, none at the end of the link."""
    if self._ended:
      return b''
    # Some more, for a head that lies across the end of what is asked for.
    data = self._file.read_at(size + _HEAD - 1, self._place)
    next_one = _BEGINS.search(data, max(0, self._body - self._place))
    if next_one and next_one.start() < size:
      self._ended, size = True, next_one.start()
    for end in _ENDS.finditer(data):
      if end.start() < size:
        self.unended -= 1
        place = data[end.end() : end.start() + _HEAD]
        self.last = int.from_bytes(place, 'little', signed=True)
    data = data[:size]
    self._place += len(data)
    return data

  def find_end(self) -> int | None:
    """Where the next link begins, None where there is none."""
    while self.read(1 << 20):
      pass
    return self._place if self._ended else None


def _first_body(file, place) -> tuple[int, int]:
  """Where the first page is that begins no stream, and how many do before.

  Several streams may run at once.
  """
  count = 0
  while True:
    head = file.read_at(27, place)
    if len(head) < 27 or not _BEGINS.match(head):
      return place, count
    count += 1
    place += 27 + head[26] + sum(file.read_at(head[26], place + 27))
