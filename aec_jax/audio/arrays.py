"""Sounds in memory: whether an array is one, and of what scale it is."""

import numbers
from collections.abc import Iterator

import numpy as np

from aec_jax.audio import ffmpeg
from aec_jax.errors import UserError

# That sounds are recorded with, and that wider integers may hold.
_BITS = (8, 16, 24, 32)


def floats_of(array: np.ndarray, notes: list[str]) -> np.ndarray:
  """An array's samples as floats.

  Args:
    array: (sample,) or (sample, channel), floats in [-1, 1] or integers of full
      scale.
    notes: gets a line where the scale is likely, not certain.

  Returns:
    (sample, channel) float32, full scale in [-1, 1].

  Raises:
    UserError: another shape or kind of numbers, or integers of another scale.
  """
  array = np.asarray(array)
  shape, dtype = array.shape, array.dtype
  if array.ndim not in (1, 2) or dtype.kind not in 'fiu':
    raise UserError(
      'a waveform is (sample,) or (sample, channel) of floats or integers,'
      f' not {shape} of {dtype}'
    )
  if array.ndim == 2 and shape[1] > shape[0] > 0:
    raise UserError(
      f'a waveform is (sample, channel), and {shape} would be {shape[1]:,}'
      f' channels of {shape[0]}: give its transpose, waveform.T, or of a batch'
      ' of sounds list(batch)'
    )
  if dtype.kind in 'iu':
    notes.extend(_doubts(array))
    limits = np.iinfo(dtype)
    half = (int(limits.max) - int(limits.min) + 1) / 2
    array = (array - (limits.max + limits.min + 1) / 2) / half
  with np.errstate(over='ignore'):  # what overflows is refused as infinite
    array = array.astype(np.float32, copy=False)
  return array.reshape(len(array), -1 if array.size else 1)


def _doubts(array) -> Iterator[str]:
  """Raises `UserError` for integers of fewer bits than their type has.

  Yields:
    What to say of those that may be so.
  """
  if not array.any():
    return
  dtype = array.dtype
  low, high = int(array.min()), int(array.max())
  for bits in _BITS:
    if bits >= 8 * dtype.itemsize:
      return
    half = 1 << bits - 1
    signed = -half <= low and high < half
    unsigned = low >= 0 and high < 2 * half
    if bits == 8:  # Small numbers of both signs are a quiet sound of more bits.
      signed, unsigned = False, unsigned and low < half <= high
    if not signed and not unsigned:
      continue
    of_them = f'the waveform is {dtype}, but its numbers are of {bits} bits'
    if dtype == np.int16:
      yield (
        f'{of_them} and none is negative: heard as a quiet sound; else give'
        ' waveform.astype(numpy.uint8)'
      )
      return
    # As decoders give them, at the upper end of 32.
    if dtype == np.int32 and bits == 24 and not (array & 0xFF).any():
      yield (
        f'{of_them} or less: heard as a quiet sound of 32 bits; else give'
        f' waveform / 2**{bits - 1}'
      )
      return
    raise UserError(f'{of_them}: give {_way(bits, signed)}')


def _way(bits, signed) -> str:
  """How to give integers of so many bits instead."""
  if bits == 24:
    way = f'waveform / 2**{bits - 1}' + ('' if signed else ' - 1')
    return f'{way}, which is floats in [-1, 1]'
  name = 'int' if signed else 'uint'
  return f'waveform.astype(numpy.{name}{bits}), or floats in [-1, 1]'


def rate_of(rate) -> int:
  """A sample rate, Hz, which may be an array's only element.

  Raises:
    UserError: it is no number, or too low.
  """
  if getattr(rate, 'ndim', None) == 0:
    rate = rate.item()  # an array's, which np.load gives
  is_number = isinstance(rate, numbers.Real)
  if not is_number or not rate >= ffmpeg.MIN_RATE:
    raise UserError(
      f'the sample rate is {rate!r}; it must be a number of at least'
      f' {ffmpeg.MIN_RATE} Hz'
    )
  return rate
