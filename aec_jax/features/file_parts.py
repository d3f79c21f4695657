"""Files of which clips are parts: listened to once, and read in order.

A part is what lies between two times of a file. Most formats can be read from
the beginning alone, so that of many parts each would read all before it again;
here the reading goes on from where the last part has left it.
"""

import threading
from collections.abc import Iterator

from aec_jax.audio import levels, stream
from aec_jax.audio.blocks import Run

# Files that are open at most, and blocks of each that are kept for parts that
# come a little late, as of several threads they do.
_OPEN, _KEPT = 16, 8


class Wholes:
  """The files by path; several threads may ask."""

  def __init__(self) -> None:
    self._files: dict[str, _File] = {}
    self._recent: list[str] = []
    self._lock = threading.Lock()

  def part(
    self, path: str, start: float, end: float
  ) -> tuple[stream.Recording, tuple[str, ...]]:
    """What lies between two times, seconds, NaN for the file's own.

    Returns:
      It as it is heard in the whole, and what is odd about the whole.

    Raises:
      UserError: the file is unreadable.
    """
    with self._lock:
      file = self._files.setdefault(path, _File(path))
      self._recent = [path, *(p for p in self._recent if p != path)]
      late, self._recent = self._recent[_OPEN:], self._recent[:_OPEN]
      for other in late:
        self._files[other].close()
    return file.part(start, end)


class _File:
  """One of them, and how far it is read."""

  def __init__(self, path: str) -> None:
    self._path = path
    self._heard: tuple[levels.Level, tuple[str, ...]] | None = None
    self._blocks: Iterator[Run] | None = None
    self._kept: list[tuple[int, Run]] = []  # and the sample that each begins at
    self._lock = threading.Lock()

  def part(self, start: float, end: float):
    """See `Wholes.part`."""
    recording = stream.Recording.of_file(self._path)
    with self._lock:
      if self._heard is None:
        level, _ = levels.listen(self._path, recording.blocks, parts=False)
        self._heard = level, (*recording.notes, *level.notes)
      level, notes = self._heard
      if not end - start <= stream.SHORT:
        return recording.part(level, start, end).held(), notes
      try:
        runs = self._read(level, start, end)
      except BaseException:
        self._blocks, self._kept = None, []  # it is not at its end
        raise
    return stream.Recording(self._path, lambda: iter(runs)), notes

  def close(self) -> None:
    """Lets go of what is open and kept; it can be read again."""
    with self._lock:
      self._blocks, self._kept = None, []

  def _read(self, level, start, end) -> list[Run]:
    """The blocks of a short part, as `stream.Recording.part` has them."""
    if not self._kept or self._sample(start) < self._kept[0][0]:
      self._blocks = stream.Recording.of_file(self._path).blocks().__iter__()
      self._kept = [(0, next(self._blocks))]  # it was listened to: not empty
    self._read_up_to(self._sample(start), self._sample(end))
    runs = (run for _, run in self._kept)
    return list(stream.between(runs, level, start, end, self._kept[0][0]))

  def _sample(self, seconds: float) -> int:
    _, (_, rate) = self._kept[0]
    return round(seconds * rate)

  def _read_up_to(self, first: int, last: int) -> None:
    """Keeps what lies between two samples, and a little before."""
    place, (samples, _) = self._kept[-1]
    stop = place + len(samples)
    while stop < last and (run := next(self._blocks or iter(()), None)):
      self._kept.append((stop, run))
      stop += len(run[0])
      place, (samples, _) = self._kept[0]
      if len(self._kept) > _KEPT and place + len(samples) <= first:
        del self._kept[0]
