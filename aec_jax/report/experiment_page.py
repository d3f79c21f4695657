"""The page of one experiment: scores, curves, classes, data, clips, settings.

It is a function of results.json, predictions.npz and a look at single clips.
"""

import collections
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from aec_jax import evaluate, metrics
from aec_jax.report import charts, page
from aec_jax.report.page import Cell, Clip, Clips, Figure, Section, Table, Text

# Where a work folder's report lies.
PAGE = Path('report/index.html')
# What a score is called in words.
NAMES = {
  'mAP': 'mAP',
  'AUC': 'AUC',
  'd_prime': "d'",
  'MAP@3': 'MAP@3, all clips',
  'MAP@3_public': 'MAP@3, public part',
  'MAP@3_private': 'MAP@3, private part',
  'log_likelihood': 'mean log-likelihood',
}

# A clip is taken for another class when more than so many of its class are
# (Table 16).
_CONFUSED = 0.05
# More classes than this are listed by their best and worst; so many of each.
_MANY, _ENDS = 60, 15
_FREQUENT = 20  # as in Figures 30 to 32
_CLIPS = 6  # of the hardest, and of the surest
_GUESSES = 3
_LISTED = 100  # skipped files that are named


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


class _Scored(NamedTuple):
  """The scored clips: (clip,) ids, and (clip, class) arrays."""

  ids: np.ndarray
  targets: np.ndarray
  probabilities: np.ndarray
  classes: Sequence[str]


def write(
  workdir: Path, results: Mapping, show: Callable[[str], Shown]
) -> None:
  """Writes the report of a finished experiment.

  Args:
    workdir: its folder, with predictions.npz.
    results: as in its results.json.
    show: looks at a scored clip, given its id.

  Raises:
    UserError: the predictions are not there, or a clip cannot be read.
  """
  found = evaluate.load_predictions(workdir)
  scored = _Scored(
    [_text(i) for i in found['ids']],
    evaluate.targets_of(found),
    found['probabilities'],
    list(results['per_class']),
  )
  single = 'MAP@3' in results['metrics']
  sections = [
    _scores(results, evaluate.intervals(results, found)),
    _learning(results),
    _classes(results, scored),
    _curves(results, scored),
    *([_confusions(results, scored)] if single else []),
    _data(results),
    _clips(scored, single, show),
    _skipped(results),
    _settings(results),
  ]
  path = Path(workdir) / PAGE
  page.write(path, f'Experiment {results["experiment"]}', sections)
  logging.info('report: %s', path)


def _text(clip_id) -> str:
  if isinstance(clip_id, bytes):
    return clip_id.decode('utf-8', 'replace')
  return str(clip_id)


def interval_text(interval: Sequence[float] | None) -> str:
  """A 95 % interval as the tables show it."""
  return f'{interval[0]:.3f}–{interval[1]:.3f}' if interval else ''


def _scores(results, intervals) -> Section:
  expected = results['expected']
  rows = []
  for name, value in results['metrics'].items():
    if isinstance(value, float):
      theirs = f'{expected[name]:.3f}' if name in expected else '—'
      interval = interval_text(intervals.get(name)) or '—'
      label = NAMES.get(name, name)
      rows.append([label, f'{value:.4f}', interval, theirs])
  n, what = results['n_examples'], results.get('scored_on')
  lines = {
    None: f'Scored on {n:,} clips',
    'test': f'Scored on {n:,} test clips',
    'out-of-fold': f'Scored on {n:,} clips, each by models that have not seen'
    ' it',
  }
  trained = results['n_train_examples']
  copies = results.get('n_training_clips', 0) - trained
  line = f'{lines[what]}; trained on {trained:,}'
  line += f' and {copies:,} shifted copies.' if copies > 0 else '.'
  if 'best_step' in results:
    line += f' Best at step {results["best_step"]:,}.'
  missing = [
    name
    for name, entry in results['per_class'].items()
    if next(iter(entry.values())) is None
  ]
  blocks = [
    Text(line),
    Table(
      'Scores beside the thesis’s. The intervals are 95 % bootstrap intervals'
      ' over the scored clips.',
      ['score', 'here', '95 % interval', 'thesis'],
      rows,
    ),
  ]
  if missing:
    blocks.append(Text(f'Classes without a scored clip: {", ".join(missing)}.'))
  return Section('Scores', blocks)


