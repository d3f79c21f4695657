"""Which of a recording's channels are heard, and of what scale they are.

Decided once for the whole of it, from passes over its blocks. All sums are of
parts of 512 samples, so that the decision does not depend on the blocks: read
as a whole, a recording is heard as it is when streamed.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from aec_jax.audio.blocks import Run, to_mono
from aec_jax.errors import UserError

HOP = 512  # samples that energies and peaks are of

# What a float recording, and one that was never divided by 2^15, have at most.
# Codecs overshoot full scale by less than 12 dB; samples beyond that are int16
# numbers, damage, or somebody's gain.
_HOT, _FLOAT_PEAK, _INT16_SCALE = 4.0, 16.0, 32_768.0
# Of the samples that are not 0, those not over the level of the bulk.
_BULK = 0.95
# Of the channels' mean power, what their mean has at least: -10 dB. That of six
# channels of which one sounds has -7.8 dB.
_CANCELLED = 0.1

# Starts to read: (sample, channel) float32, never empty, and Hz. All blocks
# but the last have multiples of 512 samples.
Blocks = Callable[[], Iterable[Run]]


@dataclasses.dataclass(frozen=True)
class Level:
  """How samples become what is heard.

  Attributes:
    channel: the only one that is heard; None for the mean of all.
    limit: the largest magnitude, at which others are clipped.
    scale: to multiply by after that.
    notes: what is odd about it.
  """

  channel: int | None = None
  limit: float = np.inf
  scale: float = 1.0
  notes: tuple[str, ...] = ()

  def heard(self, samples: np.ndarray) -> np.ndarray:
    """(sample, channel) -> (sample,), float32."""
    if self.channel is None:
      mono = to_mono(samples)
    else:
      mono = np.ascontiguousarray(samples[:, self.channel])
    if self.limit < np.inf:
      mono = np.clip(mono, -self.limit, self.limit)
    return mono if self.scale == 1 else mono * np.float32(self.scale)


@dataclasses.dataclass(frozen=True, eq=False)
class Facts:
  """What one pass finds, at some level.

  Attributes:
    rate: Hz.
    count: samples.
    energy: (part + 1,) float32, as `energy_of` the whole gives it; perhaps
      empty where there is one channel.
    peaks: (part,) float32, largest magnitudes of the parts, of which the last
      may be short; or of the blocks.
    powers: (channel,) energies of the channels before they are mixed; empty
      where there is one.
    constant: what all samples are; None where they differ.
  """

  rate: int
  count: int
  energy: np.ndarray
  peaks: np.ndarray
  powers: np.ndarray
  constant: float | None = None

  @property
  def peak(self) -> float:
    """The largest magnitude of all, NaN where there is a NaN."""
    return float(self.peaks.max(initial=0))


def listen(
  name: str, blocks: Blocks, parts: bool = True
) -> tuple[Level, Facts]:
  """How a recording is to be heard, and what it then is.

  Reads it once, and again where it is odd. Samples of plainly int16 scale are
  divided by 32,768: the bulk of them lies over a float's full scale, or all are
  whole numbers, and some are over 16. Where the bulk is a float's, what is 12
  dB over full scale is clipped. Where channels cancel, all in all, the loudest
  is heard.

  Args:
    name: for messages.
    blocks: starts to read.
    parts: whether the facts of each part are wanted.

  Raises:
    UserError: it has no samples, NaN or infinite ones, or an unknown scale.
  """
  level = Level()
  facts = facts_at(blocks, level, parts)
  if not facts.count:
    raise UserError(f'{name}: holds no samples')
  if not np.isfinite(facts.peak) or not np.isfinite(facts.powers).all():
    raise UserError(f'{name}: holds NaN or infinite samples')
  if facts.powers.size:
    mean = facts.energy.sum(dtype=np.float64)
    if mean < _CANCELLED * facts.powers.mean():
      # The first of those that differ by rounding only.
      loudest = int((facts.powers > 0.99 * facts.powers.max()).argmax())
      # Unrelated ones have a mean of so much, and nothing is cancelled there.
      count = facts.powers.size
      apart = mean > 0.5 * facts.powers.mean() / count
      what = 'make a faint mean' if apart else 'cancel each other'
      note = f'{count} channels {what}: channel {loudest + 1} alone is heard'
      level = Level(channel=loudest, notes=(note,))
      facts = facts_at(blocks, level, parts)
  if facts.peak > _HOT:
    found = _scaled(name, blocks, level, facts.peak)
    if found != level:
      level, facts = found, facts_at(blocks, found, parts)
  if facts.constant is not None:
    note = 'silent'
    if facts.constant:
      note += f': all samples are {facts.constant:.3g}'
    level = dataclasses.replace(level, notes=(*level.notes, note))
  return level, facts


def energy_of(waveform: np.ndarray) -> np.ndarray:
  """The energies of its parts of 512 samples, and of what is left over.

  Returns:
    (part + 1,) float32; of the last, 0 where nothing is left over.
  """
  whole = len(waveform) // HOP * HOP
  parts = waveform[:whole].reshape(-1, HOP)
  energy = np.einsum('bs,bs->b', parts, parts)
  with np.errstate(over='ignore'):  # infinite ones are refused
    last = np.dot(waveform[whole:], waveform[whole:])
  return np.append(energy, last)


def facts_at(blocks: Blocks, level: Level, parts: bool = True) -> Facts:
  """What one pass finds at a level; arguments as `listen` takes them."""
  energies, peaks, powers, last = [], [], [], None
  rest, count, rate, constant = np.float32(0), 0, 0, np.float32(np.nan)
  for samples, rate in blocks():  # noqa: B007
    mono = level.heard(samples)
    peaks.append(_peaks(mono, HOP if parts else len(mono)))
    constant = constant if count else mono[0]
    # Most are told by their peaks, and not gone through again.
    if (peaks[-1] != abs(constant)).any() or (mono != constant).any():
      constant = np.float32(np.nan)
    count += len(mono)
    mixed = samples.shape[1] > 1 and level.channel is None
    if parts or mixed:
      *energy, rest = energy_of(mono)
      energies.append(np.array(energy, np.float32))
    if mixed:
      of_channels = [energy_of(np.ascontiguousarray(c)) for c in samples.T]
      *power, last = np.transpose(of_channels)
      powers += power
  if last is not None:
    powers.append(last)
  return Facts(
    rate,
    count,
    np.concatenate([*energies, np.array([rest], np.float32)]),
    np.concatenate([*peaks, np.zeros(0, np.float32)]),
    np.asarray(np.sum(powers, 0, np.float64)) if powers else np.zeros(0),
    None if np.isnan(constant) else float(constant),
  )


def _peaks(mono, size) -> np.ndarray:
  """The largest magnitude of each part of `size` samples."""
  whole = len(mono) // size * size
  rows = mono[:whole].reshape(-1, size)
  found = np.maximum(rows.max(1), -rows.min(1))
  if whole == len(mono):
    return found
  return np.append(found, np.abs(mono[whole:]).max())


def _scaled(name, blocks, level, peak) -> Level:
  """The level for samples that go far beyond a float's full scale."""
  # By the upper 16 bits of a float: sign, exponent, 7 bits of the fraction.
  counts, whole = np.zeros(1 << 15, np.int64), True
  beyond = {1.0: 0, _INT16_SCALE: 0}
  for samples, _ in blocks():
    size = np.abs(level.heard(samples))
    counts += np.bincount(size.view(np.uint32) >> 16, minlength=len(counts))
    whole = whole and bool((size == np.rint(size)).all())
    for limit in beyond:
      beyond[limit] += int((size > limit).sum())
  counts[0] = 0
  below = np.cumsum(counts)
  place = int(np.searchsorted(below, int(_BULK * below[-1]), 'right'))
  bulk = float(np.uint32(min(place, len(counts) - 1) << 16).view(np.float32))
  if bulk <= 1 and not whole:
    note = _clipped(beyond[1.0], peak)
    return dataclasses.replace(level, limit=1.0, notes=(*level.notes, note))
  if peak <= _FLOAT_PEAK:
    return level
  if bulk > _INT16_SCALE:
    raise UserError(
      f'{name}: samples reach {peak:.3g}, which is neither the scale of floats'
      ' (1) nor of int16 (32768)'
    )
  notes = [*level.notes, 'floats of int16 scale, divided by 32768']
  limit = np.inf
  if beyond[_INT16_SCALE]:
    limit = _INT16_SCALE
    notes.append(_clipped(beyond[limit], peak))
  return Level(level.channel, limit, 1 / _INT16_SCALE, tuple(notes))


def _clipped(count, peak) -> str:
  samples = 'sample' if count == 1 else 'samples'
  return f'{count:,} {samples} of up to {peak:.3g} clipped to full scale'
