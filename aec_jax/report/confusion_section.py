"""The section on confusions, for single labels: what is taken for what.

`results` is as in results.json.
"""

from collections.abc import Callable, Mapping

import numpy as np

from aec_jax.report import thesis
from aec_jax.report.class_sections import MANY, class_scores
from aec_jax.report.clip_section import Shown
from aec_jax.report.page import Block, Cell, Clip, Clips, Section, Table, Text
from aec_jax.report.scored import Scored, guessed

# A clip is taken for another class when more than so many of its class are
# (Table 16).
_CONFUSED = 0.05
# Clips to listen to: of one cell, and of all.
_OF_CELL, _OF_ALL = 3, 24


def confusions(
  results: Mapping, scored: Scored, show: Callable[[str], Shown]
) -> Section:
  """What the clips of each class are taken for, and some of them to hear."""
  size = len(scored.classes)
  counts = guessed(scored)
  blocks: list[Block] = [_taken_for(results, scored, counts)]
  if size > MANY:
    text = Text(f'A matrix of {size} classes is left out.')
    return Section('Confusions', [*blocks, text])
  behind = _behind(scored, show)
  matrix = _matrix(scored.classes, counts, {b.anchor for b in behind})
  return Section('Confusions', [*blocks, matrix, *behind])


def confused(counts: np.ndarray) -> list[list[int]]:
  """Which classes each is often taken for (thesis Table 16).

  Args:
    counts: (true class, guessed class), clips.

  Returns:
    For each class those, most frequent first, that more than 5 % of its clips
    are taken for.
  """
  clips = counts.sum(1, keepdims=True)
  often = counts > _CONFUSED * clips
  np.fill_diagonal(often, False)
  order = np.argsort(-counts, axis=1, kind='stable')
  return [
    [int(k) for k in row if often[true, k]] for true, row in enumerate(order)
  ]


def _taken_for(results, scored, counts) -> Table | Text:
  """Table 16, of FSDKaggle2018's classes with what the thesis has."""
  name, ap = class_scores(results)
  names, clips = scored.classes, counts.sum(1)
  theirs = _table_16(results)
  often = confused(counts)

  def row(k):
    shares = [f'{names[j]} ({counts[k, j] / clips[k]:.0%})' for j in often[k]]
    # A class may have no scored clip.
    ours = '—' if np.isnan(ap[k]) else f'{ap[k]:.3f}'
    cells = [names[k], ours, ', '.join(shares) or '—']
    if not theirs:
      return cells
    score, others = theirs.get(names[k], (None, ()))
    return [*cells, f'{score:.3f}' if score else '—', ', '.join(others) or '—']

  order = np.argsort(np.nan_to_num(ap, nan=2), kind='stable')
  rows = [row(k) for k in order if often[k] or names[k] in theirs]
  if not rows:
    return Text('No class is taken for another in more than 5 % of its clips.')
  table = ' (Table 16)' if results['expected'] else ''
  beside = [f'thesis, {name}', 'thesis, taken for'] if theirs else []
  return Table(
    'Classes that more than 5 % of a class’s clips are taken for, worst'
    f' class first{table}.',
    ['class', name, 'taken for', *beside],
    rows,
  )


def _table_16(results) -> dict:
  """The thesis's, of its model F, for experiments on its classes."""
  config = results['config']
  real = config.get('dataset') == 'fsdkaggle2018' and config.get('data_dir')
  return thesis.TABLE_16 if real and results['expected'] else {}


def _anchor(a: int, b: int) -> str:
  return f'taken-{a + 1}-{b + 1}'


def _matrix(names, counts, anchors) -> Table:
  """Clips by their class and by their first guess."""

  def cell(a, b):
    anchor = _anchor(a, b)
    return Cell(
      str(counts[a, b]),
      shade=counts[a, b] / counts[a].sum(),
      link=f'#{anchor}' if anchor in anchors else '',
    )

  def row(a):
    cells = [cell(a, b) if n else '' for b, n in enumerate(counts[a])]
    return [f'{a + 1} {names[a]}', *cells]

  more = ' A number leads to clips behind it.' if anchors else ''
  return Table(
    'Confusion matrix: clips of the class of a row whose first guess is the'
    f' class of a column. Columns have the rows’ numbers.{more}',
    ['class', *map(str, range(1, len(names) + 1))],
    [row(k) for k in range(len(names))],
    dense=True,
  )


def _behind(scored, show) -> list[Clips]:
  """The clips of the largest cells off the diagonal, the surest mistakes first.

  None where there is nothing to hear.
  """
  true, guess = scored.targets.argmax(1), scored.probabilities.argmax(1)
  pairs, sizes = np.unique(
    np.stack([true, guess])[:, true != guess], axis=1, return_counts=True
  )
  blocks, left = [], _OF_ALL
  for i in np.argsort(-sizes, kind='stable'):
    if not left:
      break
    a, b = (int(k) for k in pairs[:, i])
    clips = np.flatnonzero((true == a) & (guess == b))
    order = np.argsort(-scored.probabilities[clips, b], kind='stable')
    chosen = clips[order][: min(_OF_CELL, left)]
    cards = [_card(scored, clip, a, b, show) for clip in chosen]
    if not all(card.sound for card in cards):
      return []
    left -= len(cards)
    some = f', {len(cards)} of {len(clips)}' if len(cards) < len(clips) else ''
    blocks.append(
      Clips(
        f'{scored.classes[a]}, taken for {scored.classes[b]}{some}',
        cards, _anchor(a, b),
      )
    )  # fmt: skip
  return blocks


def _card(scored, clip, a, b, show) -> Clip:
  name, found = scored.ids[clip], scored.probabilities[clip]
  facts = [
    (what, f'{scored.classes[k]} {found[k]:.2f}')
    for what, k in (('is', a), ('taken for', b))
  ]
  return Clip(name, facts, sound=show(name).sound)
