"""The section with pictures and players: the hardest and the surest clips."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from aec_jax.report import charts
from aec_jax.report.page import Block, Clip, Clips, Section, Text
from aec_jax.report.scored import Scored

_CLIPS = 6  # of the hardest, and of the surest
_GUESSES = 3

_HEEDED = (
  ' Beneath a picture, on its time axis: the attention to each segment, in'
  ' multiples of even attention, from 0 to the most or 2; the line is 1. It is'
  ' the mean over levels, the members that score the clip, and its labels.'
)
_NOT_AT_HAND = (
  ' Where the models listen is left out: the clips’ embeddings are not in the'
  ' cache any more.'
)

# Of clip ids the attention to each one's segments, (segment, class) in
# multiples of even attention; nothing where that is not at hand.
Listen = Callable[[Sequence[str]], Sequence[np.ndarray]]


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
  scored: Scored,
  single: bool,
  show: Callable[[str], Shown],
  listen: Listen | None = None,
) -> Section:
  """The clips whose labels were least and most expected.

  Args:
    scored: the clips to choose from.
    single: whether each has one label.
    show: looks at a clip, given its id.
    listen: says where models with attention listen; None without attention.
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
  chosen = [*order[:n], *order[::-1][:n]]
  cards = [_clip(scored, i, given[i], show) for i in chosen]
  if any(clip.sound for clip in cards):
    about += ' Players have the first seconds, as the models hear them.'
  if listen and (heeded := listen([scored.ids[i] for i in chosen])):
    about += _HEEDED
    cards = [
      _listened(card, values[:, scored.targets[i]].mean(1))
      for i, card, values in zip(chosen, cards, heeded, strict=True)
    ]
  elif listen:
    about += _NOT_AT_HAND
  blocks: list[Block] = [
    Text(about),
    Clips(f'The {n} hardest clips', cards[:n]),
    Clips(f'The {n} surest clips', cards[n:]),
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


def _listened(card: Clip, heeded: np.ndarray) -> Clip:
  """A card with the attention (segment,) to each segment of its clip."""
  most, least = int(heeded.argmax()), int(heeded.argmin())
  peak = f'{heeded[most]:.2g} × even, in segment {most + 1} of {len(heeded)}'
  alt = (
    f'attention to the segments of {card.name}: at most {peak}; at least'
    f' {heeded[least]:.2g} × even, in segment {least + 1}'
  )
  return dataclasses.replace(
    card,
    facts=[*card.facts, ('attention', f'at most {peak}')],
    strip=charts.strip(heeded, alt),
  )
