"""Clips' sounds to log-mel examples, in little memory whatever their length.

Short clips are read in threads and come together as blocks of equal size, for
which the front end is compiled once. Of a longer one its thread makes log-mels
as it reads, and leaves them in a file until it is the clip's turn.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from aec_jax.audio import FrontEnd, levels, stream
from aec_jax.audio.log_mel import log_mel
from aec_jax.datasets.clips import Clips
from aec_jax.errors import PassingError, UserError
from aec_jax.features.file_parts import Wholes
from aec_jax.run import files, threads

# Examples of one call of log_mel.
_BLOCK = 64
# Examples that are copied at a time, 50 MB.
_COPIED = 4096
# As `waveform.prepare` trims.
_TRIM_DB = 60.0


@dataclasses.dataclass
class Sound:
  """What came of a clip.

  Attributes:
    count: of its examples; None where it is unreadable.
    words: why it is, or what is odd about it, each without the path.
    samples: (example, sample) of a short clip.
    log_mels: a file of (example, frame, band) float16, of a long one.
  """

  count: int | None
  words: list[str]
  samples: np.ndarray | None = None
  log_mels: Path | None = None


def append(
  rows: files.GrowingNpy,
  clips: Clips,
  jobs: Sequence[tuple[int, int]],
  spec: FrontEnd,
  scratch: Path,
) -> Iterator[Sound]:
  """Appends the examples of clips, one after the other.

  Args:
    rows: gets (example, frame, band) float16.
    clips: the list.
    jobs: which clip, and by how many semitones to shift it.
    spec: of the front end.
    scratch: a folder for what is on its way.

  Yields:
    What came of each job, in their order.

  Raises:
    PassingError: a file cannot be read now.
  """
  reader, blocks = _Reader(clips, spec, scratch), _Blocks(spec)
  found = threads.map_in_order(reader.read, jobs, os.cpu_count() or 1)
  for sound in found:
    if sound.log_mels:
      _append_all(rows, blocks.rest())
      _append_all(rows, _copied(sound.log_mels, spec))
      sound.log_mels.unlink()
    elif sound.samples is not None:
      _append_all(rows, blocks.of(sound.samples))
      sound.samples = None
    yield sound
  _append_all(rows, blocks.rest())


def first_seconds(
  clips: Clips, clip: int, spec: FrontEnd, seconds: float
) -> np.ndarray:
  """The beginning of a clip as the front end takes it.

  Returns:
    (sample,) float32 at the front end's rate, at most `seconds` of it.

  Raises:
    UserError: the clip is unreadable.
  """
  recording, found = surveyed(clips, clip, Wholes())
  wanted, parts, count = round(seconds * spec.sample_rate), [], 0
  for block in stream.samples_of(recording, found, spec):
    parts.append(block)
    count += len(block)
    if count >= wanted:
      break
  return np.concatenate(parts)[:wanted]


def _append_all(rows, parts: Iterable[np.ndarray]) -> None:
  for part in parts:
    rows.append(part)


def _copied(path, spec) -> Iterator[np.ndarray]:
  """(example, frame, band) of a file, not mapped: that would take memory."""
  shape = spec.frames, spec.bands
  with open(path, 'rb') as file:
    while True:
      part = np.fromfile(file, np.float16, _COPIED * shape[0] * shape[1])
      if not part.size:
        return
      yield part.reshape(-1, *shape)


class _Blocks:
  """Examples of any number to log-mels, in blocks of one size.

  Args:
    spec: of the front end.
  """

  def __init__(self, spec: FrontEnd) -> None:
    self._spec, self._parts, self._count = spec, list[np.ndarray](), 0

  def of(self, samples: np.ndarray) -> Iterator[np.ndarray]:
    """Takes (example, sample); the log-mels of each block that is full."""
    self._parts.append(samples)
    self._count += len(samples)
    if self._count >= _BLOCK:
      whole = np.concatenate(self._parts)
      stop = len(whole) // _BLOCK * _BLOCK
      self._parts, self._count = [whole[stop:].copy()], len(whole) - stop
      for first in range(0, stop, _BLOCK):
        yield self._log_mel(whole[first : first + _BLOCK])

  def rest(self) -> Iterator[np.ndarray]:
    """The log-mels of what has filled no block, filled up for it."""
    if self._count:
      count, whole = self._count, np.concatenate(self._parts)
      self._parts, self._count = [], 0
      whole = np.pad(whole, ((0, _BLOCK - count), (0, 0)), 'edge')
      yield self._log_mel(whole)[:count]

  def _log_mel(self, samples) -> np.ndarray:
    return np.asarray(log_mel(samples, self._spec)).astype(np.float16)


class _Reader:
  """Reads clips; its `read` is called from several threads.

  Args:
    clips: the list.
    spec: of the front end.
    scratch: where the log-mels of long clips go.
  """

  def __init__(self, clips: Clips, spec: FrontEnd, scratch: Path) -> None:
    self._clips, self._spec, self._scratch = clips, spec, scratch
    self._numbers = itertools.count()
    self._wholes = Wholes()

  def read(self, job: tuple[int, int]) -> Sound:
    """What a job's clip comes to."""
    clip, semitones = job
    try:
      recording, found = surveyed(self._clips, clip, self._wholes)
      blocks = stream.examples(recording, found, self._spec, semitones)
      if found.stop - found.start > stream.SHORT * found.rate:
        return self._left_in_a_file(blocks, [*found.notes])
      samples = np.concatenate(list(blocks))
    except PassingError:
      raise
    except UserError as error:
      path = self._clips.paths[clip]
      return Sound(None, [str(error).removeprefix(f'{path}: ')])
    return Sound(len(samples), [*found.notes], samples)

  def _left_in_a_file(self, blocks, notes) -> Sound:
    path = self._scratch / f'{next(self._numbers)}.part'
    log_mels = _Blocks(self._spec)
    count = 0
    with open(path, 'wb') as file:
      for samples in blocks:
        count += len(samples)
        for part in log_mels.of(samples):
          file.write(part.data)
      for part in log_mels.rest():
        file.write(part.data)
    return Sound(count, notes, log_mels=path)


def surveyed(
  clips: Clips, clip: int, wholes: Wholes
) -> tuple[stream.Recording, stream.Survey]:
  """What is to be heard of a clip, and what it takes to cut it.

  Args:
    clips: the list.
    clip: which one.
    wholes: gets what it lacks.

  Raises:
    UserError: it is unreadable, or a part without samples.
  """
  path, start, end = clips.paths[clip], clips.start[clip], clips.end[clip]
  if np.isnan(start) and np.isnan(end):
    recording = stream.Recording.of_file(path).held()
    return recording, stream.survey(recording, _TRIM_DB, True)
  part, notes = wholes.part(path, start, end)
  found = stream.survey(part, _TRIM_DB, True, levels.Level())
  if not found.samples:
    raise UserError(f'{path}: has no samples from {start} to {end} s')
  return part, dataclasses.replace(found, notes=notes)
