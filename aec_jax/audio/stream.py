"""Recordings of any length, read block by block, in little memory.

Trimming and normalising need facts of the whole recording, so that it is read
twice: `survey` finds them, `examples` cuts. The examples are, to the bit, what
`waveform.prepare` and `waveform.split_examples` make of the whole; so are those
of a part of it, and of one whose pitch is shifted.
"""

import dataclasses
import numbers
import os
from collections.abc import Iterable, Iterator

import numpy as np

from aec_jax.audio import (
  FRONT_END,
  FrontEnd,
  decode,
  ffmpeg,
  levels,
  waveform,
)
from aec_jax.audio.blocks import Run, cut
from aec_jax.errors import UserError

# Samples of a block: a multiple of the 512 that trimming counts in, and 12 s at
# 44.1 kHz, so that reading it costs more than going round the loop.
_BLOCK = 1 << 19
# Of a recording that may be held in memory rather than read twice: seconds, and
# samples of all channels.
SHORT, _SHORT_SAMPLES = 60, 1 << 22
# That sounds are recorded with, and that wider integers may hold.
_BITS = (16, 24, 32)


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

  def held(self) -> 'Recording':
    """The same, but where it is short it is read only once."""
    kept: list[Run] = []
    whole = False

    def blocks():
      nonlocal whole
      if whole:
        yield from kept
        return
      kept.clear()
      seconds, count, short = 0.0, 0, False
      for samples, rate in self.blocks():
        seconds, count = seconds + len(samples) / rate, count + samples.size
        short = seconds <= SHORT and count <= _SHORT_SAMPLES
        if short:
          kept.append((samples, rate))
        yield samples, rate
      whole = short

    return dataclasses.replace(self, blocks=blocks)

  def part(self, level: levels.Level, start: float, end: float) -> 'Recording':
    """What lies between two times, as it is heard in the whole.

    Args:
      level: of the whole.
      start, end: seconds; NaN for the recording's own.
    """
    return dataclasses.replace(
      self, blocks=lambda: between(self.blocks(), level, start, end)
    )

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
    rate = _checked_rate(rate)
    if samples.dtype.kind in 'iu':
      limits = np.iinfo(samples.dtype)
      half = (int(limits.max) - int(limits.min) + 1) / 2
      samples = (samples - (limits.max + limits.min + 1) / 2) / half
    with np.errstate(over='ignore'):  # what overflows is refused as infinite
      samples = samples.astype(np.float32, copy=False)
    samples = samples.reshape(len(samples), -1 if samples.size else 1)
    blocks = [(samples, rate)] if len(samples) else []
    return cls('waveform', lambda: blocks)


def between(
  runs: Iterable[Run],
  level: levels.Level,
  start: float,
  end: float,
  place: int = 0,
) -> Iterator[Run]:
  """What lies between two times of something, in blocks of one channel.

  Args:
    runs: of the whole, which are read no further than they need to be.
    level: of the whole, as which the part is heard.
    start, end: seconds; NaN for the whole's own.
    place: the sample of the whole that the first run begins at.
  """

  def heard():
    at = place
    for samples, rate in runs:
      first = 0 if np.isnan(start) else round(start * rate)
      last = None if np.isnan(end) else max(0, round(end * rate) - at)
      mono = level.heard(samples)[max(0, first - at) : last]
      if len(mono):
        yield mono[:, None], rate
      at += len(samples)
      if last is not None and last <= len(samples):
        return

  return cut(heard(), _BLOCK)


def _checked_rate(rate) -> int:
  """A sample rate; `UserError` for what is none."""
  if getattr(rate, 'ndim', None) == 0:
    rate = rate.item()  # an array's, which np.load gives
  is_number = isinstance(rate, numbers.Real)
  if not is_number or not rate >= ffmpeg.MIN_RATE:
    raise UserError(
      f'the sample rate is {rate!r}; it must be a number of at least'
      f' {ffmpeg.MIN_RATE} Hz'
    )
  return rate


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
  if dtype.kind in 'iu' and samples.any():
    _check_bits(samples)


