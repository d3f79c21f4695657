"""The sections on single classes: their scores, curves and confusions.

`results` is as in results.json.
"""

from collections.abc import Mapping

import numpy as np

from aec_jax import metrics
from aec_jax.report import charts
from aec_jax.report.page import Block, Cell, Figure, Section, Table, Text
from aec_jax.report.scored import Scored

# A clip is taken for another class when more than so many of its class are
# (Table 16).
_CONFUSED = 0.05
# More classes than this are listed by their best and worst; so many of each.
_MANY, _ENDS = 60, 15


def classes(results: Mapping, scored: Scored) -> Section:
  """The score of each class; of many, of the best and the worst first."""
  name, ap = _ap(results)
  title = f'{name} of each class'
  order = np.argsort(-np.nan_to_num(ap, nan=-1), kind='stable')
  header, rows = _class_rows(results, scored)

  def table(caption, which, folded=False):
    return Table(caption, header, [rows[k] for k in which], folded)

  if len(order) <= _MANY:
    figure = ' (Figure 38)' if results['expected'] else ''
    caption = f'{name} of each class, best first{figure}.'
    return Section(title, [table(caption, order)])
  defined = order[~np.isnan(ap[order])]
  best, worst = defined[:_ENDS], defined[: -_ENDS - 1 : -1]
  blocks = [
    table(f'The {_ENDS} best classes.', best),
    table(f'The {_ENDS} worst classes, worst first.', worst),
    table(f'All {len(order)} classes, best first', order, folded=True),
  ]
  return Section(title, blocks)


def _ap(results) -> tuple[str, np.ndarray]:
  """The name of the per-class score, and its values, NaN where undefined."""
  entries = results['per_class'].values()
  name = next(iter(next(iter(entries))))
  values = [entry[name] for entry in entries]
  return name, np.array(values, float)


def _class_rows(results, scored) -> tuple[list[str], list[list]]:
  """The header, and a row for each class, in the classes' order."""
  name, ap = _ap(results)
  counts = scored.targets.sum(0)
  entries = results['per_class']
  others = [key for key in next(iter(entries.values())) if key != name]
  splits = {
    split: clips
    for split, clips in results.get('data', {}).get('clips', {}).items()
    if list(clips.values()) != counts.tolist()
  }

  def row(k, label):
    value = Cell('—') if np.isnan(ap[k]) else Cell(f'{ap[k]:.3f}', bar=ap[k])
    found = [entries[label][other] for other in others]
    rest = ['—' if score is None else f'{score:.3f}' for score in found]
    sizes = [f'{split[label]:,}' for split in splits.values()]
    return [label, value, *rest, f'{counts[k]:,}', *sizes]

  header = ['class', name, *others, 'scored clips', *splits]
  return header, [row(k, label) for k, label in enumerate(scored.classes)]


def curves(results: Mapping, scored: Scored) -> Section:
  """ROC and precision-recall of a few classes that are not in all clips."""
  title = 'ROC and precision-recall'
  name, ap = _ap(results)
  chosen = [k for k in _chosen(ap) if not scored.targets[:, k].all()]
  if not chosen:
    return Section(title, [])
  roc, precision_recall, rows = {}, {}, []
  for k in chosen:
    label = scored.classes[k]
    targets, found = scored.targets[:, k], scored.probabilities[:, k]
    roc[label], precision_recall[label] = _roc_and_precision(targets, found)
    rows.append([label, *_areas(targets, found)])
  blocks: list[Block] = [
    Text(
      f'The two classes with the best {name}, the two in the middle and the'
      ' two worst.'
    ),
    Figure(
      'ROC: how many of the positives are found, against how many of the'
      ' negatives are.',
      charts.lines(roc, 'false positive rate', 'true positive rate', unit=True),
    ),
    Figure(
      'Precision against recall, at each positive.',
      charts.lines(precision_recall, 'recall', 'precision', unit=True),
    ),
    Table(
      'The areas under the curves, each class against all others.',
      ['class', 'AP', 'AUC', 'positives'],
      rows,
    ),
  ]
  return Section(title, blocks)


def _chosen(ap) -> np.ndarray:
  """The two best classes, the two in the middle, and the two worst."""
  order = np.argsort(-ap, kind='stable')[: np.sum(~np.isnan(ap))]
  middle = (len(order) - 1) // 2
  places = [0, 1, middle, middle + 1, len(order) - 2, len(order) - 1]
  places = [p for p in dict.fromkeys(places) if 0 <= p < len(order)]
  return order[sorted(places)]


def _roc_and_precision(targets, scores) -> tuple[tuple, tuple]:
  """(x, y) of the ROC, and of precision against recall."""
  hits, false = _operating_points(targets, scores)
  recall = hits / hits[-1]
  roc = (
    np.concatenate([[0], false / np.sum(~targets), [1]]),
    np.concatenate([[0], recall, [1]]),
  )
  return roc, (recall, hits / (hits + false))


def _areas(targets, scores) -> list[str]:
  """AP, AUC and the number of positives."""
  ap, auc = metrics.ap_and_auc(targets[:, None], scores[:, None])
  return [f'{ap[0]:.3f}', f'{auc[0]:.3f}', f'{targets.sum():,}']


def _operating_points(targets, scores):
  """Positives and negatives at or above each positive's score, best first."""
  levels = np.unique(scores[targets])[::-1]
  ascending = np.sort(scores)
  above = len(scores) - np.searchsorted(ascending, levels)
  positives = np.sort(scores[targets])
  hits = len(positives) - np.searchsorted(positives, levels)
  return hits, above - hits


def confusions(results: Mapping, scored: Scored) -> Section:
  """What the clips of each class are taken for, for single labels."""
  size = len(scored.classes)
  true, guess = scored.targets.argmax(1), scored.probabilities.argmax(1)
  counts = np.bincount(true * size + guess, minlength=size**2)
  counts = counts.reshape(size, size)
  matrix = (
    Text(f'A matrix of {size} classes is left out.')
    if size > _MANY
    else _matrix(scored.classes, counts)
  )
  return Section('Confusions', [_taken_for(results, scored, counts), matrix])


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
  """Table 16."""
  name, ap = _ap(results)
  names, clips = scored.classes, counts.sum(1)

  def row(k, others):
    shares = [f'{names[j]} ({counts[k, j] / clips[k]:.0%})' for j in others]
    return [names[k], f'{ap[k]:.3f}', ', '.join(shares)]

  rows = [row(k, others) for k, others in enumerate(confused(counts)) if others]
  if not rows:
    return Text('No class is taken for another in more than 5 % of its clips.')
  order = np.argsort([float(row[1]) for row in rows], kind='stable')
  return Table(
    'Classes that more than 5 % of a class’s clips are taken for, worst'
    ' class first (Table 16).',
    ['class', name, 'taken for'],
    [rows[i] for i in order],
  )


def _matrix(names, counts) -> Table:
  """Clips by their class and by their first guess."""

  def row(k):
    clips = counts[k].sum()
    cells = [Cell(str(n), shade=n / clips) if n else '' for n in counts[k]]
    return [f'{k + 1} {names[k]}', *cells]

  return Table(
    'Confusion matrix: clips of the class of a row whose first guess is the'
    ' class of a column. Columns have the rows’ numbers.',
    ['class', *map(str, range(1, len(names) + 1))],
    [row(k) for k in range(len(names))],
    dense=True,
  )
