"""Recordings of any length, read block by block, in little memory.

Trimming and normalising need facts of the whole recording, so that it is read
twice: `survey` finds them, `examples` cuts. The examples are, to the bit, what
`waveform.prepare` and `waveform.split_examples` make of the whole.
"""

import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import soxr

from aec_jax.audio import (
  FRONT_END,
  FrontEnd,
  decode,
  ffmpeg,
  levels,
  waveform,
)
from aec_jax.errors import UserError

# Samples of a block: a multiple of the 512 that trimming counts in, and 12 s at
# 44.1 kHz, so that reading it costs more than going round the loop.
_BLOCK = 1 << 19


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
  """Something to be read, as often as is asked.

  Attributes:
    name: for messages.
    blocks: starts to read: (sample, channel) float32, never empty, and the
      rate, Hz. All blocks but the last have multiples of 512 samples.
    notes: gets what is odd, while it is read.
  """

  name: str
  blocks: levels.Blocks
  notes: list[str] = dataclasses.field(default_factory=list)

  @classmethod
  def of_file(cls, path: str | os.PathLike) -> 'Recording':
    """Any file that `decode` reads; `UserError`s come with the reading."""
    name = os.fspath(path)
    notes: list[str] = []
    return cls(name, lambda: decode.blocks(name, _BLOCK, notes), notes)

  @classmethod
  def of_array(cls, samples: np.ndarray, rate: int) -> 'Recording':
    """Samples in memory.

    Args:
      samples: (sample,) or (sample, channel), floats in [-1, 1] or integers
        of full scale.
      rate: Hz.

    Raises:
      UserError: another shape or kind of numbers, or too low a rate.
    """
    samples = np.asarray(samples)
    _check_array(samples)
    if not rate >= ffmpeg.MIN_RATE:
      raise UserError(
        f'the sample rate is {rate}; it must be at least {ffmpeg.MIN_RATE} Hz'
      )
    if samples.dtype.kind in 'iu':
      limits = np.iinfo(samples.dtype)
      half = (int(limits.max) - int(limits.min) + 1) / 2
      samples = (samples - (limits.max + limits.min + 1) / 2) / half
    with np.errstate(over='ignore'):  # what overflows is refused as infinite
      samples = samples.astype(np.float32, copy=False)
    samples = samples.reshape(len(samples), -1 if samples.size else 1)
    blocks = [(samples, rate)] if len(samples) else []
    return cls('waveform', lambda: blocks)


def _check_array(samples) -> None:
  """Raises `UserError` for what is no waveform, or one of doubtful scale."""
  shape, dtype = samples.shape, samples.dtype
  if samples.ndim not in (1, 2) or dtype.kind not in 'fiu':
    raise UserError(
      'a waveform is (sample,) or (sample, channel) of floats or integers,'
      f' not {shape} of {dtype}'
    )
  if samples.ndim == 2 and shape[1] > shape[0] > 0:
    raise UserError(
      f'a waveform is (sample, channel), and {shape} would be {shape[1]:,}'
      f' channels of {shape[0]}: give its transpose, waveform.T, or of a batch'
      ' of sounds list(batch)'
    )
  if dtype.kind in 'iu' and dtype.itemsize > 2 and samples.any():
    for small in (np.int16, np.uint16):
      limits = np.iinfo(small)
      if samples.min() >= limits.min and samples.max() <= limits.max:
        raise UserError(
          f'the waveform is {dtype}, but its numbers are of 16 bits: give'
          f' waveform.astype(numpy.{limits.dtype}), or floats in [-1, 1]'
        )


@dataclasses.dataclass(frozen=True)
class Survey:
  """What is to be known of a recording before it is cut.

  Attributes:
    rate: Hz.
    start, stop: the samples to keep.
    level: which channels are heard, and at what scale.
    gains: to multiply that by, one after the other.
    samples: of the recording, untrimmed.
    notes: what is odd about it: cut short, clipped, silent.
    silent: whether all samples are 0.
  """

  rate: int
  start: int
  stop: int
  level: levels.Level
  gains: tuple[float, ...]
  samples: int
  notes: tuple[str, ...] = ()
  silent: bool = False


def survey(
  recording: Recording, trim_db: float | None, peak_normalise: bool
) -> Survey:
  """Reads a recording through, once unless its level is odd.

  Args:
    recording: to be read.
    trim_db: as `waveform.trim_silence` takes it; None trims nothing.
    peak_normalise: whether the largest magnitude becomes 1.

  Raises:
    UserError: it cannot be read, is empty, or has samples that are NaN,
      infinite or of unknown scale.
  """
  level, facts = levels.listen(recording.name, recording.blocks)
  start, stop, peak = 0, facts.count, facts.peak
  silent = not peak
  if trim_db is not None:
    start, stop = waveform.loud_span(facts.energy, trim_db)
    kept = facts.peaks[start // levels.HOP : -(-stop // levels.HOP)]
    peak = float(kept.max(initial=0))
  normalised = peak_normalise and peak >= np.finfo(np.float32).tiny
  return Survey(
    facts.rate,
    start,
    min(stop, facts.count),
    level,
    (1 / peak,) if normalised else (),
    facts.count,
    (*recording.notes, *level.notes),
    silent,
  )


def examples(
  recording: Recording, found: Survey, spec: FrontEnd = FRONT_END
) -> Iterator[np.ndarray]:
  """Reads a recording again, as examples, of 0.96 s at 16 kHz.

  Args:
    recording: that was surveyed.
    found: of it.
    spec: of the front end.

  Yields:
    (example, 15600) float32, in all at least one.
  """
  length, hop = spec.example_samples, spec.example_hop
  rest, some = np.zeros(0, np.float32), False
  for block in _resampled(_kept(recording, found), found.rate, spec):
    rest = np.concatenate([rest, block])
    if len(rest) >= length:
      rows = waveform.split_examples(rest, spec)
      yield rows
      rest, some = rest[len(rows) * hop :], True
  if not some:
    yield waveform.split_examples(rest, spec)


def _kept(recording, found):
  """The blocks of what is kept, as they are heard, with the gains on them."""
  position = 0
  for samples, _ in recording.blocks():
    block = found.level.heard(samples)
    start, stop = found.start - position, found.stop - position
    position += len(block)
    block = block[max(0, start) : max(0, stop)]
    for gain in found.gains:
      block = block * np.float32(gain)
    if len(block):
      yield block


def _resampled(blocks, rate, spec):
  if rate == spec.sample_rate:
    yield from blocks
    return
  stream = soxr.ResampleStream(rate, spec.sample_rate, 1, 'float32', 'HQ')
  for block in blocks:
    yield stream.resample_chunk(block)
  yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
