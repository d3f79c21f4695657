"""Scores: probabilities of a trained model, and means over several models.

  python -m aec_jax.evaluate DIR…

prints a table of finished experiments on the same examples, and of the mean of
their probabilities.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from aec_jax import predictions
from aec_jax.objective import OBJECTIVES, Objective
from aec_jax.run import console, fields, files


def objective_of(results: dict) -> Objective:
  """What the labels of a finished experiment mean."""
  record = fields.upgraded(results.get('config', {}))
  default = 'single_label' if 'MAP@3' in results['metrics'] else 'multi_label'
  return OBJECTIVES[record.get('objective', default)]


def compare(folders: Sequence[str]) -> str:
  """The table that the command prints."""
  found = []
  for folder in folders:
    predictions.load(folder)
    path = Path(folder) / 'results.json'
    found.append(files.read_json(path, 'experiment', 'metrics', 'seconds'))
  names = [n for n in _COLUMNS if all(n in r['metrics'] for r in found)]
  rows = [
    ('experiment', *(_COLUMNS[name] for name in names), 'best step', 'seconds')
  ]
  for results in found:
    steps = results.get('best_step')
    seconds = results['seconds']['train']
    rows.append(
      (
        results['experiment'],
        *_cells(results['metrics'], names),
        f'{steps:,}' if steps else '',
        f'{seconds:,.0f}',
      )
    )
  if len(folders) > 1:
    targets, probabilities = predictions.mean_probabilities(folders)
    scores = objective_of(found[0]).scores(targets, probabilities)
    rows.append((f'mean of {len(folders)}', *_cells(scores, names), '', ''))
  return console.table(rows)


# What `compare` shows, where all experiments have it.
_COLUMNS = {
  'mAP': 'mAP',
  'AUC': 'AUC',
  'd_prime': "d'",
  'MAP@3': 'MAP@3',
  'MAP@3_public': 'public',
  'MAP@3_private': 'private',
  'accuracy': 'accuracy',
}


def _cells(scores, names):
  return [f'{scores[n]:.4f}' if n in scores else '' for n in names]


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.Parser(__doc__)
  parser.add_argument('folders', nargs='+', metavar='DIR')
  print(compare(parser.parse_args(argv).folders))
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
