"""Audio preparation and log-mel: this package and its peers.

  python -m launch.benchmarks.audio [--clips=FOLDER]

Takes about two minutes on two cores. Without a folder of recordings the clips
are synthetic: 7 s at 44.1 kHz, tones with noise between silences. Pitch shifts
are also compared by quality (`fidelity`), which means something on real clips
only.
"""

import glob
import os
import tempfile
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import scipy.fft
import scipy.io.wavfile
import soundfile
import soxr
from absl import app, flags

from aec_jax.audio import FRONT_END, log_mel, waveform
from launch.benchmarks import timing

_CLIPS = flags.DEFINE_string('clips', None, 'folder of wav or ogg recordings')
_COUNT = flags.DEFINE_integer('count', 24, 'clips to prepare')


def semitones(i: int) -> int:
  """The i-th clip's shift: all of -12 … 12 but 0, in a mixed order."""
  return [s for s in range(-12, 13) if s][7 * i % 24]


def synthetic_clip(seed: int, rate: int = 44_100) -> np.ndarray:
  """(sample,), float32: a decaying tone and noise between silences, 7 s."""
  rng = np.random.default_rng(seed)
  t = np.arange(6 * rate) / rate
  tone = sum(
    np.sin(2 * np.pi * rng.uniform(200, 600) * h * t) / h for h in range(1, 9)
  )
  sound = np.exp(-t) * tone + 0.02 * rng.standard_normal(len(t))
  return np.pad(0.2 * sound, rate // 2).astype(np.float32)


def load_clips() -> list[tuple[np.ndarray, int]]:
  if not _CLIPS.value:
    return [(synthetic_clip(seed), 44_100) for seed in range(_COUNT.value)]
  paths = glob.glob(os.path.join(_CLIPS.value, '**', '*.*'), recursive=True)
  paths = sorted(p for p in paths if p.endswith(('.wav', '.ogg')))
  picked = np.random.default_rng(0).permutation(paths)[: _COUNT.value]
  return [waveform.read(path) for path in picked]


def table(
  title: str,
  unit: str,
  amount: float,
  rows: Mapping[str, Callable[[], object]],
) -> None:
  """Prints throughputs and their ratios to the second row, the peer's."""
  times = timing.interleaved(rows)
  peer = list(times.values())[1]
  print(f'\n| {title} | {unit} | wall ratio | processor ratio |')
  print('|---|---|---|---|')
  for name, seconds in times.items():
    print(
      f'| {name} | {amount / seconds.wall:,.0f}'
      f' | {peer.wall / seconds.wall:.1f}'
      f' | {peer.processor / seconds.processor:.1f} |'
    )


def scipy_log_mel(x: np.ndarray) -> np.ndarray:
  """(…, sample) -> (…, frame, 64) by batched float32 FFTs."""
  window = np.hanning(401)[:-1].astype(np.float32)
  frames = np.lib.stride_tricks.sliding_window_view(x, 400, -1)
  spectra = scipy.fft.rfft(frames[..., ::160, :] * window, 512, workers=-1)
  mel = np.abs(spectra) @ log_mel.mel_matrix()
  return np.log(mel + np.float32(FRONT_END.offset))


def librosa_log_mel(x: np.ndarray) -> np.ndarray:
  """librosa's definition differs slightly: it centres windows in frames."""
  mel = librosa.feature.melspectrogram(
    y=x, sr=16_000, n_fft=512, hop_length=160, win_length=400, center=False,
    power=1, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None,
  )  # fmt: skip
  return np.log(mel + 0.01)


def time_log_mel() -> None:
  rng = np.random.default_rng(0)
  x = 0.3 * rng.standard_normal((64, 160_000)).astype(np.float32)
  on_device = jnp.asarray(x)
  pieces = jnp.asarray(np.stack([waveform.split_examples(c) for c in x]))
  pieces = pieces.reshape(-1, pieces.shape[-1])
  np.testing.assert_allclose(
    log_mel.log_mel(on_device[:2]), scipy_log_mel(x[:2]), atol=1e-4
  )
  table(
    'log-mel, 64 × 10 s',
    'audio s/s',
    640,
    {
      'aec_jax': lambda: log_mel.log_mel(on_device).block_until_ready(),
      'scipy.fft, batched': lambda: scipy_log_mel(x),
      'scipy.fft, clip by clip': lambda: [scipy_log_mel(c) for c in x],
      f'librosa {librosa.__version__}': lambda: librosa_log_mel(x),
      'aec_jax, as 640 examples': lambda: log_mel.log_mel(
        pieces
      ).block_until_ready(),
    },
  )


def librosa_shift(x, rate, semitones):
  """librosa's pitch shift, then 16 kHz."""
  y = librosa.effects.pitch_shift(
    x, sr=rate, n_steps=semitones, res_type='soxr_hq'
  )
  return soxr.resample(y, rate, 16_000, 'HQ')


def librosa_prepare(x, rate):
  y, _ = librosa.effects.trim(x, top_db=60)
  y = librosa.util.normalize(y)
  return librosa.resample(y, orig_sr=rate, target_sr=16_000, res_type='soxr_hq')


def each(function, items):
  """What calls the function on every item."""
  return lambda: [function(*item) for item in items]


def time_preparation(clips) -> None:
  seconds = sum(len(x) / rate for x, rate in clips)
  print(f'\n{len(clips)} clips of {seconds / len(clips):.1f} s on average.')
  shifts = [(*clip, semitones(i)) for i, clip in enumerate(clips)]
  for title, items, functions in (
    ('pitch shift, to 16 kHz', shifts, {
      'aec_jax': lambda x, r, s: waveform.pitch_shift(x, r, s, 16_000),
      'librosa': librosa_shift,
    }),
    ('pitch shift, same rate', shifts, {
      'aec_jax': waveform.pitch_shift,
      'librosa': lambda x, r, s: librosa.effects.pitch_shift(
        x, sr=r, n_steps=s, res_type='soxr_hq'
      ),
    }),
    ('trim at 60 dB', clips, {
      'aec_jax': lambda x, _: waveform.trim_silence(x),
      'librosa': lambda x, _: librosa.effects.trim(x, top_db=60),
    }),
    ('trim, normalise, 16 kHz', clips, {
      'aec_jax prepare': waveform.prepare, 'librosa': librosa_prepare,
    }),
  ):  # fmt: skip
    timed = {name: each(f, items) for name, f in functions.items()}
    table(title, 'clips/s', len(items), timed)


def time_reading(clips) -> None:
  with tempfile.TemporaryDirectory() as folder:
    paths = [(os.path.join(folder, f'{i}.wav'),) for i in range(len(clips))]
    for (path,), (x, rate) in zip(paths, clips, strict=True):
      soundfile.write(path, x, rate, 'PCM_16')
    functions = {
      'aec_jax, checked': waveform.read,
      'librosa.load(sr=None)': lambda p: librosa.load(p, sr=None),
      'scipy.io.wavfile, to float': lambda p: (
        scipy.io.wavfile.read(p)[1] / np.float32(32_768)
      ),
    }
    timed = {name: each(f, paths) for name, f in functions.items()}
    table('read 16-bit wav', 'clips/s', len(clips), timed)


def ideal_log_mel(x, rate, semitones, centres):
  """What a perfect shift's log-mel would be: (frame, 64), float32.

  Played faster by the ratio, a recording has the shifted spectrum; its frame
  at time t / ratio is what the shifted recording should have at t.
  """
  ratio = 2.0 ** (semitones / 12)
  return frames_log_mel(
    waveform.resample(x, rate, 16_000 / ratio), centres / ratio
  )


def frames_log_mel(x, centres):
  """Log-mel of the frames centred on given samples: (frame, 64)."""
  starts = np.rint(centres).astype(int)
  x = np.pad(x, (200, max(0, starts[-1] + 200 - len(x))))
  frames = np.stack([x[i : i + 400] for i in starts])
  return np.asarray(log_mel.log_mel(frames))[:, 0]


def fidelity(clips) -> None:
  """Distance of shifted clips from the ideal, and how sharp attacks stay.

  Log-mel distance: mean over frames and bands of |shifted - ideal|. Attack
  correlation: of the rise of the log-mel from frame to frame, summed over
  bands, with the ideal's.
  """
  shifters = {
    'aec_jax': lambda x, r, s: waveform.pitch_shift(x, r, s, 16_000),
    'librosa at 44.1 kHz': librosa_shift,
    'librosa at 16 kHz': lambda x, r, s: librosa.effects.pitch_shift(
      soxr.resample(x, r, 16_000, 'HQ'),
      sr=16_000,
      n_steps=s,
      res_type='soxr_hq',
    ),
  }
  scores = {name: [] for name in shifters}
  for i, (x, rate) in enumerate(clips):
    x = waveform.peak_normalise(x[: 7 * rate])
    shift = semitones(i)
    centres = np.arange(0, len(x) * 16_000 // rate, 160)
    ideal = ideal_log_mel(x, rate, shift, centres)
    for name, shifter in shifters.items():
      got = frames_log_mel(shifter(x, rate, shift), centres)
      rises = [np.maximum(0, np.diff(y, axis=0)).sum(1) for y in (got, ideal)]
      scores[name].append(
        (np.abs(got - ideal).mean(), np.corrcoef(*rises)[0, 1])
      )
  ours = np.array(scores['aec_jax'])
  print('\n| pitch shift | log-mel distance | aec_jax nearer | attacks |')
  print('|---|---|---|---|')
  for name, values in scores.items():
    distance, attacks = np.nanmean(values, 0)
    nearer = np.mean(ours[:, 0] < np.array(values)[:, 0])
    share = '' if name == 'aec_jax' else f'{nearer:.0%} of clips'
    print(f'| {name} | {distance:.3f} | {share} | {attacks:.3f} |')


def main(_):
  print(f'Medians of five interleaved runs on {timing.hardware()},', end=' ')
  print(f'jax {jax.__version__} on {jax.default_backend()}.')
  time_log_mel()
  clips = load_clips()
  time_preparation(clips)
  time_reading(clips)
  fidelity(clips)


if __name__ == '__main__':
  app.run(main)
