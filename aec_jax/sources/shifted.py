"""Clips that are scored cut at several shifts, through their extractors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax.features.embeddings import Shifted, embed
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import shifts
from aec_jax.input.folds import Member
from aec_jax.models import extractors
from aec_jax.sources.trained import Trained


def segments(
  config,
  clips: ClipExamples,
  outputs: np.ndarray,
  trained: Sequence[Trained],
  members: Sequence[Member],
  cache_dir: str | Path,
) -> tuple[np.ndarray, list[np.ndarray]]:
  """What extractors make of clips, cut at each of `config.test_shifts`.

  Args:
    config: of the experiment.
    clips: that are scored, and perhaps more.
    outputs: (extractor, segment, feature) of them as they are.
    trained: the extractors.
    members: an extractor gets the clips that some member scores on it.
    cache_dir: of the stages.

  Returns:
    (extractor, segment, feature), one cut after the other, NaN where no member
    asks; and (clip + 1,) offsets of each cut, as `pieces.cut_all` takes them.
  """
  count, first = config.test_shifts, len(clips.examples)
  step = extractors.front_end(config.extractor).step
  every = np.concatenate([member.scored for member in members])
  offsets = shifts.cuts(clips.offsets, every, count)
  rows = shifts.firsts(clips.offsets, every)
  say_short(clips.offsets, every)
  shape = len(trained), offsets[-1][-1], outputs.shape[-1]
  table = np.full(shape, np.nan, np.float32)
  table[:, :first] = outputs
  for i, extractor in enumerate(trained):
    scored = [m.scored for m in members if m.extractor == i]
    mine = shifts.firsts(clips.offsets, np.concatenate([every[:0], *scored]))
    if not len(mine):
      continue
    found = embed(
      config.extractor, len(clips.classes), clips, extractor.variables,
      extractor.key, cache_dir, Shifted(clips, mine, count, step),
    )  # fmt: skip
    later = table[i, first:].reshape(count - 1, len(rows), -1)
    at = np.searchsorted(rows, mine)
    later[:, at] = found.reshape(count - 1, len(mine), -1)
  return table, offsets


def say_short(offsets, scored) -> None:
  """Says how many clips have no later cut.

  Args:
    offsets: (clip + 1,) of the examples.
    scored: (any,) clips, some perhaps more than once.
  """
  counts = np.diff(offsets)[np.unique(scored)]
  short = int(np.sum(counts < 2))
  if short:
    logging.info(
      'config.test_shifts: %s of %s scored clips are shorter than two examples,'
      ' and are cut once',
      f'{short:,}', f'{len(counts):,}',
    )  # fmt: skip
