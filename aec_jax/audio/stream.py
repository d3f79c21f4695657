"""Recordings of any length, read block by block, in little memory.

Trimming and normalising need facts of the whole recording, so that it is read
twice: `survey` finds them, `examples` cuts. The examples are, to the bit, what
`waveform.prepare` and `waveform.split_examples` make of the whole.
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr

from aec_jax.audio import FRONT_END, FrontEnd, waveform
from aec_jax.errors import UserError

# Samples of a block: a multiple of the 512 that trimming counts in, and 12 s at
# 44.1 kHz, so that reading it costs more than going round the loop.
_BLOCK = 1 << 19


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
  """Something to be read, as often as is asked.

  Attributes:
    name: for messages.
    blocks: starts to read: (sample,) float32, never empty, and the rate, Hz.
      All blocks but the last have multiples of 512 samples.
  """

  name: str
  blocks: Callable[[], Iterable[tuple[np.ndarray, int]]]

  @classmethod
  def of_file(cls, path: str | os.PathLike) -> 'Recording':
    """Any file that libsndfile reads; `UserError`s come with the reading."""
    name = os.fspath(path)
    return cls(name, lambda: waveform.blocks(name, _BLOCK))

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
    if samples.ndim not in (1, 2) or samples.dtype.kind not in 'fiu':
      raise UserError(
        'a waveform is (sample,) or (sample, channel) of floats or integers,'
        f' not {samples.shape} of {samples.dtype}'
      )
    if not rate >= waveform.MIN_RATE:
      raise UserError(
        f'the sample rate is {rate}; it must be at least {waveform.MIN_RATE} Hz'
      )
    if samples.dtype.kind in 'iu':
      limits = np.iinfo(samples.dtype)
      half = (int(limits.max) - int(limits.min) + 1) / 2
      samples = (samples - (limits.max + limits.min + 1) / 2) / half
    samples = samples.astype(np.float32, copy=False)
    if samples.ndim == 2:
      samples = waveform.to_mono(samples)
    blocks = [(samples, rate)] if len(samples) else []
    return cls('waveform', lambda: blocks)


@dataclasses.dataclass(frozen=True)
class Survey:
  """What is to be known of a recording before it is cut.

  Attributes:
    rate: Hz.
    start, stop: the samples to keep.
    gains: to multiply them by, one after the other.
    samples: of the recording, untrimmed.
  """

  rate: int
  start: int
  stop: int
  gains: tuple[float, ...]
  samples: int


def survey(
  recording: Recording, trim_db: float | None, peak_normalise: bool
) -> Survey:
  """Reads a recording through once.

  Args:
    recording: to be read.
    trim_db: as `waveform.trim_silence` takes it; None trims nothing.
    peak_normalise: whether the largest magnitude becomes 1.

  Raises:
    UserError: it cannot be read, is empty, or has samples that are NaN,
      infinite or of unknown scale.
  """
  hop = waveform.TRIM_HOP
  energies, peaks, rest, count, rate = [], [], 0.0, 0, 0
  for block, rate in recording.blocks():  # noqa: B007
    *energy, rest = waveform.block_energy(block)
    energies.append(np.array(energy, np.float32))
    starts = np.arange(0, len(block), hop)
    peaks.append(np.maximum.reduceat(np.abs(block), starts))
    count += len(block)
  peaks = np.concatenate([*peaks, np.zeros(0, np.float32)])
  peak = float(peaks.max(initial=0))
  scale = waveform.scale_of(recording.name, count, peak)
  start, stop = 0, count
  if trim_db is not None:
    energy = np.concatenate([*energies, np.array([rest], np.float32)])
    energy = energy * np.float32(scale) ** 2
    start, stop = waveform.loud_span(energy, trim_db)
    peak = float(peaks[start // hop : -(-stop // hop)].max(initial=0))
  gains = (scale,) if scale != 1 else ()
  peak *= scale
  if peak_normalise and peak >= np.finfo(np.float32).tiny:
    gains = (*gains, 1 / peak)
  return Survey(rate, start, min(stop, count), gains, count)


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
  """The blocks of what is kept, with the gains on them."""
  position = 0
  for block, _ in recording.blocks():
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
