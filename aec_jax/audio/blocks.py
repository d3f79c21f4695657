"""Runs of samples of changing form and length, as blocks of one."""

from collections.abc import Iterable, Iterator

import numpy as np

# Samples (sample, channel) of any kind of numbers, and Hz.
Run = tuple[np.ndarray, int]

_FULL_SCALE = {
  np.dtype(np.uint8): 1 << 7,
  np.dtype(np.int16): 1 << 15,
  np.dtype(np.int32): 1 << 31,
  np.dtype(np.int64): 1 << 63,
}


def even(runs: Iterable[Run], said: list[str]) -> Iterator[Run]:
  """Runs as floats of the first one's rate and number of channels.

  Args:
    runs: of any.
    said: gets a line for each change on the way.
  """
  import soxr

  first = now = None
  stream = None
  for samples, rate in runs:
    samples, kind = floats(samples), (samples.shape[1], rate)
    first = first or kind
    if kind != now:
      if now:
        said.append(_change(now, kind, first))
      now = kind
      if stream:
        yield _end(stream, first), first[1]
      stream = rate != first[1] and soxr.ResampleStream(
        rate, first[1], first[0], 'float32', 'HQ'
      )
    if kind[0] != first[0]:
      samples = np.repeat(to_mono(samples)[:, None], first[0], 1)
    if stream:
      samples = stream.resample_chunk(np.ascontiguousarray(samples))
    yield samples.reshape(-1, first[0]), first[1]
  if stream and first:
    yield _end(stream, first), first[1]


def _end(stream, first) -> np.ndarray:
  """What a resampler still holds."""
  last = stream.resample_chunk(np.zeros((0, first[0]), np.float32), last=True)
  return last.reshape(-1, first[0])


def _change(before, after, first) -> str:
  a, b = (
    f'{rate} Hz, {count} channel{"s" * (count > 1)}'
    for count, rate in (before, after)
  )
  return f'changes from {a} to {b}; all is heard at {first[1]} Hz'


def cut(runs: Iterable[Run], size: int) -> Iterator[Run]:
  """Runs of any length as blocks of `size` samples; -1 for all in one."""
  parts, count, rate = [], 0, 0
  for samples, rate in runs:
    parts.append(samples)
    count += len(samples)
    while 0 < size <= count:
      whole = np.concatenate(parts)
      yield whole[:size], rate
      parts, count = [whole[size:]], count - size
  if count:
    yield np.concatenate(parts), rate


def floats(samples: np.ndarray) -> np.ndarray:
  """Samples as float32, full-scale integers in [-1, 1)."""
  scale = _FULL_SCALE.get(samples.dtype)
  if scale is None:
    return samples.astype(np.float32, copy=False)
  found = samples.astype(np.float32)
  if samples.dtype == np.uint8:
    found -= np.float32(scale)
  found *= np.float32(1 / scale)
  return found


def to_mono(samples: np.ndarray) -> np.ndarray:
  """(sample, channel) -> (sample,), float32, the mean of the channels."""
  count = samples.shape[1]
  if count == 1:
    return samples[:, 0]
  # Column by column: NumPy takes eight times as long over such short rows.
  total = samples[:, 0] + samples[:, 1]
  for i in range(2, count):
    total += samples[:, i]
  return total / np.float32(count)
