"""Scores: probabilities of a trained model, and means over several models.

  python -m aec_jax.evaluate DIR…

prints a table of finished experiments on the same examples, and of the mean of
their probabilities.
"""

import sys
from collections.abc import Sequence

from aec_jax import predictions
from aec_jax.errors import check_choice
from aec_jax.objective import OBJECTIVES, Objective
from aec_jax.run import console, fields, results


def objective_of(found: dict) -> Objective:
  """What the labels of a finished experiment mean.

  Raises:
    UserError: its config says something else than there is.
  """
  record = fields.upgraded(found.get('config', {}))
  default = 'single_label' if 'MAP@3' in found['metrics'] else 'multi_label'
  name = record.get('objective', default)
  check_choice(f'{found["experiment"]}: config.objective', name, OBJECTIVES)
  return OBJECTIVES[name]


def compare(folders: Sequence[str]) -> str:
  """The table that the command prints."""
  found = []
  for folder in folders:
    predictions.load(folder)
    found.append(results.read(folder, 'experiment', 'metrics', 'seconds'))
  names = [n for n in _COLUMNS if all(n in r['metrics'] for r in found)]
  rows = [
    ('experiment', *(_COLUMNS[name] for name in names), 'best step', 'seconds')
  ]
  for one in found:
    steps = one.get('best_step')
    seconds = one['seconds'].get('train')  # none of a run that was only scored
    rows.append(
      (
        one['experiment'],
        *_cells(one['metrics'], names),
        f'{steps:,}' if steps else '',
        '' if seconds is None else f'{seconds:,.0f}',
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
  folders = predictions.finished(parser.parse_args(argv).folders)
  print(compare(folders))
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
