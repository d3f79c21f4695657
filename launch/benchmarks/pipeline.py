"""From files to embeddings and to log-mel examples, end to end.

  python -m launch.benchmarks.pipeline --pca=vggish_pca_params.npz \
      [--clips=FSDKAGGLE2018]

Needs `pip install torch`, and for the rows of torchvggish's own resampler
`resampy`; about five minutes on two cores.

Embeddings: wavs of 10 s at 44.1 kHz are decoded, resampled, made log-mel,
embedded by VGGish at full width, and go through PCA to uint8: what
`launch.prepare` does, its TFRecord file included, beside `torch_vggish` in
float32, whose first row the ratios are to, and in bfloat16 by autocast.

Log-mel examples, where the clips are given: the stages of an experiment on
FSDKaggle2018, on some of its clips, beside librosa's functions, both on all
cores; and from those rates the time for all of it.
"""

import argparse
import concurrent.futures
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from aec_jax import presets
from aec_jax.audio import waveform
from aec_jax.datasets import tfrecord
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.features import embedded_recordings, log_mels
from aec_jax.input import pieces
from aec_jax.models import convert
from aec_jax.run.console import table
from configs import dcase_l6
from launch.benchmarks import audio, timing, torch_vggish

FILES, SECONDS, RATE = 16, 10, 44_100
# Of FSDKaggle2018: its training clips, and the copies that make 600 a class.
CLIPS, COPIES = 9_473, 15_127
TAKEN, COPIES_OF_A_CLASS = 64, 16


def write_inputs(folder: Path) -> tuple[list[str], str]:
  """Wavs of noise and random weights: their paths."""
  rng = np.random.default_rng(0)
  paths = [str(folder / f'{i}.wav') for i in range(FILES)]
  for path in paths:
    samples = 0.1 * rng.standard_normal(SECONDS * RATE)
    soundfile.write(path, samples, RATE, 'PCM_16')
  # He's scale, so that the outputs are neither all 0 nor all saturated.
  weights = {
    name: rng.standard_normal(shape, np.float32)
    * np.float32(np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else 0)
    for name, shape in convert.shapes().items()
  }
  convert.save(str(folder / 'vggish.npz'), weights)
  return paths, str(folder / 'vggish.npz')


def time_embedding(pca: str, folder: Path, runs: int) -> str:
  paths, weights = write_inputs(folder)
  net = torch_vggish.network(np.load(weights, allow_pickle=False))
  parameters = torch_vggish.load_pca(pca)
  shard = embedded_recordings.Shard(
    str(folder / 'out.tfrecord'),
    tuple(embedded_recordings.Recording(p, p, 0.0, ()) for p in paths),
    weights,
    pca,
  )

  def theirs(resample, dtype='float32'):
    return lambda: [
      torch_vggish.embed(path, net, parameters, resample, dtype)
      for path in paths
    ]

  resamplers = {'soxr': torch_vggish.soxr_hq}
  if timing.has('resampy'):
    resamplers['resampy as torchvggish'] = torch_vggish.resampy_best
  rows = {'aec_jax': lambda: embedded_recordings.write(shard)}
  for name, resample in resamplers.items():
    rows[f'PyTorch, {name}'] = theirs(resample)
    rows[f'PyTorch, {name}, bfloat16'] = theirs(resample, 'bfloat16')
  rows['aec_jax']()
  check_equal(shard.path, rows['PyTorch, soxr']())
  taken = timing.interleaved(rows, runs)
  peer = taken['PyTorch, soxr']
  out = [('wav to embeddings', 'files/s', 'audio s/s', 'ratio')]
  for name, seconds in taken.items():
    rate = FILES / seconds.wall
    ratio = peer.wall / seconds.wall
    out.append((name, f'{rate:.1f}', f'{SECONDS * rate:.0f}', f'{ratio:.2f}'))
  return table(out)


def check_equal(path: str, theirs: list[np.ndarray]) -> None:
  """Our records and their embeddings, but for steps of the quantisation."""
  ours = [
    np.frombuffer(frame, np.uint8)
    for payload, _ in tfrecord.walk(path)
    for frame in tfrecord.embeddings_of(payload)[1]
  ]
  difference = np.abs(np.stack(ours).astype(int) - np.concatenate(theirs))
  if difference.max() > 2:
    raise AssertionError(f'embeddings differ by up to {difference.max()}')


def time_preparation(data: str, folder: Path, runs: int) -> str:
  config = dcase_l6.get_config()
  config.data_dir = data
  config.pitch_to = COPIES_OF_A_CLASS
  config = presets.resolve(config)
  listed = from_fsdkaggle2018(data)
  training = np.flatnonzero(listed.split == 'train')
  order = np.random.default_rng(0).permutation(training)
  listed = listed.select(np.sort(order[:TAKEN]))
  prepared = log_mels.prepare(config, listed, folder)
  of, semitones = pieces.shifts(
    prepared.labels.ids, COPIES_OF_A_CLASS, config.seed
  )
  jobs = {'prepare': [(p, 0) for p in listed.paths]}
  jobs['pitch-shift'] = list(zip(listed.paths[of], semitones, strict=True))
  fresh = (folder / str(i) for i in itertools.count())
  rows = {
    'prepare': lambda: log_mels.prepare(config, listed, next(fresh)),
    'prepare, librosa': lambda: librosa_examples(jobs['prepare']),
    'pitch-shift': lambda: log_mels.pitch_shifted(
      config, listed, prepared, next(fresh)
    ),
    'pitch-shift, librosa': lambda: librosa_examples(jobs['pitch-shift']),
  }
  taken = timing.interleaved(rows, runs)
  seconds = [soundfile.info(p).duration for p in listed.paths]
  out = [(f'{TAKEN} clips of {np.mean(seconds):.1f} s', 'clips/s', 'all, min')]
  for name, spent in taken.items():
    done, whole = (
      (TAKEN, CLIPS) if name.startswith('prepare') else (len(of), COPIES)
    )
    rate = done / spent.wall
    out.append((name, f'{rate:.0f}', f'{whole / rate / 60:.1f}'))
  return table(out)


def librosa_examples(jobs) -> None:
  """Log-mel of (path, semitones) each, on all cores, by librosa."""

  def one(job):
    path, semitones = job
    x, rate = soundfile.read(path, dtype='float32')
    if semitones:
      x = audio.librosa_shift(x, rate, int(semitones))
    else:
      x = audio.librosa_prepare(x, rate)
    return audio.librosa_log_mel(waveform.fit_length(x, 15_600))

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(one, jobs))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--pca', required=True)
  parser.add_argument('--clips', help='FSDKaggle2018, or some of it')
  parser.add_argument('--runs', type=int, default=5)
  args = parser.parse_args()
  print(f'Medians of {args.runs} interleaved runs on {timing.hardware()}.')
  with tempfile.TemporaryDirectory() as folder:
    print('\n' + time_embedding(args.pca, Path(folder), args.runs), flush=True)
    if args.clips:
      print('\n' + time_preparation(args.clips, Path(folder), args.runs))


if __name__ == '__main__':
  main()
