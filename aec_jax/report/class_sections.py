"""The sections on single classes: their scores and curves.

`results` is as in results.json.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aec_jax import metrics
from aec_jax.bundle.decisions import BEST
from aec_jax.report import charts
from aec_jax.report.page import Block, Cell, Figure, Section, Table, Text
from aec_jax.report.score_sections import is_single
from aec_jax.report.scored import Scored

# More classes than this are listed by their best and worst; so many of each.
MANY, _ENDS = 60, 15


def classes(results: Mapping, scored: Scored) -> Section:
  """The score of each class; of many, of the best and the worst first."""
  name, ap = class_scores(results)
  title = f'{name} of each class'
  order = np.argsort(-np.nan_to_num(ap, nan=-1), kind='stable')
  header, rows = _class_rows(results, scored)

  def table(caption, which, folded=False):
    return Table(caption, header, [rows[k] for k in which], folded)

  if len(order) <= MANY:
    figure = ' (Figure 38)' if results['expected'] else ''
    caption = f'{name} of each class, best first{figure}.{_decided_by(results)}'
    return Section(title, [table(caption, order)])
  defined = order[~np.isnan(ap[order])]
  best, worst = defined[:_ENDS], defined[: -_ENDS - 1 : -1]
  blocks = [
    table(f'The {_ENDS} best classes.{_decided_by(results)}', best),
    table(f'The {_ENDS} worst classes, worst first.', worst),
    table(f'All {len(order)} classes, best first', order, folded=True),
  ]
  return Section(title, blocks)


def class_scores(results: Mapping) -> tuple[str, np.ndarray]:
  """The name of the per-class score, and its values, NaN where undefined."""
  entries = results['per_class'].values()
  name = next(iter(next(iter(entries))))
  values = [entry[name] for entry in entries]
  return name, np.array(values, float)


def _class_rows(results, scored) -> tuple[list[str], list[list]]:
  """The header, and a row for each class, in the classes' order."""
  name, ap = class_scores(results)
  counts = scored.targets.sum(0)
  entries = results['per_class']
  others = [key for key in next(iter(entries.values())) if key != name]
  splits = {
    split: clips
    for split, clips in results.get('data', {}).get('clips', {}).items()
    if list(clips.values()) != counts.tolist()
  }

  decided = _decided(results, scored)

  def row(k, label):
    value = Cell('—') if np.isnan(ap[k]) else Cell(f'{ap[k]:.3f}', bar=ap[k])
    found = [entries[label][other] for other in others]
    rest = ['—' if score is None else f'{score:.3f}' for score in found]
    sizes = [f'{split[label]:,}' for split in splits.values()]
    rest += [_share(column[k]) for column in decided.values()]
    return [label, value, *rest, f'{counts[k]:,}', *sizes]

  header = ['class', name, *others, *decided, 'scored clips', *splits]
  return header, [row(k, label) for k, label in enumerate(scored.classes)]


def _share(value) -> str:
  return '—' if value is None or np.isnan(value) else f'{value:.3f}'


def _points(results) -> Mapping | None:
  """What the bundle's thresholds gave, by class, where it has some."""
  found = results.get('decisions') or {}
  return found.get('points', {}).get(BEST)


def _decided_by(results) -> str:
  if _points(results):
    return (
      ' Precision, recall and F1 are those of the bundle’s thresholds, which'
      ' were chosen on the same clips.'
    )
  if is_single(results):
    return ' Precision, recall and F1 are those of the first guess.'
  return ' Precision, recall and F1 are those of probabilities of 0.5 and more.'


def _decided(results, scored) -> dict[str, Sequence | np.ndarray]:
  """Precision, recall and F1, each (class,), None or NaN where undefined."""
  measures = ('precision', 'recall', 'F1')
  if points := _points(results):
    return {name: points[name] for name in measures if name in points}
  if is_single(results):
    guess = scored.probabilities.argmax(1)
    yes = guess[:, None] == np.arange(len(scored.classes))
  else:
    yes = scored.probabilities >= 0.5
  found = metrics.precision_recall_f1(scored.targets, yes)
  return dict(zip(measures, found, strict=True))


def curves(results: Mapping, scored: Scored) -> Section:
  """ROC and precision-recall of a few classes that are not in all clips."""
  title = 'ROC and precision-recall'
  name, ap = class_scores(results)
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
