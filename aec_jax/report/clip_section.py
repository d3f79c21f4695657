"""The section with pictures and players: the hardest and the surest clips."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from aec_jax.report import charts
from aec_jax.report.page import Block, Clip, Clips, Section, Text
from aec_jax.report.scored import Scored

_CLIPS = 6  # of the hardest, and of the surest
_GUESSES = 3


class Shown(NamedTuple):
  """What is to be seen and heard of a clip.

  Attributes:
    picture: (row, column), the first row at the bottom.
    what: the picture is.
    sound: a data URI, '' for none.
  """

  picture: np.ndarray
  what: str
  sound: str = ''


def clips(
  scored: Scored, single: bool, show: Callable[[str], Shown]
) -> Section:
  """The clips whose labels were least and most expected.

  Args:
    scored: the clips to choose from.
    single: whether each has one label.
    show: looks at a clip, given its id.
  """
  title = 'Hardest and surest clips'
  given = _given(scored)
  labelled = np.flatnonzero(scored.targets.any(1))
  order = labelled[np.argsort(given[labelled], kind='stable')]
  n = min(_CLIPS, len(order) // 2)
  if not n:
    return Section(title, [])
  rule = (
    'the probability of its label'
    if single
    else 'the geometric mean of the probabilities of its labels'
  )
  about = f'How sure the model is of a clip: {rule}.'
  hardest = [_clip(scored, i, given[i], show) for i in order[:n]]
  surest = [_clip(scored, i, given[i], show) for i in order[::-1][:n]]
  if any(clip.sound for clip in hardest + surest):
    about += ' Players have the first seconds, as the models hear them.'
  blocks: list[Block] = [
    Text(about),
    Clips(f'The {n} hardest clips', hardest),
    Clips(f'The {n} surest clips', surest),
  ]
  return Section(title, blocks)


def _given(scored) -> np.ndarray:
  """(clip,) mean log-probability of its labels, 0 where it has none."""
  logs = np.log(np.maximum(scored.probabilities, 1e-30, dtype=np.float64))
  counts = scored.targets.sum(1)
  return np.where(scored.targets, logs, 0).sum(1) / np.maximum(counts, 1)


def _clip(scored, i, given, show) -> Clip:
  name, found = scored.ids[i], scored.probabilities[i]
  labels = [scored.classes[k] for k in np.flatnonzero(scored.targets[i])]
  best = np.argsort(-found, kind='stable')[:_GUESSES]
  guesses = [f'{scored.classes[k]} {found[k]:.2f}' for k in best]
  shown = show(name)
  return Clip(
    name,
    [
      ('labels', '; '.join(labels)),
      ('guesses', '; '.join(guesses)),
      ('sureness', f'{np.exp(given):.3g}'),
    ],
    charts.png(shown.picture),
    f'{shown.what} of {name}',
    shown.sound,
  )