def _learning(results) -> Section:
  """Charts of what was measured at each evaluation."""
  blocks, metric = [], results['config']['metric']
  if 'evaluations' in results:
    blocks += _learning_curves(results['evaluations'], metric, '')
  for length, report in results.get('ensembles', {}).items():
    pieces = f' · pieces of {length} segments' if int(length) else ''
    blocks += _learning_curves(report['evaluations'], metric, pieces)
  if not blocks:
    blocks = [Text('Its models were fine-tuned, with no classifier to train.')]
  return Section('Learning curves', blocks)


def _learning_curves(evaluations, metric, what):
  steps = [entry['step'] for entry in evaluations]
  scores = [entry[metric] for entry in evaluations]
  losses = [entry['loss'] for entry in evaluations]
  curves = {metric: (steps, scores)}
  if 'members' in evaluations[0]:
    # None, and then NaN, where a member has diverged.
    every = np.array([entry['members'][metric] for entry in evaluations], float)
    curves = {
      f'mean of {every.shape[1]} members': (steps, scores),
      'best member': (steps, np.nanmax(every, 1)),
      'worst member': (steps, np.nanmin(every, 1)),
    }
  where = 'validation clips' if 'members' in evaluations[0] else 'scored clips'
  rows = [
    [f'{step:,}', f'{loss:.4f}', f'{score:.4f}']
    for step, loss, score in zip(steps, losses, scores, strict=True)
  ]
  return [
    Figure(
      f'{metric} on the {where} at each evaluation{what}.',
      charts.lines(curves, 'step', metric),
    ),
    Figure(
      f'Mean training loss since the evaluation before{what}.',
      charts.lines({'training loss': (steps, losses)}, 'step', 'loss'),
    ),
    Table(
      f'All evaluations{what}',
      ['step', 'training loss', metric],
      rows,
      folded=True,
    ),
  ]


def _ap(results) -> tuple[str, np.ndarray]:
  """The name of the per-class score, and its values, NaN where undefined."""
  entries = results['per_class'].values()
  name = next(iter(next(iter(entries))))
  values = [entry[name] for entry in entries]
  return name, np.array(values, float)


def _classes(results, scored) -> Section:
  name, ap = _ap(results)
  order = np.argsort(-np.nan_to_num(ap, nan=-1), kind='stable')
  counts = scored.targets.sum(0)
  others = [
    key for key in next(iter(results['per_class'].values())) if key != name
  ]
  splits = {
    split: clips
    for split, clips in results.get('data', {}).get('clips', {}).items()
    if list(clips.values()) != counts.tolist()
  }
  header = ['class', name, *others, 'scored clips', *splits]

  def row(k):
    label = scored.classes[k]
    entry = results['per_class'][label]
    value = Cell('—') if np.isnan(ap[k]) else Cell(f'{ap[k]:.3f}', bar=ap[k])
    rest = ['—' if entry[o] is None else f'{entry[o]:.3f}' for o in others]
    sizes = [f'{split[label]:,}' for split in splits.values()]
    return [label, value, *rest, f'{counts[k]:,}', *sizes]

  def table(caption, which, folded=False):
    return Table(caption, header, [row(k) for k in which], folded)

  if len(order) <= _MANY:
    return Section(
      f'{name} of each class',
      [table(f'{name} of each class, best first (Figure 38).', order)],
    )
  defined = order[~np.isnan(ap[order])]
  return Section(
    f'{name} of each class',
    [
      table(f'The {_ENDS} best classes.', defined[:_ENDS]),
      table(
        f'The {_ENDS} worst classes, worst first.', defined[: -_ENDS - 1 : -1]
      ),
      table(f'All {len(order)} classes, best first', order, folded=True),
    ],
  )


def _chosen(ap) -> np.ndarray:
  """The two best classes, the two in the middle, and the two worst."""
  order = np.argsort(-ap, kind='stable')[: np.sum(~np.isnan(ap))]
  middle = (len(order) - 1) // 2
  places = [0, 1, middle, middle + 1, len(order) - 2, len(order) - 1]
  places = [p for p in dict.fromkeys(places) if 0 <= p < len(order)]
  return order[sorted(places)]


