"""Waveforms: read, trim, normalise, resample, shift the pitch, cut.

Functions over mono float32 arrays (sample,). None changes its argument; some
return a view of it. `prepare` puts together what every clip goes through.
"""

import itertools
import os
from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from aec_jax.audio import FRONT_END, FrontEnd, decode, levels

# Of trim_silence, as in librosa.effects.trim: frames of four parts.
_TRIM_PARTS, _TRIM_FLOOR = 4, 1e-10

# Window of the phase vocoder, librosa's 2048 samples at 44.1 kHz. 40 to 55 ms
# are equally good on real clips; 32 and 64 ms are 4 % worse.
_VOCODER_SECONDS = 2048 / 44_100


def prepare(
  waveform: np.ndarray,
  rate: int,
  semitones: float = 0,
  spec: FrontEnd = FRONT_END,
) -> np.ndarray:
  """A recording as the front end takes it (thesis §5.2.1 and §5.2.3).

  Trimming comes first, so that it hears the file as it is, and resampling
  last, so that a clip shifted down keeps what it brings from above 8 kHz.

  Args:
    waveform: (sample,), float32.
    rate: its sample rate, Hz.
    semitones: shifts the pitch, if not 0.
    spec: of the front end.

  Returns:
    (sample,), float32 at the front end's rate: the peak was 1 before
    resampling.
  """
  waveform = peak_normalise(trim_silence(waveform))
  return pitch_shift(waveform, rate, semitones, spec.sample_rate)


def read(
  path: str | os.PathLike, notes: list[str] | None = None
) -> tuple[np.ndarray, int]:
  """Reads any sound that FFmpeg knows, to its end, as mono.

  Integer samples become [-1, 1), channels are averaged; `levels.listen` says
  what becomes of other scales and of channels that cancel.

  Args:
    path: an audio file, or a film with a sound track.
    notes: gets a line for each oddity that was met and mended or let pass:
      a file cut short or damaged, int16-scaled floats, clipped samples,
      channels that cancel, silence.

  Returns:
    waveform (sample,), float32, at least one sample; sample rate, Hz.

  Raises:
    UserError: missing, unreadable or empty file, NaN or infinite samples, or
      samples of unknown scale.
  """
  name = os.fspath(path)
  odd: list[str] = []
  whole = list(decode.blocks(name, -1, odd))
  level, facts = levels.listen(name, lambda: whole, parts=False)
  if notes is not None:
    notes += [f'{name}: {note}' for note in (*odd, *level.notes)]
  return level.heard(whole[0][0]), facts.rate


def trim_silence(waveform: np.ndarray, top_db: float = 60.0) -> np.ndarray:
  """Cuts what is `top_db` or more below the loudest frame off both ends.

  The cuts are those of `librosa.effects.trim`, at multiples of 512 samples:
  frames of 2048 samples, centred, with power below 1e-10 taken for 1e-10. So
  a clip whose loudest frame has an RMS under 0.01, and silence, stay whole.
  """
  if not waveform.size:
    return waveform
  start, stop = loud_span(levels.energy_of(waveform), top_db)
  return waveform[start:stop]


