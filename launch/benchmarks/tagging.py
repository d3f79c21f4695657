"""Hours of sound tagged a second, beside PANNs' and BirdNET's networks.

  python -m launch.benchmarks.tagging [--seconds=30] [--runs=5]

Needs `pip install torch`; three minutes of processor time. Waveforms in memory,
each at its network's own rate, become probabilities: by a bundle of
`audioset_level3` with VGGish of full width, its PCA and its classifier; and by
the networks of `torch_tagging`, which says what they are, BirdNET's by
TensorFlow Lite as well, which is how it is run. All have random weights, share
a process and its cores, and take turns. "network" begins at the spectrograms.
GFLOP are those of its convolutions and products as they are usually counted,
before Winograd. They differ in more than speed: ours takes 0.96 s at 16 kHz and
gives 527 classes; CNN14 10 s at 32 kHz, 527; BirdNET 3 s at 48 kHz, 6,522.
"""

import argparse
import os
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import jax
import jax.numpy as jnp
import numpy as np

from aec_jax import presets
from aec_jax.bundle.network import Ensemble, modules
from aec_jax.bundle.tagger import Tagger
from aec_jax.input import pieces
from aec_jax.models import embedding_postprocess, extractors
from aec_jax.run import memory
from aec_jax.run.console import table
from configs import audioset_level3
from launch.benchmarks import timing
from launch.benchmarks.vggish import GFLOP_PER_PATCH

CLASSES, CLIP, RATE = 527, 10, 16_000  # AudioSet's clips, of ten segments
# Turns are of whole clips of both peers, 10 and 3 s.
WHOLE = 30
# What a bundle of AudioSet's embeddings does before log-mel, and in what that
# is kept.
_AS_IT_IS = {'trim_db': None, 'peak_normalise': False, 'precision': 'float32'}


class Contender(NamedTuple):
  """What tags so much sound, from the waveform and from spectrograms."""

  whole: Callable[[], object]
  network: Callable[[], object]
  gflop: float  # of the network, a second of sound


def random_tagger() -> Tagger:
  """A bundle's, of `audioset_level3` and VGGish of full width."""
  config = presets.resolve(audioset_level3.get_config())
  section = config.extractor
  info = {
    'objective': config.objective,
    'classes': [str(k) for k in range(CLASSES)],
    'front_end': _AS_IT_IS | extractors.front_end(section).record(),
    'extractor': section.to_dict(),
    'model': config.model.to_dict(),
    'ensembles': [CLIP],
  }
  vggish, classifier = modules(info)
  assert classifier is not None  # there is an ensemble
  keys = jax.random.split(jax.random.key(0))
  hears = jax.jit(vggish.init)(keys[0], jnp.zeros((1, 96, 64)))
  segments = jnp.zeros((1, CLIP, 128))
  says = jax.jit(classifier.init)(keys[1], segments, jnp.ones((1, CLIP), bool))
  member = jax.tree.map(lambda x: x[None], says)
  ensemble = Ensemble(CLIP, 'mask', np.zeros(1, np.int32), (), member)
  pca = embedding_postprocess.Pca(np.eye(128, dtype='f4'), np.zeros(128, 'f4'))
  return Tagger(info, [hears], [ensemble], pca)


def noise(seconds: int, rate: int) -> np.ndarray:
  """(sample,) float32."""
  rng = np.random.default_rng(0)
  return rng.uniform(-0.5, 0.5, seconds * rate).astype(np.float32)


def ours(seconds: int) -> Contender:
  """Of so many seconds, as clips."""
  tagger, count = random_tagger(), seconds // CLIP
  clips = list(noise(seconds, RATE).reshape(count, -1))
  log_mels = noise(seconds, 96 * 64).reshape(-1, 96, 64)
  parts = np.split(log_mels, range(tagger.together, seconds, tagger.together))
  cut = pieces.cut(CLIP * np.arange(count + 1), CLIP, 'mask')
  extract = jax.jit(tagger.extract)

  def network():
    found = [np.asarray(extract(tagger.extractors[0], x)) for x in parts]
    embeddings = np.concatenate(found)[None]
    return tagger.pieces(
      tagger.ensembles[0], embeddings, cut.segments, cut.n_segments
    )

  # Ten patches of 0.96 s a clip.
  return Contender(
    lambda: tagger.predict(clips, RATE), network, GFLOP_PER_PATCH
  )


def theirs(seconds: int) -> dict[str, Contender]:
  """Of so many seconds; none where PyTorch is not installed."""
  if not timing.has('torch'):
    print('PyTorch is not installed: left out')
    return {}
  from launch.benchmarks import torch_tagging

  found = {
    name: _of_peer(peer, seconds, peer.gflop)
    for name, peer in torch_tagging.peers().items()
  }
  if timing.has('tensorflow'):
    from launch.benchmarks import tflite_birdnet

    gflop = found[torch_tagging.BIRDNET].gflop
    name = f'{torch_tagging.BIRDNET}, TensorFlow Lite'
    found[name] = _of_peer(tflite_birdnet.Peer(), seconds, gflop)
  return found


def _of_peer(peer, seconds: int, gflop: float) -> Contender:
  waveform = noise(seconds, peer.rate)
  spectrograms = peer.spectrograms(waveform)
  return Contender(
    lambda: peer.tag(peer.spectrograms(waveform)),
    lambda: peer.tag(spectrograms),
    gflop,
  )


def report(
  contenders: dict[str, Contender], kind: str, seconds: int, runs: int
) -> str:
  """A table; ours beside each by the clock and by processor time.

  Args:
    contenders: of which the first is ours.
    kind: 'whole' or 'network'.
    seconds: of sound, in a turn.
    runs: turns.
  """
  taken = timing.interleaved(
    {name: getattr(c, kind) for name, c in contenders.items()}, runs
  )
  base = next(iter(taken.values()))
  rows = [
    (kind, 'hours/s', 'ours to it', 'processor s/hour', 'ours to it',
     'GFLOP/s of sound')
  ]  # fmt: skip
  for name, spent in taken.items():
    rows.append(
      (name, f'{seconds / spent.wall / 3600:.4f}',
       f'{spent.wall / base.wall:.2f}',
       f'{3600 * spent.processor / seconds:.0f}',
       f'{spent.processor / base.processor:.2f}',
       f'{contenders[name].gflop:.2f}')
    )  # fmt: skip
  return table(rows)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--seconds', type=int, default=WHOLE, help='of a turn')
  parser.add_argument('--runs', type=int, default=5)
  args = parser.parse_args()
  if args.seconds <= 0 or args.seconds % WHOLE:
    parser.error(f'--seconds is {args.seconds}, no multiple of {WHOLE}')
  timing.check_device('cpu')
  memory.keep_freed()
  print(f'Medians of {args.runs} interleaved runs on {timing.hardware()}.')
  contenders = {'aec_jax': ours(args.seconds), **theirs(args.seconds)}
  for kind in ('whole', 'network'):
    print('\n' + report(contenders, kind, args.seconds, args.runs), flush=True)


if __name__ == '__main__':
  main()
