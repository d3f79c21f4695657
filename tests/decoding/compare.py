"""What is heard of a file by this project, and by the `ffmpeg` command."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import scipy.signal

from aec_jax.audio import stream, waveform
from aec_jax.errors import UserError

# Two decoders agree where the lengths differ by less, in seconds, the levels by
# less, as a ratio, and the samples are correlated by more.
_SECONDS, _LEVEL, _CORRELATION = 0.06, 1.02, 0.99


@dataclasses.dataclass(frozen=True)
class Sound:
  """One decoder's answer: mono samples, Hz, or what is wrong."""

  samples: np.ndarray
  rate: int
  error: str = ''

  @property
  def seconds(self) -> float:
    return len(self.samples) / self.rate

  @property
  def rms(self) -> float:
    """Of all samples; 0 of none."""
    x = self.samples.astype(np.float64)
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0


@dataclasses.dataclass(frozen=True)
class Row:
  """A file, heard twice.

  Attributes:
    name: of the file.
    ours, theirs: what was heard.
    correlation: of the samples, NaN where one is silent or missing.
    notes: what we say about it.
    disagreement: of our own readers, '' where there is none.
  """

  name: str
  ours: Sound
  theirs: Sound
  correlation: float
  notes: list[str]
  disagreement: str

  @property
  def differs(self) -> bool:
    ours, theirs = self.ours, self.theirs
    if ours.error or theirs.error:
      return bool(ours.error) != bool(theirs.error)
    low, high = sorted((ours.rms, theirs.rms))
    return (
      ours.rate != theirs.rate
      or abs(ours.seconds - theirs.seconds) > _SECONDS
      or high > _LEVEL * low + 1e-6
      or self.correlation < _CORRELATION
    )

  @property
  def silently(self) -> bool:
    """Whether it differs, or disagrees, without a word of ours."""
    said = bool(self.notes or self.ours.error)
    return bool(self.disagreement) or (self.differs and not said)


def compare(path: Path) -> Row:
  """Decodes a file by all of our readers and by ffmpeg."""
  notes = []
  ours, disagreement = _ours(path, notes)
  theirs = _theirs(path)
  correlation = _correlation(ours, theirs)
  return Row(path.name, ours, theirs, correlation, notes, disagreement)


def _correlation(ours: Sound, theirs: Sound) -> float:
  """Of pieces of half a second, each wherever it fits best.

  Decoders differ in how much of a codec's delay they cut off, and at the joints
  of a chain.
  """
  count, lag = len(ours.samples), int(_SECONDS * ours.rate)
  size = max(ours.rate // 2, 1)
  matched = whole = other = 0.0
  for start in range(0, count, size):
    a = ours.samples[start : start + size].astype(np.float64)
    b = theirs.samples[max(0, start - lag) : start + size + lag]
    b = b.astype(np.float64)
    if len(b) < len(a):
      continue
    products = scipy.signal.correlate(b, a, 'valid', 'fft')
    energies = scipy.signal.correlate(b**2, np.ones(len(a)), 'valid', 'fft')
    ratio = products / np.sqrt(np.maximum(energies, 1e-12))
    best = int(ratio.argmax())
    matched += products[best]
    whole += float(a @ a)
    other += max(float(energies[best]), 0.0)
  return matched / np.sqrt(whole * other) if whole and other else np.nan


def _ours(path: Path, notes: list[str]) -> tuple[Sound, str]:
  recording = stream.Recording.of_file(path)
  try:
    samples, rate = waveform.read(path, notes)
  except UserError as error:
    try:
      stream.survey(recording, None, False)
    except UserError as other:
      same = str(other) == str(error)
      disagreement = '' if same else f'{error} / {other}'
    else:
      disagreement = f'streamed, but not read: {error}'
    return Sound(np.zeros(0, np.float32), 1, str(error)), disagreement
  notes[:] = [note.removeprefix(f'{path}: ') for note in notes]
  return Sound(samples, rate), _disagreement(recording, samples, rate, notes)


def _disagreement(recording, samples, rate, notes) -> str:
  """Between the whole file, as training reads it, and the stream."""
  found = stream.survey(recording, 60.0, True)
  if list(found.notes) != notes:
    return f'notes {notes} / {list(found.notes)}'
  streamed = np.concatenate(list(stream.examples(recording, found)))
  whole = waveform.split_examples(waveform.prepare(samples, rate))
  if np.array_equal(streamed, whole):
    return ''
  return 'the examples of the whole file and of the stream are not the same'


def _theirs(path: Path) -> Sound:
  """The first sound track as ffmpeg gives it, its channels averaged."""
  nothing = np.zeros(0, np.float32)
  if not shutil.which('ffmpeg'):
    raise SystemExit('this tool compares with the command ffmpeg: install it')
  found = subprocess.run(
    ['ffmpeg', '-v', 'error', '-nostdin', '-i', f'file:{path}', '-map',
     '0:a:0', '-c:a', 'pcm_f32be', '-f', 'au', '-'],
    capture_output=True, check=False,
  )  # fmt: skip
  data = found.stdout
  if data[:4] != b'.snd':
    words = found.stderr.decode('utf-8', 'replace').strip().splitlines()
    return Sound(nothing, 1, words[-1] if words else 'nothing')
  start, _, _, rate, channels = np.frombuffer(data, '>u4', 5, 4).tolist()
  samples = np.frombuffer(data[start : start + (len(data) - start) // 4 * 4],
                          '>f4')  # fmt: skip
  whole = len(samples) // channels * channels
  mono = samples[:whole].reshape(-1, channels).astype(np.float32).mean(1)
  return Sound(mono, rate, '' if len(mono) else 'no samples')
