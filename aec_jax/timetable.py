"""How long the stages of a run will take, as earlier runs have left it.

What a run has to do is `Sizes`; `seconds` makes times of it, by the rates in
the cache (`run.rates`).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.features import embeddings
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import folds, pieces
from aec_jax.models import extractors
from aec_jax.run import rates
from aec_jax.train import classifiers, extractor
from aec_jax.train.start import Start

_SAID = {
  'prepare': 'preparing',
  'fine_tune': 'fine-tuning',
  'embed': 'pitch-shifting and embedding',
  'train': 'training',
}


class Sizes(NamedTuple):
  """What a run has to do.

  Attributes:
    clips: to prepare; 0 where they are.
    copies: to pitch-shift.
    examples: of the clips and their copies, which every extractor embeds.
    extractors: how many embed.
    untrained: how many of them are to be fine-tuned.
    members: of an ensemble.
    classes: that are told apart.
    whole: segments of an example where clips are left whole.
  """

  clips: int
  copies: int
  examples: int
  extractors: int
  untrained: int
  members: int
  classes: int
  whole: int


def of_embeddings(config, classes: int, unpacked: int = 0) -> Sizes:
  """Of a run on AudioSet's embeddings.

  Args:
    config: of the experiment.
    classes: how many.
    unpacked: files that are not packed yet.
  """
  return Sizes(unpacked, 0, 0, 0, 0, config.members, classes, MAX_SEGMENTS)


def of_prepared(
  config, prepared: ClipExamples, start: Start, cache_dir
) -> Sizes:
  """Of a run whose clips are prepared.

  Args:
    config: of the experiment.
    prepared: its clips.
    start: what its extractors start from.
    cache_dir: of the stages.
  """
  jobs = folds.extractor_jobs(config, prepared)
  untrained = [
    job.sampling != 'none'  # it is taken as it is
    and not extractor.folder_of(
      config, prepared, job, start, cache_dir
    ).exists()
    for job in jobs
  ]
  training = prepared.labels.select(prepared.split == 'train')
  count = np.diff(prepared.offsets)
  sizes = of_recordings(
    config, training, prepared.split, prepared.fold, count,
    len(prepared.classes),
  )  # fmt: skip
  return sizes._replace(clips=0, extractors=len(jobs), untrained=sum(untrained))


def of_recordings(
  config, training, split: np.ndarray, fold: np.ndarray, examples: np.ndarray,
  classes: int,
) -> Sizes:  # fmt: skip
  """Of a run that has nothing yet.

  Args:
    config: of the experiment.
    training: `Labels` of the clips that train.
    split, fold: of all clips, as `folds.Folded` has them.
    examples: (clip,) of all clips.
    classes: how many.
  """
  copies = 0
  if config.pitch_to:
    of, _ = pieces.shifts(
      training.ids, config.pitch_to, config.seed, training.offsets
    )
    copies = len(of)
  count = int(examples.sum())
  left_out = len(folds.left_out(config, split, fold))
  members = len(config.extractors) * left_out
  apart = folds.scored_apart(split).any()
  embedding = len(config.extractors) if apart else members
  # 'original' is taken as it is.
  tuned = len(config.extractors) - config.extractors.count('original')
  return Sizes(
    len(split), copies, count + copies * count // len(split), embedding,
    embedding // len(config.extractors) * tuned, members, classes,
    int(examples.max()),
  )  # fmt: skip


def seconds(
  config, sizes: Sizes, cache_dir: str | Path
) -> dict[str, float | None]:
  """At most, of each stage; None where no earlier run has left its rate."""
  trained: list[float | None] = []
  if not extractors.row(config.extractor).classifies:
    trained = [
      of_members(config, sizes, length, cache_dir) for length in config.segments
    ]
  examples = sizes.extractors * sizes.examples
  return {
    'prepare': of_clips(config, sizes, cache_dir),
    'fine_tune': of_extractors(config, sizes.untrained, cache_dir),
    'embed': _total(
      of_copies(config, sizes, cache_dir),
      of_embedding(config, examples, cache_dir),
    ),
    'train': _total(*trained),
  }


def of_clips(config, sizes: Sizes, cache_dir) -> float | None:
  """Seconds that the clips are prepared."""
  if sizes.clips and extractors.row(config.extractor).quantised:
    return None  # no rate is kept of packing
  spec = extractors.front_end(config.extractor)
  return rates.expected(cache_dir, 'prepare', spec, sizes.clips)


def of_extractors(config, count: int, cache_dir) -> float | None:
  """Seconds that so many are fine-tuned, at most."""
  costs = embeddings.step_costs(config.extractor)
  # AudioSet's embeddings have no steps, and nothing to train.
  steps = count and count * config.extractor.max_steps
  return rates.expected(cache_dir, 'fine-tune', costs, steps)


def of_copies(config, sizes: Sizes, cache_dir) -> float | None:
  """Seconds that the copies are pitch-shifted."""
  spec = extractors.front_end(config.extractor)
  return rates.expected(cache_dir, 'pitch-shift', spec, sizes.copies)


def of_embedding(config, examples: int, cache_dir) -> float | None:
  """Seconds that an extractor embeds so many examples."""
  costs = embeddings.step_costs(config.extractor)
  return rates.expected(cache_dir, 'embed', costs, examples)


def of_members(config, sizes: Sizes, length: int, cache_dir) -> float | None:
  """Seconds that the members on pieces of one length train, at most."""
  costs = classifiers.step_costs(
    config, length, sizes.members, sizes.classes, length or sizes.whole
  )
  return rates.expected(cache_dir, 'train', costs, config.max_steps)


def in_all(found: dict[str, float | None]) -> str:
  """'at most about 2 h 05 min', or what it is not known for."""
  unknown = [_SAID[stage] for stage, value in found.items() if value is None]
  if unknown:
    return f'unknown: no earlier run has left a rate of {", ".join(unknown)}'
  return f'at most {rates.words(sum(filter(None, found.values())))}'


def _total(*some: float | None) -> float | None:
  known = [value for value in some if value is not None]
  return sum(known) if len(known) == len(some) else None
