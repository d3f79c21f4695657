"""A phase vocoder with identity phase locking (Laroche and Dolson 1999).

J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of
audio", IEEE Transactions on Speech and Audio Processing 7(3), 1999.
"""

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view


def stretch(waveform, ratio, length, hop):
  """Makes a waveform `ratio` times as long, at the same pitch.

  Result frame k, centred on sample (k - 1) · hop, is the frame about (k - 1) ·
  hop / ratio of the waveform with its phases turned. The turn makes it follow
  result frame k - 1 as a frame taken `hop` later, the *successor*, follows
  that one in the waveform: no frequency need be estimated or unwrapped.

  Args:
    waveform: (sample,), float32.
    ratio: of the durations.
    length: of the result, about ratio · sample.
    hop: between the result's frames; the windows have 4 · hop samples.
  """
  size = 4 * hop
  # From before the start to past the end: each sample lies in four windows.
  centres = np.arange(-1, -(-length // hop) + 2) * (hop / ratio)
  starts = np.rint(centres).astype(int)
  lead = size // 2 - starts[0]
  trail = max(0, starts[-1] + size // 2 + hop - len(waveform))
  starts -= starts[0]
  frames = sliding_window_view(np.pad(waveform, (lead, trail)), size)
  window = 0.5 - 0.5 * np.cos(2 * np.pi / size * np.arange(size))
  window = window.astype(np.float32)
  # One thread: callers have many clips to spread over the cores.
  spectra = scipy.fft.rfft(frames[starts] * window)  # (frame, bin)
  successors = scipy.fft.rfft(frames[starts[:-1] + hop] * window)
  spectra *= _turns(spectra, successors)
  pieces = scipy.fft.irfft(spectra, size)
  pieces *= window / 1.5  # Four shifted squares of it add up to 1.5.
  pieces = pieces.reshape(-1, 4, hop)
  result = np.zeros((len(pieces) + 3, hop), np.float32)
  for i in range(4):
    result[i : i + len(pieces)] += pieces[:, i]
  return result.ravel()[3 * hop : 3 * hop + length]


def _turns(spectra, successors):
  """Unit factors (frame, bin) that turn the phases of the result's frames.

  Only spectral peaks are followed from frame to frame; all bins around a
  peak turn with it, which keeps partials whole and attacks sharp.
  """
  frames, bins = spectra.shape
  peaks, first, region = _peak_regions(spectra)
  here = peaks[first[1] :]  # All but those of frame 0, which isn't turned.
  step = successors.ravel()[here - bins] * spectra.ravel()[here].conj()
  magnitude = np.abs(step)
  # Where there is no sound, there is no phase to follow. A product of numbers
  # near float32's smallest has no exact magnitude either, and a factor under 1
  # here would weaken all the frames that follow.
  step = np.where(magnitude > 1e-30, step / np.maximum(magnitude, 1e-30), 1)
  # Along the peaks of the frame before, whose regions these lie in.
  parent = region[here - bins]
  turn = np.ones(len(peaks), spectra.dtype)
  start = int(first[1])
  for stop in first[2:].tolist():
    i = slice(start - len(peaks), (stop - len(peaks)) or None)
    turn[i] = turn[parent[i]] * step[i]
    start = stop
  return turn[region].reshape(frames, bins)


def _peak_regions(spectra):
  """Where the peaks are, and which one each bin is nearest to.

  Returns:
    peaks: positions in the flat spectra, in ascending order.
    first: (frame + 1,), the number of the first peak of each frame.
    region: number of the nearest peak, for each position of the flat spectra.
  """
  frames, bins = spectra.shape
  power = np.square(spectra.real) + np.square(spectra.imag)
  is_peak = np.zeros(power.shape, bool)
  centre = power[:, 2:-2]
  is_peak[:, 2:-2] = (
    (centre > power[:, :-4])
    & (centre > power[:, 1:-3])
    & (centre >= power[:, 3:-1])
    & (centre >= power[:, 4:])
  )
  is_peak[np.arange(frames), power.argmax(1)] = True  # One at least.
  peaks = np.flatnonzero(is_peak)
  starts = np.arange(frames + 1) * bins
  first = np.searchsorted(peaks, starts)
  edges = (peaks[:-1] + peaks[1:] + 1) // 2
  edges[first[1:-1] - 1] = starts[1:-1]
  sizes = np.diff(edges, prepend=0, append=frames * bins)
  return peaks, first, np.repeat(np.arange(len(peaks)), sizes)
