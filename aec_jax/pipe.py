"""Sound that comes on standard input, tagged piece by piece.

Each piece is as long as the bundle's longest, and is taken for a sound by
itself, as a file of that length would be.
"""

import sys
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from aec_jax.answers import Answer, Found
from aec_jax.audio import blocks, ffmpeg, riff, stream
from aec_jax.bundle import embedded
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError

_PCM, _FLOAT = 1, 3
_KINDS = {(_PCM, 16): '<i2', (_PCM, 32): '<i4', (_FLOAT, 32): '<f4'}


class _Form(NamedTuple):
  """How samples come.

  Attributes:
    kind: of each, as NumPy calls it.
    channels: of a frame.
    rate: Hz.
    size: bytes of them all; None where they go on to the end.
  """

  kind: str
  channels: int
  rate: int
  size: int | None = None

  @property
  def frame(self) -> int:
    """Bytes of a sample of all channels."""
    return np.dtype(self.kind).itemsize * self.channels


def tagged(
  tagger: Tagger, answer: Answer, rate: int | None, notes: list[str]
) -> Iterator[tuple[str, Found]]:
  """What is found in each piece, as soon as it has come.

  Args:
    tagger: of a bundle.
    answer: that is asked.
    rate: Hz, of raw samples, 16 bits little-endian in one channel; None where
      a wav's head says it.
    notes: gets at the end what is odd about all that came.

  Yields:
    '-:0.00-5.76', the seconds from and to, and what is found.

  Raises:
    UserError: the bundle hears nothing, nothing comes, no wav of 16 or 32 bits
      does, or one of too low a rate.
  """
  embedded.check_hears(tagger, '-')
  spec = tagger.spec
  length = max((e.length for e in tagger.ensembles), default=1)
  for start, samples, hz in pieces(
    sys.stdin.buffer, rate, length * spec.seconds,
    (spec.example_samples - spec.example_hop) / spec.sample_rate, notes,
  ):  # fmt: skip
    end = start + len(samples) / hz
    try:
      (found,) = answer.tag([stream.Recording.of_array(samples, hz)])
    except UserError as error:
      found = Found([], error=error)
    yield f'-:{start:.2f}-{end:.2f}', found


def pieces(
  file: BinaryIO,
  rate: int | None,
  seconds: float,
  overlap: float,
  notes: list[str],
) -> Iterator[tuple[float, np.ndarray, int]]:
  """Cuts what comes into pieces.

  Args:
    file: that is read to its end.
    rate: as of `tagged`.
    seconds: from one piece to the next.
    overlap: seconds that a piece is longer.
    notes: gets what of the end is not heard.

  Yields:
    Seconds from the beginning; samples (sample, channel) float32; Hz. The last
    piece is what is left, unless that is less than a quarter of one.

  Raises:
    UserError: as of `tagged`.
  """
  form = _head(file) if rate is None else _Form('<i2', 1, rate)
  size = form.frame
  step = round(seconds * form.rate) * size
  whole = step + round(overlap * form.rate) * size
  kept, at = b'', 0  # at: bytes before what is kept
  full = True
  while full:
    kept += _next(file, form, at + len(kept), whole - len(kept))
    full = len(kept) == whole
    if at and len(kept) < step // 4:
      # What pieces overlap by was heard in the one before.
      rest = (len(kept) - (whole - step)) / size / form.rate
      if rest > 0:
        notes.append(f'the last {rest:.2f} s, too short for a piece, not heard')
      break
    kept = kept[: len(kept) // size * size]
    if not kept:
      raise UserError('-: no samples came')
    samples = np.frombuffer(kept, form.kind).reshape(-1, form.channels)
    yield at / size / form.rate, blocks.floats(samples), form.rate
    kept, at = kept[step:], at + step
  _pass_over(file, notes)


def _next(file, form, heard, count) -> bytes:
  """The next bytes, of samples alone."""
  if form.size is not None:
    count = min(count, form.size - heard)
  return file.read(count)


def _pass_over(file, notes) -> None:
  """Reads what follows the samples, so that its writer does not fail."""
  head = some = file.read(4)
  while some:
    some = file.read(1 << 20)
  if head == b'RIFF':
    notes.append('another wav follows and is not heard')


def _head(file) -> _Form:
  """Reads a wav as far as its first sample."""
  found = riff.until_samples(file)
  if found is None:
    raise UserError(
      '-: no wav came; of raw samples of 16 bits in one channel give'
      ' --rate=HZ, of others make a wav: ffmpeg -i … -f wav -'
    )
  form = found.form
  kind = _KINDS.get((form.tag, form.bits))
  if kind is None or not form.channels:
    raise UserError(
      '-: the wav is not of 16 or 32 bits: ffmpeg -i … -c:a pcm_s16le -f wav -'
    )
  if form.rate < ffmpeg.MIN_RATE:
    raise UserError(f'-: the wav has {form.rate} samples a second')
  return _Form(kind, form.channels, form.rate, found.told)
