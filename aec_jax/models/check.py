"""Tells whether weights, PCA and front end are the released VGGish's.

  python -m aec_jax.models.check --weights=FILE --pca=FILE

First a second of noise goes through our log-mel on the device that is used, and
through librosa's spectrogram: that needs no weights, and hears all bands.

The release's own test embeds 3 s of a 1 kHz sine and states the mean and the
deviation of the embeddings, before and after the PCA. They have been stated
three times; here the same sines go through our front end, VGGish and PCA. The
exit status is 0 if what comes out is one of the three.

The 44.1 kHz sines were resampled by resampy 0.2, and ours are by soxr: only the
one at 16 kHz depends on no resampler. A mean near 0 says little about the rest,
so the mean before the PCA is shown but not compared.

Source: tensorflow/models, research/audioset/vggish/vggish_smoke_test.py, as
released in 2017, after #9080 (August 2020: the last ReLU is gone) and after
#11061 (July 2023: no resampling, as resampy 0.3 had moved the numbers). Those
of 2020 after the PCA are from a copy of the test; those before it also stand in
vggish_export_tfhub.py.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from aec_jax.audio import FRONT_END, log_mel, waveform
from aec_jax.errors import UserError
from aec_jax.models import convert, embedding_postprocess, vggish
from aec_jax.models.embedding_postprocess import Pca
from aec_jax.run import console

SECONDS, FREQUENCY = 3, 1000.0

# Relative errors. The statements have three digits; the release's test allows
# 10 %.
EQUAL, CLOSE = 0.01, 0.1
# Of log-mels, whose noise floor is log(0.01): what float32 makes of a second is
# 1e-5, and products of 8 bits are off by 1e-2.
_LOG_MEL = 1e-3


class Statistics(NamedTuple):
  """Means and standard deviations over examples and dimensions.

  Attributes:
    mean, deviation: of embeddings.
    coded_mean, coded_deviation: of the same after PCA and quantisation.
  """

  mean: float
  deviation: float
  coded_mean: float
  coded_deviation: float


class Statement(NamedTuple):
  """What the release's test says.

  Attributes:
    since: when it began to say so.
    activation: of the last layer, as `VGGish.embedding_activation`.
    rate: of the sine, Hz.
    endpoint: whether the last sample is at exactly 3 s, which raises the
      frequency by 0.0076 Hz.
    statistics: of what comes out.
  """

  since: str
  activation: str
  rate: int
  endpoint: bool
  statistics: Statistics

  def sine(self) -> np.ndarray:
    """The waveform (sample,) that the test embeds, float32 at 16 kHz."""
    count = SECONDS * self.rate
    times = np.linspace(0, SECONDS, count, endpoint=self.endpoint)
    sine = np.sin(2 * np.pi * FREQUENCY * times).astype(np.float32)
    return waveform.resample(sine, self.rate, FRONT_END.sample_rate)


STATEMENTS = (
  Statement(
    'July 2023', 'linear', 16_000, False, Statistics(657e-6, 0.343, 126.0, 89.3)
  ),
  Statement(
    'August 2020',
    'linear',
    44_100,
    False,
    Statistics(-0.0333, 0.380, 122.0, 93.5),
  ),
  Statement(
    '2017', 'relu', 44_100, True, Statistics(0.131, 0.238, 123.0, 75.0)
  ),
)


def log_mel_error() -> float:
  """The largest difference of our log-mel from librosa's, of noise.

  librosa centres its window in the FFT and has its triangles in Hz: here it
  gives the spectrogram and the bands' edges.
  """
  import librosa  # takes 3 s

  spec = FRONT_END
  x = 0.1 * np.random.default_rng(0).standard_normal(spec.sample_rate)
  bins = librosa.stft(
    np.pad(x, (spec.fft - spec.window) // 2),
    n_fft=spec.fft, hop_length=spec.hop, win_length=spec.window, center=False,
  )  # fmt: skip
  edges = librosa.mel_frequencies(
    spec.bands + 2, fmin=spec.low, fmax=spec.high, htk=True
  )
  centres = librosa.hz_to_mel(edges, htk=True)
  at = librosa.hz_to_mel(
    librosa.fft_frequencies(sr=spec.sample_rate, n_fft=spec.fft), htk=True
  )
  away = np.abs(at[:, None] - centres[1:-1]) / (centres[1] - centres[0])
  mel = np.abs(bins).T @ np.maximum(0, 1 - away)
  theirs = np.log(mel + spec.offset)
  ours = log_mel.log_mel(x[None].astype(np.float32))[0]
  return float(np.max(np.abs(ours - theirs)))


def check_front_end() -> str:
  """One line of how far our log-mel is from librosa's.

  Raises:
    UserError: farther than rounding explains.
  """
  error = log_mel_error()
  said = f"log-mel differs from librosa's by at most {error:.1e}"
  if not error <= _LOG_MEL:
    raise UserError(
      f'{said} on {jax.default_backend()}: this device or this JAX computes'
      ' otherwise; try JAX_PLATFORMS=cpu'
    )
  return said


def statistics(params: dict, width: float, pca: Pca) -> list[Statistics]:
  """What a VGGish makes of the sine of each of `STATEMENTS`.

  Args:
    params: of `VGGish(width=width)`.
    width: multiplies its layers' widths; the release's is 1.
    pca: of `load_pca`.
  """
  frames = log_mel.log_mel(np.stack([s.sine() for s in STATEMENTS]))
  examples = log_mel.examples(frames)  # (statement, 3, 96, 64)
  module = vggish.VGGish('linear', width)
  outputs = jax.jit(module.apply)(
    {'params': params}, examples.reshape(-1, *examples.shape[2:])
  ).reshape(len(STATEMENTS), -1, vggish.EMBEDDING_SIZE)
  return [
    _statistics(vggish.ACTIVATIONS[statement.activation](x), pca)
    for statement, x in zip(STATEMENTS, outputs, strict=True)
  ]


def _statistics(embeddings, pca):
  coded = embedding_postprocess.postprocess(embeddings, pca)
  arrays = (np.asarray(x, np.float64) for x in (embeddings, coded))
  return Statistics(*(float(f(x)) for x in arrays for f in (np.mean, np.std)))


def difference(found: Statistics, stated: Statistics) -> float:
  """The largest relative error of all but the mean before the PCA."""
  pairs = list(zip(found, stated, strict=True))[1:]
  return float(np.max([abs(x / y - 1) for x, y in pairs]))


def verdict(differences: Sequence[float]) -> str:
  """One line of what the differences from `STATEMENTS` say.

  Raises:
    UserError: none of them is small enough.
  """
  pairs = list(zip(STATEMENTS, differences, strict=True))
  for limit, what in (
    (EQUAL, 'waveform → embedding equals'),
    (CLOSE, "by the release's own tolerance, waveform → embedding equals"),
  ):
    for statement, error in pairs:
      if error <= limit:
        return (
          f"{what} the release's of {statement.since} within {error:.1%}; that"
          f' needs embedding_activation={statement.activation!r}'
        )
  raise UserError(
    'these weights and this PCA are not the released ones, whose numbers differ'
    f' by {np.min(differences):.0%} or more: fetch them by python -m'
    ' aec_jax.models.fetch vggish'
  )


def report(found: Sequence[Statistics]) -> str:
  """What was found beside `STATEMENTS`, as a table."""
  rows = [
    (
      "the release's test of", 'last layer', 'mean', 'deviation',
      'after PCA: mean', 'deviation', 'differs by',
    )
  ]  # fmt: skip
  for statement, ours in zip(STATEMENTS, found, strict=True):
    name = f'{statement.since}, {statement.rate / 1000:g} kHz'
    stated = statement.statistics
    error = difference(ours, stated)
    rows.append((name, statement.activation, *_digits(stated), ''))
    rows.append(('  here', '', *_digits(ours), f'{error:.2%}'))
  return console.table(rows)


def _digits(numbers):
  return [f'{x:.3g}' for x in numbers]


def main(argv: Sequence[str] | None = None) -> int:
  """The command; `argv` defaults to the process's."""
  parser = console.Parser(__doc__)
  parser.add_argument(
    '--weights',
    metavar='FILE',
    required=True,
    help='vggish_model.ckpt, or what aec_jax.models.convert made of it.',
  )
  parser.add_argument(
    '--pca', metavar='FILE', required=True, help='vggish_pca_params.npz.'
  )
  options = parser.parse_args(argv)
  pca = embedding_postprocess.load_pca(options.pca)
  params, width = convert.load_any_width(options.weights)
  print(check_front_end())
  found = statistics(params, width, pca)
  print(report(found))
  differences = [
    difference(ours, statement.statistics)
    for ours, statement in zip(found, STATEMENTS, strict=True)
  ]
  print(verdict(differences))
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
