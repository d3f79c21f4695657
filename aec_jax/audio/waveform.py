"""Waveforms: read, trim, normalise, resample, shift the pitch, cut.

Functions over mono float32 arrays (sample,). None changes its argument; some
return a view of it. `prepare` puts together what every clip goes through.
"""

import functools
import os
from collections.abc import Iterator

import numpy as np
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from aec_jax.audio import FRONT_END, FrontEnd
from aec_jax.errors import UserError

# A float recording has peaks near 1; one that was never divided by 2^15 has
# them in the hundreds or thousands. 16 (24 dB over full scale) is more than
# any codec overshoots, and less than an int16 clip that can be heard.
_FLOAT_PEAK, _INT16_SCALE = 16.0, 32_768.0

# Hz. Of less no sound has been recorded, and a small file of 1 Hz would fill
# the memory at 16 kHz.
MIN_RATE = 100

# Of trim_silence, as in librosa.effects.trim.
TRIM_HOP, _TRIM_BLOCKS, _TRIM_FLOOR = 512, 4, 1e-10

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
  """Reads wav, flac, ogg, mp3 and whatever else libsndfile knows.

  Integer samples become [-1, 1), channels are averaged. Float samples that
  are plainly int16 numbers (peak between 16 and 32,768) are divided by 32,768.

  Args:
    path: an audio file.
    notes: gets a line for each oddity that was met and mended or let pass:
      int16-scaled floats, silence.

  Returns:
    waveform (sample,), float32, at least one sample; sample rate, Hz.

  Raises:
    UserError: missing, unreadable or empty file, NaN or infinite samples, or
      samples of unknown scale.
  """
  name = os.fspath(path)
  notes = [] if notes is None else notes
  waveform, rate = next(blocks(name, -1), (np.zeros(0, np.float32), 0))
  peak = peak_of(waveform)
  scale = scale_of(name, len(waveform), peak)
  if scale != 1:
    waveform = waveform * np.float32(scale)
    notes.append(f'{name}: floats of int16 scale, divided by 32768')
  if not peak:
    notes.append(f'{name}: silent')
  return waveform, rate


def scale_of(name: str, count: int, peak: float) -> float:
  """What to multiply a recording by: 1, or 1 / 32768 for int16 numbers.

  Args:
    name: of the recording, for messages.
    count: of its samples.
    peak: their largest magnitude, NaN if there is a NaN.

  Raises:
    UserError: as `read` does.
  """
  if not count:
    raise UserError(f'{name}: holds no samples')
  if not np.isfinite(peak):
    raise UserError(f'{name}: holds NaN or infinite samples')
  if peak > _INT16_SCALE:
    raise UserError(
      f'{name}: samples reach {peak:.3g}, which is neither the scale of floats'
      ' (1) nor of int16 (32768)'
    )
  return 1 / _INT16_SCALE if peak > _FLOAT_PEAK else 1.0


def trim_silence(waveform: np.ndarray, top_db: float = 60.0) -> np.ndarray:
  """Cuts what is `top_db` or more below the loudest frame off both ends.

  The cuts are those of `librosa.effects.trim`, at multiples of 512 samples:
  frames of 2048 samples, centred, with power below 1e-10 taken for 1e-10. So
  a clip whose loudest frame has an RMS under 0.01, and silence, stay whole.
  """
  if not waveform.size:
    return waveform
  start, stop = loud_span(block_energy(waveform), top_db)
  return waveform[start:stop]


def block_energy(waveform: np.ndarray) -> np.ndarray:
  """The energies of its blocks of 512 samples, and of what is left over.

  Returns:
    (block + 1,) float32; of the last, 0 where nothing is left over.
  """
  # Each block of 512 is squared once, not in each of its four frames.
  whole = len(waveform) // TRIM_HOP * TRIM_HOP
  blocks = waveform[:whole].reshape(-1, TRIM_HOP)
  energy = np.einsum('bs,bs->b', blocks, blocks)
  last = np.dot(waveform[whole:], waveform[whole:])
  return np.append(energy, last)


