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
_OF_CELL, _OF_ALL = 3, 48
# Mistaken clips that are listed by name.
_LISTED = 500


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
  return Section('Confusions', [*blocks, matrix, *_listed(scored), *behind])


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
  """Clips of the cells off the diagonal, the surest mistakes first.

  Of each cell one, as far as they go, before there is a second one of any. None
  where there is nothing to hear.
  """
  cells = _mistakes(scored)
  blocks = []
  heard = _shared_out([len(clips) for _, _, clips in cells])
  for (a, b, clips), count in zip(cells, heard, strict=True):
    if not count:
      break
    cards = [_card(scored, clip, a, b, show) for clip in clips[:count]]
    if not all(card.sound for card in cards):
      return []
    some = f', {len(cards)} of {len(clips)}' if len(cards) < len(clips) else ''
    blocks.append(
      Clips(
        f'{scored.classes[a]}, taken for {scored.classes[b]}{some}',
        cards, _anchor(a, b),
      )
    )  # fmt: skip
  return blocks


def _mistakes(scored) -> list[tuple[int, int, np.ndarray]]:
  """(class, first guess, clips) off the diagonal, the most clips first.

  Of those of a cell, the surest mistake comes first.
  """
  true, guess = scored.targets.argmax(1), scored.probabilities.argmax(1)
  pairs = np.unique(np.stack([true, guess])[:, true != guess], axis=1)
  cells = []
  for a, b in pairs.T.tolist():
    clips = np.flatnonzero((true == a) & (guess == b))
    order = np.argsort(-scored.probabilities[clips, b], kind='stable')
    cells.append((a, b, clips[order]))
  return sorted(cells, key=lambda cell: -len(cell[2]))


def _shared_out(sizes: list[int]) -> list[int]:
  """How many clips of each cell are to be heard, of sizes that descend."""
  heard = [0] * len(sizes)
  for most in range(1, _OF_CELL + 1):
    for i, size in enumerate(sizes):
      if size >= most and sum(heard) < _OF_ALL:
        heard[i] = most
  return heard


def _listed(scored) -> list[Table]:
  """All mistaken clips by name, in the order of `_mistakes`."""
  every = [(a, b, i) for a, b, clips in _mistakes(scored) for i in clips]
  rows = [
    [
      str(scored.ids[i]),
      scored.classes[a], f'{scored.probabilities[i, a]:.3f}',
      scored.classes[b], f'{scored.probabilities[i, b]:.3f}',
    ]
    for a, b, i in every[:_LISTED]
  ]  # fmt: skip
  if not rows:
    return []
  which = 'All' if len(rows) == len(every) else f'{_LISTED} of {len(every):,}'
  caption = f'{which} mistaken clips by name, the largest cells first'
  return [
    Table(caption, ['mistaken clip', 'is', '', 'taken for', ''], rows, True)
  ]


def _card(scored, clip, a, b, show) -> Clip:
  name, found = scored.ids[clip], scored.probabilities[clip]
  facts = [
    (what, f'{scored.classes[k]} {found[k]:.2f}')
    for what, k in (('is', a), ('taken for', b))
  ]
  return Clip(name, facts, sound=show(name).sound)
