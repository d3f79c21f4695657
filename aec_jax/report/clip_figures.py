"""What a report shows of clips: their distribution, pictures and sounds."""

import concurrent.futures

import numpy as np
import soundfile

from aec_jax import report
from aec_jax.audio import FRONT_END, waveform
from aec_jax.datasets.clips import Clips
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input.folds import scored_apart
from aec_jax.report import charts

_HEARD = 10  # seconds of a clip that the report plays


def distribution(clips: Clips, prepared: ClipExamples) -> dict:
  """What Figures 33 and 34 show, by class.

  Returns:
    'clips' of each split; of the training clips the share that a person has
    'verified', and the least, the quartiles and the most of their 'seconds'.
  """
  classes, training = prepared.classes, ~scored_apart(prepared)
  paths = clips.paths[prepared.source[training]]
  # Threads, as headers may come over a network.
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    seconds = np.array(list(pool.map(_seconds, paths)))
  labels, verified = prepared.labels[training], prepared.verified[training]
  out = {'clips': {}, 'verified': {}, 'seconds': {}}
  for split in ('train', 'test'):
    found = prepared.labels[prepared.split == split]
    if found.size:
      counts = np.bincount(found, minlength=len(classes)).tolist()
      out['clips'][split] = dict(zip(classes, counts, strict=True))
  for k, name in enumerate(classes):
    mine = labels == k
    if mine.any():
      quartiles = np.quantile(seconds[mine], np.linspace(0, 1, 5))
      out['verified'][name] = float(verified[mine].mean())
      out['seconds'][name] = quartiles.round(2).tolist()
  return out


def _seconds(path):
  return soundfile.info(path).duration


def show_clip(clips: Clips, prepared: ClipExamples, clip_id) -> report.Shown:
  """A clip's log-mel examples side by side, and its first seconds."""
  i = int(np.flatnonzero(prepared.ids == clip_id)[0])
  examples = prepared.examples[prepared.offsets[i] : prepared.offsets[i + 1]]
  samples = waveform.prepare(*waveform.read(clips.paths[prepared.source[i]]))
  samples = samples[: _HEARD * FRONT_END.sample_rate]
  return report.Shown(
    np.concatenate(examples).T,
    'log-mel spectrogram',
    charts.mp3(samples, FRONT_END.sample_rate),
  )
