"""The section on calibration and thresholds, of results.json."""

from collections.abc import Mapping

from aec_jax.bundle.decisions import BEST, COLUMNS
from aec_jax.report import charts
from aec_jax.report.page import Block, Figure, Section, Table, Text
from aec_jax.report.score_sections import interval_text


def decisions(results: Mapping) -> Section:
  """Reliability before and after, and thresholds; empty where none are."""
  title, found = 'Calibration and thresholds', results.get('decisions')
  if not found:
    return Section(title, [])
  before, after = found['ECE']['before'], found['ECE']['after']
  own = found['calibration']['own']
  lines = {'perfect': ([0, 1], [0, 1])} | {
    f'{name} calibration': (bins['probability'], bins['share'])
    for name, bins in found['reliability'].items()
  }
  blocks: list[Block] = [
    Text(
      f'Expected calibration error, the mean over the classes: {before:.4f}'
      f' before, {after:.4f} after calibration, each clip by what was fitted to'
      f' others. {sum(own):,} of {len(own):,} classes have a calibration of'
      ' their own; the others share one.'
    ),
    Figure(
      'Share of positives against mean probability, in bins of 0.1 over all'
      ' pairs of a clip and a class.',
      charts.lines(lines, 'probability', 'share of positives', unit=True),
    ),
    _thresholds(results, found['points']),
  ]
  return Section(title, blocks)


def _thresholds(results, points) -> Table:
  rows = []
  for k, name in enumerate(results['per_class']):
    row = [name]
    for key in COLUMNS:
      value = points[BEST][key][k]
      interval = interval_text(points[BEST][f'{key} interval'][k])
      row.append('—' if value is None else f'{value:.3f} ({interval})')
    rows.append(row)
  return Table(
    'Thresholds of the best F1, of calibrated probabilities, and what they gave'
    ' on the clips that chose them, with 95 % bootstrap intervals',
    ['class', *COLUMNS],
    rows,
    folded=True,
  )