def loud_span(energy: np.ndarray, top_db: float = 60.0) -> tuple[int, int]:
  """Where `trim_silence` cuts: the first sample kept, and the first after.

  Args:
    energy: what `block_energy` returns.
    top_db: as `trim_silence` takes it.
  """
  half = [0] * (_TRIM_BLOCKS // 2)
  energy = np.concatenate([half, energy, half[1:]])
  # Mean square of frames of 2048 samples centred on multiples of 512.
  power = sliding_window_view(energy, _TRIM_BLOCKS).sum(1)
  power = np.maximum(power / (_TRIM_BLOCKS * TRIM_HOP), _TRIM_FLOOR)
  loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
  if not loud.size:  # Only where top_db <= 0.
    return 0, 0
  return int(loud[0]) * TRIM_HOP, int(loud[-1] + 1) * TRIM_HOP


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
  last piece of less than an example is left out; but a waveform shorter
  than one example is repeated up to it.

  Args:
    waveform: (sample,).
    spec: of the front end; its examples may overlap.

  Returns:
    (example, 15600), at least one row; a read-only view where possible.
  """
  length = spec.example_samples
  rows = sliding_window_view(fit_length(waveform, length), length)
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
  from aec_jax.audio import vocoder

  ratio = 2.0 ** (semitones / 12)
  length = int(len(waveform) * target / rate + 0.5)
  if target / ratio <= rate:
    tape = resample(waveform, rate, target / ratio)
    return vocoder.stretch(tape, ratio, length, _vocoder_hop(target / ratio))
  # Else the lower rate is the recording's: the same in the other order.
  longer = int(len(waveform) * ratio) + 2  # Resampled, not below `length`.
  tape = vocoder.stretch(waveform, ratio, longer, _vocoder_hop(rate))
  return resample(tape, rate * ratio, target)[:length]


def _vocoder_hop(rate):
  """A quarter of the vocoder's window, rounded so that its FFT is fast."""
  import scipy.fft

  return scipy.fft.next_fast_len(round(_VOCODER_SECONDS * rate / 4), real=True)


def peak_of(waveform: np.ndarray) -> float:
  """The largest magnitude, NaN if there is a NaN; 0 if empty."""
  if not waveform.size:
    return 0.0
  return float(np.maximum(waveform.max(), -waveform.min()))


def blocks(name: str, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Reads a file's samples block by block, as mono.

  Args:
    name: of the file.
    size: samples of a block; -1 for all at once.

  Yields:
    waveform (sample,), float32, of the scale that the file has, all but the
    last of `size` samples, none empty; sample rate, Hz.

  Raises:
    UserError: the file is missing, empty or unreadable.
  """
  if not os.path.isfile(name):
    raise UserError(f'{name}: no such file')
  if not os.path.getsize(name):
    raise UserError(f'{name}: is an empty file')
  try:
    # As bytes, since it refuses names that aren't UTF-8.
    with soundfile.SoundFile(os.fsencode(name)) as f:
      if f.samplerate < MIN_RATE:
        raise ValueError(f'it has {f.samplerate} samples a second')
      # libsndfile's own conversion to floats takes longer than its reading.
      # Read so, a 16-bit wav takes a tenth more than with scipy.io.wavfile,
      # which is no reader for users' files: it warns of unknown chunks.
      is_pcm16 = f.subtype == 'PCM_16'
      dtype = 'int16' if is_pcm16 else 'float32'
      read = functools.partial(f.read, dtype=dtype, always_2d=True)
      while len(samples := read(size)):
        # Of mp3 it gives less than was asked for, in the midst of a file.
        while len(samples) < size and len(more := read(size - len(samples))):
          samples = np.concatenate([samples, more])
        if is_pcm16:
          samples = samples * np.float32(1 / _INT16_SCALE)
        yield to_mono(samples), f.samplerate
  # TypeError is for headerless formats, known by their names alone.
  except (OSError, RuntimeError, TypeError, ValueError) as e:
    reason = getattr(e, 'error_string', str(e)).strip().rstrip('.')
    raise UserError(f'{name}: is not readable as audio: {reason}') from e


def to_mono(samples: np.ndarray) -> np.ndarray:
  """(sample, channel) -> (sample,), float32, the mean of the channels."""
  if samples.shape[1] == 1:
    return samples[:, 0]
  return samples.mean(1, dtype=np.float32)
