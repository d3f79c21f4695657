"""The section on scores: of all, beside the thesis's, and fold by fold.

`results` is as in results.json.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aec_jax.report.page import Block, Section, Table, Text
from aec_jax.run.console import caveats

# What a score is called in words.
NAMES = {
  'mAP': 'mAP',
  'mAP_best_on_eval': 'mAP, had the scored clips chosen the step',
  'AUC': 'AUC',
  'd_prime': "d'",
  'MAP@3': 'MAP@3, all clips',
  'MAP@3_public': 'MAP@3, public part',
  'MAP@3_private': 'MAP@3, private part',
  'log_likelihood': 'mean log-likelihood',
}


def interval_text(interval: Sequence[float] | None) -> str:
  """A 95 % interval as the tables show it."""
  if not interval:
    return ''
  low, high = interval
  between = '–' if low >= 0 else ' to '
  # A narrow one, as of a small loss, would have twice the same number.
  digits = 3 if f'{low:.3f}' != f'{high:.3f}' or low == high else 5
  return f'{low:.{digits}f}{between}{high:.{digits}f}'


def range_text(numbers: Sequence[int]) -> str:
  """The least and the most of some numbers, or the one that all are."""
  low, high = f'{min(numbers):,}', f'{max(numbers):,}'
  return low if low == high else f'{low} to {high}'


def validation_loss(entry: Mapping) -> float | None:
  """The loss on the validation clips, of an evaluation that has it."""
  value = entry.get('log_likelihood')
  return None if value is None else -value


def from_start(history: Mapping) -> list[Mapping]:
  """All of what was trained, from step 0 on where that was evaluated, too."""
  start = history.get('start')
  return [*([start] if start else []), *history['evaluations']]


def is_single(results: Mapping) -> bool:
  """Whether each clip has one label."""
  return 'AP@3' in next(iter(results['per_class'].values()))


def scores(
  results: Mapping, intervals: Mapping[str, Sequence[float]]
) -> Section:
  """The scores beside the thesis's.

  Args:
    results: with the thesis's scores as 'expected'.
    intervals: [low, high] by score, of some of the scores.
  """
  blocks: list[Block] = [
    Text(_about(results)),
    *(Text(f'{what[0].upper()}{what[1:]}.') for what in caveats(results)),
    _score_table(results, intervals),
    *_fold_table(results),
  ]
  missing = [
    name
    for name, entry in results['per_class'].items()
    if next(iter(entry.values())) is None
  ]
  if missing:
    blocks.append(Text(f'Classes without a scored clip: {", ".join(missing)}.'))
  return Section('Scores', blocks)


def _score_table(results, intervals) -> Table:
  """The scores, beside the thesis's where the experiment is a row of it."""
  expected, rows = results['expected'], []
  for name, value in results['metrics'].items():
    if isinstance(value, float):
      interval = interval_text(intervals.get(name)) or '—'
      row = [NAMES.get(name, name), f'{value:.4f}', interval]
      if expected:
        row.append(f'{expected[name]:.3f}' if name in expected else '—')
      rows.append(row)
  what = 'Scores beside the thesis’s' if expected else 'Scores'
  return Table(
    f'{what}. The intervals are 95 % intervals over the scored clips: another'
    ' draw of clips, the same models.',
    ['score', 'here', '95 % interval', *(['thesis'] if expected else [])],
    rows,
  )


def _fold_table(results) -> list[Table]:
  """The scores of each fold, with their mean and spread."""
  folds = results.get('folds', {})
  if len(folds) < 2:
    return []
  names = [name for name in results['metrics'] if name in _first(folds)]
  rows = [
    [
      str(int(fold) + 1),
      f'{found["n"]:,}',
      *(f'{found[name]:.4f}' for name in names),
    ]
    for fold, found in folds.items()
  ]
  every = np.array([[f[name] for name in names] for f in folds.values()])
  for what, of in (
    ('mean', np.mean(every, 0)),
    ('deviation', _deviation(every)),
  ):
    rows.append([what, '', *(f'{x:.4f}' for x in of)])
  return [
    Table(
      'Scores of the models of each fold.',
      ['fold', 'clips', *(NAMES.get(name, name) for name in names)],
      rows,
    )
  ]


def _first(mapping):
  return next(iter(mapping.values()))


def _deviation(every) -> np.ndarray:
  return np.std(every, 0, ddof=1)


def _about(results) -> str:
  """How many clips it was scored on, and trained on."""
  n, what = results['n_examples'], results.get('scored_on')
  lines = {
    None: f'Scored on {n:,} clips',
    'test': f'Scored on {n:,} test clips',
    'out-of-fold': f'Scored on {n:,} clips, each by models that have not seen'
    ' it',
  }
  trained = results['n_train_examples']
  seen = [
    member['training_clips']
    for ensemble in results.get('ensembles', {}).values()
    for member in ensemble.get('members', [])
    if 'training_clips' in member
  ]
  copies = results.get('n_training_clips', 0) - trained
  line = f'{lines[what]}; trained on {trained:,}'
  line += f' and {copies:,} shifted copies' if copies > 0 else ''
  if seen and min(seen) < trained:
    line += f', of which each classifier saw {range_text(seen)}'
  line += '.'
  if 'best_step' in results:
    last = results['config'].get('keep') == 'last'
    at = 'Of its last step,' if last else 'Best at step'
    line += f' {at} {results["best_step"]:,}.'
  return line
