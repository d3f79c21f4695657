"""What a report shows of clips: their distribution, pictures and sounds, and
what it says of them by their embeddings.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aec_jax.audio import FrontEnd
from aec_jax.datasets.clips import Clips
from aec_jax.features import clip_sounds, embeddings
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input.folds import fold_of, scored_apart
from aec_jax.report import charts
from aec_jax.report.clip_section import Shown
from aec_jax.report.listening import Embedded

_QUARTILES = np.linspace(0, 1, 5)
_HEARD = 10  # seconds of a clip that the report plays


def distribution(clips: Clips, prepared: ClipExamples) -> dict:
  """What Figures 33 and 34 show, by class.

  Returns:
    'clips' of each split; of the training clips the share that a person has
    'verified', and the least, the quartiles and the most of their 'seconds'.
  """
  classes, training = prepared.classes, ~scored_apart(prepared.split)
  seconds = clips.select(prepared.source[training]).seconds()
  verified = prepared.verified[training]
  out: dict[str, dict] = {'clips': {}, 'verified': {}, 'seconds': {}}
  for split in ('train', 'validation', 'test'):
    found = prepared.labels.select(prepared.split == split)
    if len(found):
      counts = found.class_counts().tolist()
      out['clips'][split] = dict(zip(classes, counts, strict=True))
  has = prepared.labels.select(training).multi_hot()
  for k, name in enumerate(classes):
    mine = has[:, k]
    if mine.any():
      known = seconds[mine & ~np.isnan(seconds)]
      quartiles = np.quantile(known if known.size else [0.0], _QUARTILES)
      out['verified'][name] = float(verified[mine].mean())
      out['seconds'][name] = quartiles.round(2).tolist()
  return out


def show_clip(
  clips: Clips, prepared: ClipExamples, clip_id: str, spec: FrontEnd
) -> Shown:
  """A clip's log-mel examples side by side, and its first seconds."""
  i = int(np.flatnonzero(prepared.ids == clip_id)[0])
  examples = prepared.examples[prepared.offsets[i] : prepared.offsets[i + 1]]
  samples = clip_sounds.first_seconds(clips, prepared.source[i], spec, _HEARD)
  return Shown(
    np.concatenate(examples).T,
    'log-mel spectrogram',
    charts.mp3(samples, spec.sample_rate),
  )


def embedded_clip(
  config, prepared: ClipExamples, clip_id: str, keys: Sequence[str],
  cache_dir: str | Path,
) -> Embedded | None:  # fmt: skip
  """A clip as the classifiers take it; None where it has left the cache.

  No extractor is asked: of an experiment that was finished before, none is
  loaded.

  Args:
    config: of the experiment.
    prepared: its clips.
    clip_id: one of them.
    keys: (extractor,) as `embeddings.embed` takes them.
    cache_dir: of the stages.
  """
  i = int(np.flatnonzero(prepared.ids == clip_id)[0])
  mine = slice(prepared.offsets[i], prepared.offsets[i + 1])
  rows = []
  for key in keys:
    of_all = embeddings.embedded_already(prepared, key, cache_dir)
    if of_all is None:
      return None
    rows.append(of_all[mine])
  apart = scored_apart(prepared.split).any()
  fold = None if apart else int(fold_of(config, prepared)[i])
  return Embedded(np.stack(rows), fold)
