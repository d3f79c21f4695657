"""The sections on scores: at the end, beside the thesis's, and while learning.

`results` is as in results.json.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aec_jax.report import charts
from aec_jax.report.page import Block, Figure, Section, Table, Text
from aec_jax.run.console import caveats

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


def interval_text(interval: Sequence[float] | None) -> str:
  """A 95 % interval as the tables show it."""
  return f'{interval[0]:.3f}–{interval[1]:.3f}' if interval else ''


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
    f'{what}. The intervals are 95 % bootstrap intervals over the scored'
    ' clips.',
    ['score', 'here', '95 % interval', *(['thesis'] if expected else [])],
    rows,
  )


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
  copies = results.get('n_training_clips', 0) - trained
  line = f'{lines[what]}; trained on {trained:,}'
  line += f' and {copies:,} shifted copies.' if copies > 0 else '.'
  if 'best_step' in results:
    line += f' Best at step {results["best_step"]:,}.'
  return line


def learning(results: Mapping) -> Section:
  """Charts of what was measured at each evaluation."""
  metric = results['config']['metric']
  blocks: list[Block] = []
  if 'evaluations' in results:
    blocks += _learning_curves(results['evaluations'], metric, '')
  for length, report in results.get('ensembles', {}).items():
    pieces = f' · pieces of {length} segments' if int(length) else ''
    blocks += _learning_curves(report['evaluations'], metric, pieces)
  if not blocks:
    blocks = [Text('Its models were fine-tuned, with no classifier to train.')]
  return Section('Learning curves', blocks)


def _learning_curves(evaluations, metric, what) -> list[Figure | Table]:
  steps = [entry['step'] for entry in evaluations]
  losses = [entry['loss'] for entry in evaluations]
  where = 'validation clips' if 'members' in evaluations[0] else 'scored clips'
  rows = [
    [f'{entry["step"]:,}', f'{entry["loss"]:.4f}', f'{entry[metric]:.4f}']
    for entry in evaluations
  ]
  return [
    Figure(
      f'{metric} on the {where} at each evaluation{what}.',
      charts.lines(_score_curves(evaluations, metric), 'step', metric),
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


def _score_curves(evaluations, metric) -> dict[str, tuple]:
  """The lines of a score: one, or of members their mean, best and worst."""
  steps = [entry['step'] for entry in evaluations]
  scores = [entry[metric] for entry in evaluations]
  if 'members' not in evaluations[0]:
    return {metric: (steps, scores)}
  # None, and then NaN, where a member has diverged.
  every = np.array([entry['members'][metric] for entry in evaluations], float)
  return {
    f'mean of {every.shape[1]} members': (steps, scores),
    'best member': (steps, np.nanmax(every, 1)),
    'worst member': (steps, np.nanmin(every, 1)),
  }
