"""The memory that preparing long recordings takes.

  python -m tests.long_recordings --recordings=1 --minutes=180 --workdir=DIR

Makes FLAC files of quiet noise at 44.1 kHz (one alone is silent) beside two
short clips, then their log-mel examples and those of pitch-shifted copies, and
prints the largest resident size after each.
"""

import argparse
import os
import resource
import sys
from pathlib import Path

import numpy as np
import soundfile

from aec_jax import presets
from aec_jax.features import log_mels
from configs import folder

RATE = 44_100  # Hz


def write(root: Path, recordings: int, minutes: int) -> Path:
  """A folder of two classes: long recordings and short clips."""
  rng = np.random.default_rng(0)
  for label in ('long', 'short'):
    (root / label).mkdir(parents=True)
  first = root / 'long' / '0.flac'
  with soundfile.SoundFile(first, 'w', RATE, 1) as file:
    for _ in range(minutes):
      noise = rng.standard_normal(60 * RATE) * (0.01 if recordings > 1 else 0)
      file.write(noise.astype(np.float32))
  for i in range(1, recordings):
    os.link(first, first.with_name(f'{i}.flac'))
  for i in range(2):
    noise = rng.uniform(-0.3, 0.3, 5 * RATE)
    soundfile.write(root / 'short' / f'{i}.wav', noise, RATE)
  return root


def peak_gb() -> float:
  """The largest resident size so far."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--recordings', type=int, default=1)
  parser.add_argument('--minutes', type=int, default=180)
  parser.add_argument('--workdir', type=Path, required=True)
  options = parser.parse_args()
  cache = options.workdir / 'cache'
  root = write(options.workdir / 'data', options.recordings, options.minutes)
  config = folder.get_config()
  config.data_dir, config.pitch_to = str(root), options.recordings + 1
  config = presets.resolve(config)
  clips = log_mels.list_clips(config, cache)
  print(f'{len(clips)} clips: {peak_gb():.2f} GB', flush=True)
  prepared = log_mels.prepare(config, clips, cache)
  print(f'{len(prepared.examples)} examples: {peak_gb():.2f} GB', flush=True)
  shifted = log_mels.pitch_shifted(config, clips, prepared, cache)
  count = len(shifted.examples) if shifted else 0
  print(f'{count} of shifted copies: {peak_gb():.2f} GB', flush=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
