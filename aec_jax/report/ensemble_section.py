"""The section on what learned ensembles would give, of results.json."""

from collections.abc import Mapping

from aec_jax.report.page import Block, Section, Table, Text
from aec_jax.report.score_sections import NAMES, interval_text

_WAYS = {
  'mean': 'the plain mean',
  'weights': 'learned weights',
  'stacking': 'stacking',
}
_FITTED = {
  'other folds': 'each clip by what was fitted to the clips of other folds',
  'left out of training': 'fitted to training clips that what classifies had'
  ' been trained without; extractors under it may have heard them',
}


def learned(results: Mapping) -> Section:
  """Weights and stacking beside the mean; empty where none were learned."""
  title, found = 'Learned ensembles', results.get('learned_ensembles')
  if not found:
    return Section(title, [])
  of = found['weights']['of']
  text = (
    f'What the {len(of)} models would score, had they been weighted or stacked'
    f' instead of averaged: {_FITTED[found["fitted_to"]]}'
    f' ({found["clips"]:,} clips). All other scores, and the bundle, are those'
    f' of the mean. {_verdict(found)}'
  )
  blocks: list[Block] = [
    Text(text),
    _score_table(found),
    Table(
      'The learned weights, fitted to all of these clips.',
      ['model', 'weight'],
      [[name, f'{weight:.3f}'] for name, weight in of.items()],
    ),
  ]
  return Section(title, blocks)


def _verdict(found) -> str:
  better = [
    _WAYS[name]
    for name in ('weights', 'stacking')
    if found[name]['gain interval'][0] > 0
  ]
  if not better:
    return 'Neither is surely better than the mean.'
  return f'Better than the mean beyond its interval: {" and ".join(better)}.'


def _score_table(found) -> Table:
  names = list(found['mean']['scores'])
  rows = []
  for key, way in _WAYS.items():
    entry = found[key]
    row = [way, *(f'{entry["scores"][name]:.4f}' for name in names)]
    gain = '—'
    if 'gain' in entry:
      interval = interval_text(entry['gain interval'])
      gain = f'{entry["gain"]:+.4f} ({interval})'
    rows.append([*row, gain])
  main = NAMES.get(names[0], names[0])
  return Table(
    'Scores on the same clips; the gain over the mean with its 95 % interval,'
    ' paired over the scored clips.',
    ['way', *(NAMES.get(name, name) for name in names), f'gain in {main}'],
    rows,
  )
