"""From sound files to log-mel examples, and the numbers of that front end.

The numbers stand here, so that code which only handles waveforms (worker
processes that read and augment clips) need not import JAX.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
  import numpy as np


class FrontEnd(NamedTuple):
  """VGGish's front end (thesis Tables 1 and 4); lengths in samples.

  Attributes:
    sample_rate: Hz.
    window: of a frame, 25 ms.
    hop: from frame to frame, 10 ms.
    fft: length that a windowed frame is zero-padded to.
    bands: mel bands.
    low, high: outer edges of the first and the last mel band, Hz.
    offset: added to the mel magnitudes before the logarithm.
    frames: of an example, 0.96 s.
    step: frames from one example to the next.
    tail: what becomes of less than an example at the end of a waveform: 'drop'
      as VGGish does, or 'repeat' the waveform's beginning after it.
  """

  sample_rate: int = 16_000
  window: int = 400
  hop: int = 160
  fft: int = 512
  bands: int = 64
  low: float = 125.0
  high: float = 7_500.0
  offset: float = 0.01
  frames: int = 96
  step: int = 96
  tail: str = 'drop'

  def record(self) -> dict:
    """What is kept of it; older records lack the tail, which was dropped."""
    found = self._asdict()
    if self.tail == 'drop':
      del found['tail']
    return found

  @classmethod
  def of_record(cls, record: dict) -> 'FrontEnd':
    """From what `record` has returned, and perhaps more."""
    return cls(**{k: record[k] for k in cls._fields if k in record})

  def fitted(self, samples: int) -> int:
    """To how many samples a waveform of at least one example is filled up."""
    if self.tail == 'drop':
      return samples
    more = -(-(samples - self.example_samples) // self.example_hop)
    return self.example_samples + more * self.example_hop

  @property
  def example_hop(self) -> int:
    """From example to example: 15,360 samples, 0.96 s."""
    return self.step * self.hop

  @property
  def example_samples(self) -> int:
    """That one example's frames reach over: 15,600, the last window's end."""
    return (self.frames - 1) * self.hop + self.window

  @property
  def seconds(self) -> float:
    """From example to example."""
    return self.example_hop / self.sample_rate


FRONT_END = FrontEnd()


def read(
  path: str | os.PathLike, notes: list[str] | None = None
) -> 'tuple[np.ndarray, int]':
  """Reads any sound that FFmpeg knows, to its end, as mono.

  Args:
    path: an audio file, or a film with a sound track.
    notes: gets a line for each oddity that was met and mended or let pass.

  Returns:
    waveform (sample,), float32, at least one sample; sample rate, Hz.

  Raises:
    UserError: missing, unreadable or empty file, NaN or infinite samples, or
      samples of unknown scale.
  """
  from aec_jax.audio import waveform

  return waveform.read(path, notes)