def loud_span(energy: np.ndarray, top_db: float = 60.0) -> tuple[int, int]:
  """Where `trim_silence` cuts: the first sample kept, and the first after.

  Args:
    energy: what `levels.energy_of` returns.
    top_db: as `trim_silence` takes it.
  """
  half = [0] * (_TRIM_PARTS // 2)
  energy = np.concatenate([half, energy, half[1:]])
  # Mean square of frames of 2048 samples centred on multiples of 512.
  power = sliding_window_view(energy, _TRIM_PARTS).sum(1)
  power = np.maximum(power / (_TRIM_PARTS * levels.HOP), _TRIM_FLOOR)
  loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
  if not loud.size:  # Only where top_db <= 0.
    return 0, 0
  return int(loud[0]) * levels.HOP, int(loud[-1] + 1) * levels.HOP


def peak_normalise(waveform: np.ndarray) -> np.ndarray:
  """Scales the largest magnitude to 1; silence stays silent."""
  peak = peak_of(waveform)
  # Where 1 / peak overflows, there is nothing to hear.
  if peak < np.finfo(np.float32).tiny:
    return waveform
  return waveform * np.float32(1 / peak)


def resample(waveform: np.ndarray, rate: float, target: float) -> np.ndarray:
  """Resamples with soxr's HQ filter (aliases 138 dB down), by any ratio.

  Returns:
    (round(sample · target / rate),), float32.
  """
  if rate == target or not waveform.size:
    return waveform
  return soxr.resample(waveform, rate, target, 'HQ')


def fit_length(waveform: np.ndarray, length: int) -> np.ndarray:
  """Repeats a shorter waveform up to `length`; a longer one stays whole.

  An empty one becomes zeros, so that no clip is ever dropped.
  """
  if len(waveform) >= length:
    return waveform
  return np.resize(waveform, length)


def split_examples(
  waveform: np.ndarray, spec: FrontEnd = FRONT_END
) -> np.ndarray:
  """Cuts a waveform at the front end's rate into examples, of 0.96 s.

  Row i holds the samples that the 96 frames of example i reach over: 15,360
  and the 240 more that its last window needs. Hence the log-mel of the rows is
  that of the whole waveform cut into examples, which is VGGish's way; and all
  rows have one shape, for which `log_mel` is compiled once. As in VGGish, a
  last piece of less than an example is left out, unless `spec.tail` says to
  repeat the waveform after it; a waveform shorter than one example is always
  repeated up to it.

  Args:
    waveform: (sample,).
    spec: of the front end; its examples may overlap.

  Returns:
    (example, 15600), at least one row; a read-only view where possible.
  """
  length = spec.example_samples
  whole = fit_length(waveform, length)
  whole = fit_length(whole, spec.fitted(len(whole)))
  rows = sliding_window_view(whole, length)
  return rows[:: spec.example_hop]


def pitch_shift(
  waveform: np.ndarray,
  rate: int,
  semitones: float,
  target: int | None = None,
) -> np.ndarray:
  """Moves the pitch and keeps the duration.

  Resampled to target / ratio and played at `target`, a recording has its
  frequencies multiplied by the ratio; a phase vocoder then restores its
  duration. So one resampling does for the shift and for the change of rate,
  and the vocoder works on the bandwidth of the result: no more, and no less,
  for a downward shift to 16 kHz brings in what the recording has above 8 kHz.

  Args:
    waveform: (sample,), float32.
    rate: its sample rate, Hz.
    semitones: up, or down if negative; need not be whole.
    target: sample rate of the result, Hz; `rate` if None.

  Returns:
    (round(sample · target / rate),), float32: as long as `resample` gives.
  """
  target = target or rate
  if not semitones:
    return resample(waveform, rate, target)
  blocks = shifted([waveform], len(waveform), rate, semitones, target)
  return np.concatenate(list(blocks))


def shifted(
  blocks: Iterable[np.ndarray],
  count: int,
  rate: int,
  semitones: float,
  target: int,
) -> Iterator[np.ndarray]:
  """As `pitch_shift`, of `count` samples in blocks (sample,), to blocks."""
  if not semitones:
    yield from resampled(blocks, rate, target)
    return
  from aec_jax.audio import vocoder

  ratio = 2.0 ** (semitones / 12)
  length = int(count * target / rate + 0.5)
  if target / ratio <= rate:
    tape = resampled(blocks, rate, target / ratio)
    hop = _vocoder_hop(target / ratio)
    yield from vocoder.stretched(tape, ratio, length, hop)
    return
  # Else the lower rate is the recording's: the same in the other order.
  longer = int(count * ratio) + 2  # Resampled, not below `length`.
  tape = vocoder.stretched(blocks, ratio, longer, _vocoder_hop(rate))
  for block in resampled(tape, rate * ratio, target):
    yield block[:length]
    length -= len(block[:length])


def resampled(
  blocks: Iterable[np.ndarray], rate: float, target: float
) -> Iterator[np.ndarray]:
  """As `resample`, of blocks (sample,) to blocks."""
  if rate == target:
    yield from blocks
    return
  blocks = iter(blocks)
  some = list(itertools.islice(blocks, 2))
  if len(some) == 1:  # the same by a quarter of a millisecond sooner
    yield resample(np.ascontiguousarray(some[0]), rate, target)
    return
  stream = soxr.ResampleStream(rate, target, 1, 'float32', 'HQ')
  for block in itertools.chain(some, blocks):
    yield stream.resample_chunk(np.ascontiguousarray(block))
  yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _vocoder_hop(rate):
  """A quarter of the vocoder's window, rounded so that its FFT is fast."""
  import scipy.fft

  return scipy.fft.next_fast_len(round(_VOCODER_SECONDS * rate / 4), real=True)


def peak_of(waveform: np.ndarray) -> float:
  """The largest magnitude, NaN if there is a NaN; 0 if empty."""
  if not waveform.size:
    return 0.0
  return float(np.maximum(waveform.max(), -waveform.min()))
