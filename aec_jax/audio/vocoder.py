"""A phase vocoder with identity phase locking (Laroche and Dolson 1999).

J. Laroche and M. Dolson, "Improved phase vocoder time-scale modification of
audio", IEEE Transactions on Speech and Audio Processing 7(3), 1999.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

# Frames that are turned together: enough for NumPy, few enough for a cache.
_FRAMES = 256


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
  return np.concatenate(list(stretched([waveform], ratio, length, hop)))


def stretched(
  blocks: Iterable[np.ndarray], ratio: float, length: int, hop: int
) -> Iterator[np.ndarray]:
  """As `stretch`, of a waveform in blocks (sample,), to blocks.

  A block of the result depends on what lies before it by the turns of the last
  frame and by three pieces, so that a recording need not fit in memory.
  """
  size = 4 * hop
  # From before the start to past the end: each sample lies in four windows.
  frames = -(-length // hop) + 3
  starts = np.rint(np.arange(-1, frames - 1) * (hop / ratio)).astype(int)
  starts -= starts[0]
  # Zeros before the start, and as many as are needed behind the end.
  tape = _Tape(blocks, size // 2 + round(hop / ratio))
  window = 0.5 - 0.5 * np.cos(2 * np.pi / size * np.arange(size))
  window = window.astype(np.float32)
  turn = last = None
  pieces = np.zeros((3, 4, hop), np.float32)  # of the frames before
  left = length
  for first in range(0, frames, _FRAMES):
    some = starts[first : first + _FRAMES]
    windows = sliding_window_view(
      tape.span(some[0], some[-1] + size + hop), size
    )
    some = some - some[0]
    # One thread: callers have many clips to spread over the cores.
    spectra = scipy.fft.rfft(windows[some] * window)  # (frame, bin)
    successors = scipy.fft.rfft(windows[some + hop] * window)
    if last is not None:
      successors = np.concatenate([last, successors])
    turns = _turns(spectra, successors, turn)
    turn, last = turns[-1], successors[-1:]
    spectra *= turns
    found = scipy.fft.irfft(spectra, size)
    found *= window / 1.5  # Four shifted squares of it add up to 1.5.
    pieces = np.concatenate([pieces, found.reshape(-1, 4, hop)])
    result = np.zeros((len(some), hop), np.float32)
    for i in range(4):
      result += pieces[3 - i : 3 - i + len(some), i]
    pieces = pieces[-3:]
    # Of the first three, and what is past the end, nothing is wanted.
    part = result[max(0, 3 - first) :].ravel()[:left]
    left -= len(part)
    yield part


class _Tape:
  """A waveform in blocks, with zeros around it, to be read forwards.

  Args:
    blocks: (sample,) each.
    lead: how many zeros come before it.
  """

  def __init__(self, blocks: Iterable[np.ndarray], lead: int) -> None:
    self._blocks = iter(blocks)
    self._held, self._place = np.zeros(lead, np.float32), 0

  def span(self, start: int, stop: int) -> np.ndarray:
    """Samples from `start` to `stop`; before `start` nothing is kept."""
    parts, end = [self._held], self._place + len(self._held)
    while end < stop:
      block = next(self._blocks, None)
      if block is None:
        block = np.zeros(stop - end, np.float32)
      parts.append(block)
      end += len(block)
    self._held = np.concatenate(parts)[start - self._place :]
    self._place = start
    return self._held[: stop - start]


def _turns(spectra, successors, before):
  """Unit factors (frame, bin) that turn the phases of the result's frames.

  Only spectral peaks are followed from frame to frame; all bins around a
  peak turn with it, which keeps partials whole and attacks sharp.

  Args:
    spectra: (frame, bin).
    successors: (frame or frame + 1, bin), that of each frame, and before them
      that of the frame before the first.
    before: (bin,) the turns of that frame; None where there is none.
  """
  frames, bins = spectra.shape
  peaks, first, region = _peak_regions(spectra)
  here = peaks[first[int(before is None)] :]  # The very first isn't turned.
  back = bins * int(before is None)
  step = successors.ravel()[here - back] * spectra.ravel()[here].conj()
  magnitude = np.abs(step)
  # Where there is no sound, there is no phase to follow. A product of numbers
  # near float32's smallest has no exact magnitude either, and a factor under 1
  # here would weaken all the frames that follow.
  step = np.where(magnitude > 1e-30, step / np.maximum(magnitude, 1e-30), 1)
  # Along the peaks of the frame before, whose regions these lie in.
  turn = np.ones(len(peaks), spectra.dtype)
  skipped = len(peaks) - len(here)
  if before is not None:
    turn[: first[1]] = before[peaks[: first[1]]] * step[: first[1]]
  parent = region[peaks[first[1] :] - bins]
  start = int(first[1])
  for stop in first[2:].tolist():
    mine, above = slice(start, stop), slice(start - first[1], stop - first[1])
    turn[mine] = turn[parent[above]] * step[start - skipped : stop - skipped]
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
