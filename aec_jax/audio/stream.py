"""Recordings of any length, read block by block, in little memory.

Trimming and normalising need facts of the whole recording, so that it is read
twice: `survey` finds them, `examples` cuts. The examples are, to the bit, what
`waveform.prepare` and `waveform.split_examples` make of the whole; so are those
of a part of it, and of one whose pitch is shifted.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator

import numpy as np

from aec_jax.audio import (
  FRONT_END,
  FrontEnd,
  arrays,
  decode,
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
      UserError: another shape, kind or scale of numbers, or too low a rate.
    """
    notes: list[str] = []
    floats, rate = arrays.floats_of(samples, notes), arrays.rate_of(rate)
    blocks = [(floats, rate)] if len(floats) else []
    return cls('waveform', lambda: blocks, notes)


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
