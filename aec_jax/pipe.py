"""Sound that comes on standard input, tagged piece by piece.

Each piece is as long as the bundle's longest, and is taken for a sound by
itself, as a file of that length would be.
"""

import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from aec_jax.answers import Answer, Found
from aec_jax.audio import stream
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS = {(_PCM, 16): '<i2', (_PCM, 32): '<i4', (_FLOAT, 32): '<f4'}


class _Form(NamedTuple):
  """How samples come."""

  kind: str
  channels: int
  rate: int

  @property
  def size(self) -> int:
    return np.dtype(self.kind).itemsize * self.channels


def tagged(
  tagger: Tagger, answer: Answer, rate: int | None
) -> Iterator[tuple[str, Found]]:
  """What is found in each piece, as soon as it has come.

  Args:
    tagger: of a bundle that hears.
    answer: that is asked.
    rate: Hz, of raw samples, 16 bits little-endian in one channel; None where
      a wav's head says it.

  Yields:
    '-:0.00-5.76', the seconds from and to, and what is found.

  Raises:
    UserError: nothing comes, or no wav of 16 or 32 bits.
  """
  spec = tagger.spec
  length = max((e.length for e in tagger.ensembles), default=1)
  for start, samples, hz in pieces(
    sys.stdin.buffer, rate, length * spec.seconds,
    (spec.example_samples - spec.example_hop) / spec.sample_rate,
  ):  # fmt: skip
    end = start + len(samples) / hz
    name = f'-:{start:.2f}-{end:.2f}'
    try:
      (found,) = answer.tag([stream.Recording.of_array(samples, hz)])
    except UserError as error:
      found = Found([], error=error)
    yield name, found


def pieces(
  file: BinaryIO, rate: int | None, seconds: float, overlap: float
) -> Iterator[tuple[float, np.ndarray, int]]:
  """Cuts what comes into pieces.

  Args:
    file: that is read to its end.
    rate: as of `tagged`.
    seconds: from one piece to the next.
    overlap: seconds that a piece is longer.

  Yields:
    Seconds from the beginning; samples (sample, channel); Hz. The last piece
    is what is left, unless that is less than a quarter of one.

  Raises:
    UserError: as of `tagged`.
  """
  form = _Form('<i2', 1, rate) if rate else _head(file)
  step = round(seconds * form.rate) * form.size
  whole = step + round(overlap * form.rate) * form.size
  kept, at = b'', 0
  while True:
    kept += file.read(whole - len(kept))
    full = len(kept) == whole
    if not full and ((at and len(kept) < step // 4) or len(kept) < form.size):
      break
    kept = kept[: len(kept) // form.size * form.size]
    samples = np.frombuffer(kept, form.kind).reshape(-1, form.channels)
    yield at / form.size / form.rate, samples, form.rate
    if not full:
      return
    kept, at = kept[step:], at + step
  if not at:
    raise UserError('-: no samples came')


def _head(file) -> _Form:
  """Reads a wav as far as its first sample."""
  riff = file.read(12)
  if riff[:4] not in (b'RIFF', b'RF64') or riff[8:] != b'WAVE':
    raise UserError(
      '-: no wav came; of raw samples of 16 bits in one channel give'
      ' --rate=HZ, of others make a wav: ffmpeg -i … -f wav -'
    )
  form = None
  while len(head := file.read(8)) == 8:
    name, size = struct.unpack('<4sI', head)
    if name == b'data':
      break
    body = file.read(size + size % 2)
    if name == b'fmt ' and len(body) >= 16:
      code, channels, rate, _, _, bits = struct.unpack('<HHIIHH', body[:16])
      if code == _EXTENSIBLE and len(body) >= 26:
        (code,) = struct.unpack('<H', body[24:26])
      if (code, bits) in _KINDS and channels and rate:
        form = _Form(_KINDS[code, bits], channels, rate)
  if form is None:
    raise UserError(
      '-: the wav is not of 16 or 32 bits: ffmpeg -i … -c:a pcm_s16le -f wav -'
    )
  return form