def _curves(results, scored) -> Section:
  name, ap = _ap(results)
  roc, precision_recall, rows = {}, {}, []
  for k in _chosen(ap):
    targets, found = scored.targets[:, k], scored.probabilities[:, k]
    if targets.all():
      continue
    hits, false = _operating_points(targets, found)
    recall, label = hits / hits[-1], scored.classes[k]
    roc[label] = (
      np.concatenate([[0], false / np.sum(~targets), [1]]),
      np.concatenate([[0], recall, [1]]),
    )
    precision_recall[label] = (recall, hits / (hits + false))
    one_ap, auc = metrics.ap_and_auc(targets[:, None], found[:, None])
    rows.append([label, f'{one_ap[0]:.3f}', f'{auc[0]:.3f}', f'{hits[-1]:,}'])
  if not rows:
    return Section('ROC and precision-recall', [])
  return Section(
    'ROC and precision-recall',
    [
      Text(
        f'The two classes with the best {name}, the two in the middle and the'
        ' two worst.'
      ),
      Figure(
        'ROC: how many of the positives are found, against how many of the'
        ' negatives are.',
        charts.lines(
          roc, 'false positive rate', 'true positive rate', unit=True
        ),
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
    ],
  )


def _operating_points(targets, scores):
  """Positives and negatives at or above each positive's score, best first."""
  levels = np.unique(scores[targets])[::-1]
  ascending = np.sort(scores)
  above = len(scores) - np.searchsorted(ascending, levels)
  positives = np.sort(scores[targets])
  hits = len(positives) - np.searchsorted(positives, levels)
  return hits, above - hits


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


def _confusions(results, scored) -> Section:
  classes, size = scored.classes, len(scored.classes)
  true, guess = scored.targets.argmax(1), scored.probabilities.argmax(1)
  counts = np.bincount(true * size + guess, minlength=size**2)
  counts = counts.reshape(size, size)
  name, ap = _ap(results)
  clips = np.maximum(counts.sum(1), 1)
  rows = [
    [
      classes[k],
      f'{ap[k]:.3f}',
      ', '.join(
        f'{classes[j]} ({counts[k, j] / clips[k]:.0%})' for j in others
      ),
    ]
    for k, others in enumerate(confused(counts))
    if others
  ]
  order = np.argsort([float(row[1]) for row in rows], kind='stable')
  if rows:
    blocks = [
      Table(
        'Classes that more than 5 % of a class’s clips are taken for, worst'
        ' class first (Table 16).',
        ['class', name, 'taken for'],
        [rows[i] for i in order],
      )
    ]
  else:
    blocks = [
      Text('No class is taken for another in more than 5 % of its clips.')
    ]
  if size > _MANY:
    blocks.append(Text(f'A matrix of {size} classes is left out.'))
    return Section('Confusions', blocks)
  matrix = [
    [
      f'{k + 1} {classes[k]}',
      *(
        Cell(str(n) if n else '', shade=n / clips[k] if n else None)
        for n in counts[k]
      ),
    ]
    for k in range(size)
  ]
  blocks.append(
    Table(
      'Confusion matrix: clips of the class of a row whose first guess is the'
      ' class of a column. Columns have the rows’ numbers.',
      ['class', *map(str, range(1, size + 1))],
      matrix,
      dense=True,
    )
  )
  return Section('Confusions', blocks)


def _data(results) -> Section:
  data = results.get('data', {})
  splits = data.get('clips', {})
  if 'seconds' in data:
    return Section('Data', [_lengths(data)])
  return Section('Data', [_frequent(*split) for split in splits.items()])


def _frequent(split, clips) -> Table:
  """One of Figures 30 to 32."""
  names = sorted(clips, key=clips.get, reverse=True)[:_FREQUENT]
  most = max(clips.values()) or 1
  rows = [[n, Cell(f'{clips[n]:,}', bar=clips[n] / most)] for n in names]
  some = 'All' if len(clips) <= _FREQUENT else f'The {_FREQUENT} most frequent'
  sizes = sorted(clips.values())
  return Table(
    f'{some} classes of {split} (Figures 30 to 32). Clips of a class: at least'
    f' {sizes[0]:,}, at most {sizes[-1]:,}; half have'
    f' {sizes[len(sizes) // 2]:,} or more.',
    ['class', 'clips'],
    rows,
  )


def _lengths(data) -> Table:
  """Figures 33 and 34."""
  splits, verified, seconds = data['clips'], data['verified'], data['seconds']
  counts = splits['train']
  others = {f'{s} clips': n for s, n in splits.items() if s != 'train'}
  most, longest = max(counts.values()), max(s[-1] for s in seconds.values())
  rows = []
  for name in sorted(counts, key=counts.get, reverse=True):
    row = [name, Cell(f'{counts[name]:,}', bar=counts[name] / most), '—']
    row += [f'{clips[name]:,}' for clips in others.values()]
    box = Cell('—')
    if counts[name]:
      row[2] = f'{verified[name]:.0%}'
      text = ' · '.join(f'{s:.1f}' for s in seconds[name])
      box = Cell(text, box=[s / longest for s in seconds[name]])
    rows.append([*row, box])
  lengths = 'seconds: least · quartile · median · quartile · most'
  return Table(
    'Training clips of each class, how many of them are verified by a person,'
    ' and how long they are (Figures 33 and 34).',
    ['class', 'training clips', 'verified', *others, lengths],
    rows,
  )


def _clips(scored, single, show) -> Section:
  """The clips whose labels were least and most expected."""
  logs = np.log(np.maximum(scored.probabilities, 1e-30, dtype=np.float64))
  counts = scored.targets.sum(1)
  given = np.where(scored.targets, logs, 0).sum(1) / np.maximum(counts, 1)
  labelled = np.flatnonzero(counts)
  order = labelled[np.argsort(given[labelled], kind='stable')]
  n = min(_CLIPS, len(order) // 2)
  if not n:
    return Section('Hardest and surest clips', [])
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
  return Section(
    'Hardest and surest clips',
    [
      Text(about),
      Clips(f'The {n} hardest clips', hardest),
      Clips(f'The {n} surest clips', surest),
    ],
  )


def _clip(scored, i, given, show) -> Clip:
  name, found = scored.ids[i], scored.probabilities[i]
  labels = [scored.classes[k] for k in np.flatnonzero(scored.targets[i])]
  best = np.argsort(-found, kind='stable')[:_GUESSES]
  shown = show(name)
  return Clip(
    name,
    [
      ('labels', '; '.join(labels)),
      (
        'guesses',
        '; '.join(f'{scored.classes[k]} {found[k]:.2f}' for k in best),
      ),
      ('sureness', f'{np.exp(given):.3g}'),
    ],
    charts.png(shown.picture),
    f'{shown.what} of {name}',
    shown.sound,
  )


def _skipped(results) -> Section:
  blocks = []
  for what, entries in (
    ('Left out of the data', results['skipped']),
    ('Kept, but odd', results.get('notes', [])),
  ):
    if not entries:
      continue
    reasons = collections.Counter(entry['reason'] for entry in entries)
    rows = [[reason, f'{n:,}'] for reason, n in reasons.most_common()]
    blocks.append(Table(f'{what}: why.', ['reason', 'count'], rows))
    rows = [[_where(e), e['reason']] for e in entries[:_LISTED]]
    some = f' (the first {_LISTED:,})' if len(entries) > _LISTED else ''
    blocks.append(
      Table(f'{what}: which{some}', ['file', 'reason'], rows, folded=True)
    )
  if not blocks:
    blocks = [Text('Nothing was left out.')]
  return Section('Skipped', blocks)


def _where(entry):
  if 'record' in entry:
    return f'{entry["file"]}, record {entry["record"]}'
  return entry['file']


def _settings(results) -> Section:
  seconds = {
    f'seconds: {k}': f'{v:,.1f}' for k, v in results['seconds'].items()
  }
  about = {
    'seed': results['config']['seed'],
    **seconds,
    'data fingerprint': results['dataset_fingerprint'],
    **results['versions'],
  }
  return Section(
    'How it was made',
    [
      Table(
        'Seed, time and versions.',
        ['what', 'value'],
        [[name, str(value)] for name, value in about.items()],
      ),
      Table(
        'The whole config',
        ['field', 'value'],
        flat(results['config']),
        folded=True,
      ),
    ],
  )


def flat(config: Mapping, prefix: str = '') -> list[list[str]]:
  """Rows of a config's fields, as 'model.name', and their values."""
  rows = []
  for name, value in config.items():
    if isinstance(value, dict):
      rows += flat(value, f'{prefix}{name}.')
    else:
      rows.append([f'{prefix}{name}', json.dumps(value, ensure_ascii=False)])
  return rows