def _check_bits(samples) -> None:
  """Raises `UserError` for integers of fewer bits than their type has."""
  dtype = samples.dtype
  low, high = int(samples.min()), int(samples.max())
  for bits in _BITS:
    if bits >= 8 * dtype.itemsize:
      return
    half = 1 << bits - 1
    signed = -half <= low and high < half
    if not signed and not (low >= 0 and high < 2 * half):
      continue
    # 24 bits at the upper end of 32, as decoders give them: a quiet sound.
    if bits == 24 and not (samples & 0xFF).any():
      return
    if bits == 24:
      way = f'waveform / 2**{bits - 1}' + ('' if signed else ' - 1')
      way = f'{way}, which is floats in [-1, 1]'
    else:
      name = 'int' if signed else 'uint'
      way = f'waveform.astype(numpy.{name}{bits}), or floats in [-1, 1]'
    raise UserError(
      f'the waveform is {dtype}, but its numbers are of {bits} bits: give {way}'
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
    silent: whether all samples are the same, as 0.
  """

  rate: int
  start: int
  stop: int
  level: levels.Level
  gains: tuple[float, ...]
  samples: int
  notes: tuple[str, ...] = ()
  silent: bool = False


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known of a sound beside its samples.

  Attributes:
    duration: seconds, untrimmed.
    kept: seconds, from where to where trimming left it.
    notes: what is odd about it.
    silent: whether there is nothing to hear.
  """

  duration: float = 0.0
  kept: tuple[float, float] = (0.0, 0.0)
  notes: tuple[str, ...] = ()
  silent: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """A recording on its way into a model.

  Attributes:
    name: for messages.
    facts: of the recording.
    blocks: (example, sample) each; they can be gone through once.
  """

  name: str
  facts: Facts
  blocks: Iterable[np.ndarray]


def open_examples(
  recording: Recording,
  spec: FrontEnd,
  trim_db: float | None,
  peak_normalise: bool,
) -> Examples:
  """Surveys a recording; its examples are read as they are asked for.

  Args and errors as of `survey` and `examples`.
  """
  found = survey(recording, trim_db, peak_normalise)
  rate = found.rate
  facts = Facts(
    found.samples / rate,
    (found.start / rate, found.stop / rate),
    found.notes,
    found.silent,
  )
  return Examples(recording.name, facts, examples(recording, found, spec))


def read_examples(
  path: str, spec: FrontEnd, trim_db: float | None, peak_normalise: bool
) -> Examples | UserError | None:
  """A short file's examples in memory, or why it has none.

  For processes that read ahead, which do without JAX. Args as of
  `open_examples`.

  Returns:
    None for a file that lasts too long to be held, however small it is.
  """
  try:
    if (decode.seconds_of(path) or 0) > SHORT:
      return None
    recording = Recording.of_file(path).held()
    found = open_examples(recording, spec, trim_db, peak_normalise)
    if found.facts.duration > SHORT:  # its header did not say
      return None
    return dataclasses.replace(found, blocks=list(found.blocks))
  except UserError as error:
    return error


def survey(
  recording: Recording,
  trim_db: float | None,
  peak_normalise: bool,
  level: levels.Level | None = None,
) -> Survey:
  """Reads a recording through, once unless its level is odd.

  Args:
    recording: to be read.
    trim_db: as `waveform.trim_silence` takes it; None trims nothing.
    peak_normalise: whether the largest magnitude becomes 1.
    level: where it is known already, as of a part of something.

  Raises:
    UserError: it cannot be read, is empty, or has samples that are NaN,
      infinite or of unknown scale.
  """
  if level is None:
    level, facts = levels.listen(recording.name, recording.blocks)
  else:
    facts = levels.facts_at(recording.blocks, level)
  start, stop, peak = 0, facts.count, facts.peak
  silent = facts.constant is not None
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


def samples_of(
  recording: Recording,
  found: Survey,
  spec: FrontEnd = FRONT_END,
  semitones: float = 0,
) -> Iterator[np.ndarray]:
  """Reads a recording again, as what `waveform.prepare` makes of it.

  Args:
    recording: that was surveyed.
    found: of it.
    spec: of the front end.
    semitones: shifts the pitch, if not 0.

  Yields:
    (sample,) float32 at the front end's rate, block by block.
  """
  yield from waveform.shifted(
    _kept(recording, found), found.stop - found.start, found.rate, semitones,
    spec.sample_rate,
  )  # fmt: skip


def examples(
  recording: Recording,
  found: Survey,
  spec: FrontEnd = FRONT_END,
  semitones: float = 0,
) -> Iterator[np.ndarray]:
  """Reads a recording again, as examples, of 0.96 s at 16 kHz.

  Args:
    recording: that was surveyed.
    found: of it.
    spec: of the front end.
    semitones: shifts the pitch, if not 0.

  Yields:
    (example, 15600) float32, in all at least one.
  """
  length, hop = spec.example_samples, spec.example_hop
  rest, some = np.zeros(0, np.float32), False
  head, inner = rest, spec._replace(tail='drop')
  for block in samples_of(recording, found, spec, semitones):
    rest = np.concatenate([rest, block])
    if len(head) < length:
      head = np.concatenate([head, block])[:length]
    if len(rest) >= length:
      rows = waveform.split_examples(rest, inner)
      yield rows
      rest, some = rest[len(rows) * hop :], True
  if not some:
    yield waveform.split_examples(rest, spec)
  elif spec.tail == 'repeat' and len(rest) > length - hop:
    yield np.concatenate([rest, head])[None, :length]


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
