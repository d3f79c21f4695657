"""Scores the events of a bundle on scenes whose onsets are known.

  python -m launch.scenes --bundle=DIR/bundle --clips=ESC10 --fold=4

Scenes of 30 s are made from the clips of one fold, which the bundle's models
should not have seen: five clips each, cut to what is loud in them, with gaps
between, over faint noise. Printed are F1 over segments of 1 s, F1 of events
(onsets within 0.5 s, offsets within 0.5 s or half of the event), both at the
thresholds that `predict --events` takes, and PSDS 1 and 2 of DCASE's Task 4.
Needs sed_scores_eval: pip install '.[sed]'.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from aec_jax import answers, asking
from aec_jax.audio import stream, waveform
from aec_jax.bundle import activity, embedded, events, store
from aec_jax.datasets import folders
from aec_jax.errors import UserError
from aec_jax.run import console

_RATE, _SECONDS, _CLIPS = 16_000, 30.0, 5
_NOISE = 1e-3  # of full scale
_LOUD = 30.0  # dB below the clip's peak, from where on it is heard
_PSDS = {
  'PSDS 1': {
    'dtc_threshold': 0.7, 'gtc_threshold': 0.7, 'alpha_ct': 0.0,
    'alpha_st': 1.0,
  },
  'PSDS 2': {
    'dtc_threshold': 0.1, 'gtc_threshold': 0.1, 'cttc_threshold': 0.3,
    'alpha_ct': 0.5, 'alpha_st': 1.0,
  },
}  # fmt: skip


class Scene(NamedTuple):
  """A made scene.

  Attributes:
    name: of it.
    samples: (sample,) at 16 kHz.
    truth: (onset, offset, class) of its events, seconds.
  """

  name: str
  samples: np.ndarray
  truth: list[tuple[float, float, str]]


def make(folder: str, fold: int, count: int, seed: int = 0) -> list[Scene]:
  """Makes scenes of the clips of a fold.

  Raises:
    UserError: the folder has no clips of that fold.
  """
  clips = folders.from_folder(folder)
  of_fold = np.flatnonzero(clips.fold == fold)
  if not len(of_fold):
    raise UserError(f'{folder} has no clips of fold {fold}')
  rng = np.random.default_rng(seed)
  return [
    _scene(f'scene {i}', clips, rng.choice(of_fold, _CLIPS), rng)
    for i in range(count)
  ]


def _scene(name, clips, chosen, rng) -> Scene:
  samples = _NOISE * rng.standard_normal(round(_SECONDS * _RATE))
  truth, at = [], 0.0
  for clip in chosen:
    sound, rate = waveform.read(clips.paths[clip])
    sound = waveform.prepare(sound, rate)
    sound = 0.5 * waveform.trim_silence(sound, _LOUD)
    at += rng.uniform(0.5, 1.5)
    first = round(at * _RATE)
    sound = sound[: len(samples) - first]
    if len(sound) < _RATE // 4:
      break
    samples[first : first + len(sound)] += sound
    end = (first + len(sound)) / _RATE
    label = clips.classes[clips.labels[clip]]
    truth.append((first / _RATE, end, label))
    at = end
  return Scene(name, samples.astype(np.float32), truth)


def scores(
  answer: answers.Events, scenes: Sequence[Scene], classes: Sequence[str],
  thresholds: np.ndarray, median: int,
) -> dict[str, float]:  # fmt: skip
  """F1 of segments and of events, and PSDS."""
  import sed_scores_eval as sed
  from sed_scores_eval.base_modules.scores import create_score_dataframe

  heard: dict[str, Any] = {}
  recordings = (stream.Recording.of_array(s.samples, _RATE) for s in scenes)
  parts: list = []
  waiting = iter(scenes)
  for some in answer.frames(recordings):
    parts.append(some)
    if some.last:
      p = np.concatenate([part.probabilities for part in parts])
      p = ndimage.median_filter(p, (median, 1), mode='nearest')
      times = parts[0].start + some.hop * np.arange(len(p) + 1)
      name = next(waiting).name
      heard[name] = create_score_dataframe(p, times, list(classes))
      parts = []
  truth = {s.name: s.truth for s in scenes}
  durations = {s.name: len(s.samples) / _RATE for s in scenes}
  limits = dict(zip(classes, np.nan_to_num(thresholds, nan=2.0), strict=True))
  segments = sed.segment_based.fscore(
    heard, truth, durations, limits, segment_length=1.0
  )
  collars = sed.collar_based.fscore(
    heard, truth, limits, onset_collar=0.5, offset_collar=0.5,
    offset_collar_rate=0.5,
  )  # fmt: skip
  found = {
    'F1 of segments, macro': segments[0]['macro_average'],
    'F1 of segments, micro': segments[0]['micro_average'],
    'F1 of events, macro': collars[0]['macro_average'],
    'F1 of events, micro': collars[0]['micro_average'],
  }
  for name, how in _PSDS.items():
    value = sed.intersection_based.psds(heard, truth, durations, **how)
    found[name] = value[0]
  return {name: float(value) for name, value in found.items()}


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.BundleParser(__doc__)
  parser.add_argument('--clips', required=True, help='A folder of ESC-10.')
  parser.add_argument('--fold', type=int, default=4, help='[4]')
  parser.add_argument('--scenes', type=int, default=20, help='[20]')
  parser.add_argument('--hop', type=float, help='[a quarter of a segment]')
  arguments = parser.parse_args(argv)
  arguments.threshold = arguments.precision = None
  tagger = store.from_arguments(arguments)
  per_segment = embedded.check_hop(
    tagger, arguments.hop or tagger.spec.seconds / 4
  )
  hop = tagger.spec.seconds / per_segment
  median = events.median_frames(None, hop, per_segment)
  thresholds = asking.thresholds(tagger, arguments)
  scenes = make(arguments.clips, arguments.fold, arguments.scenes)
  told = sum(len(scene.truth) for scene in scenes)
  print(f'{len(scenes)} scenes of {_SECONDS:g} s, {told} events, hop {hop:g} s')
  columns = {}
  for by in (
    ('pieces', 'attention')
    if activity.default(tagger) != 'pieces'
    else ('pieces',)
  ):
    answer = answers.Events(tagger, per_segment, by, median, thresholds)
    columns[by] = scores(answer, scenes, tagger.classes, thresholds, median)
  rows = [('', *(f'by {by}' for by in columns))]
  for name in next(iter(columns.values())):
    rows.append((name, *(f'{found[name]:.3f}' for found in columns.values())))
  print(console.table(rows))
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
