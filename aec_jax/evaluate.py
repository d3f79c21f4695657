"""Scores: probabilities of a trained model, and means over several models.

  python -m aec_jax.evaluate [--learned] DIR…

prints a table of finished experiments on the same examples, and of the mean of
their probabilities; with --learned also of ensembles of them whose weights are
learned, and of stacking.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from aec_jax import learned_ensembles, predictions
from aec_jax.errors import UserError, check_choice
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


def check_labels(folder: str, objective: Objective, found: Mapping) -> None:
  """Raises `UserError` where single-label clips have not one label each.

  Args:
    folder: of a finished experiment.
    objective: of its results.
    found: its predictions, as `predictions.load` returns them.
  """
  if objective.single and (np.diff(found['label_offsets']) != 1).any():
    raise UserError(
      f'{folder} is damaged: its results are of clips with one label each, and'
      ' those of its predictions.npz have none or several: run it again'
    )


def compare(folders: Sequence[str], learned: bool = False) -> str:
  """The table that the command prints.

  Args:
    folders: of finished experiments.
    learned: whether weights and stacking of them are fitted, too.

  Raises:
    UserError: one is not finished, or scored on other clips or by other labels;
      or there is nothing to learn.
  """
  found = []
  for folder in folders:
    scored = predictions.load(folder)
    found.append(results.read(folder, 'experiment', 'metrics', 'seconds'))
    check_labels(folder, objective_of(found[-1]), scored)
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
  objective = objective_of(found[0])
  if len(folders) > 1:
    targets, probabilities = predictions.mean_probabilities(folders)
    scores = objective.scores(targets, probabilities)
    rows.append((f'mean of {len(folders)}', *_cells(scores, names), '', ''))
  if not learned:
    return console.table(rows)
  told, lines = _learned(objective, folders)
  rows += [(way, *_cells(s, names), '', '') for way, s in told.items()]
  return '\n'.join([console.table(rows), *lines])


def _learned(objective: Objective, folders) -> tuple[dict, list[str]]:
  """Scores by the way of averaging, and lines on what was learned.

  Each clip is told by what was fitted to the other folds of clips, drawn by
  themselves: of experiments that is known only what they say of scored clips.
  """
  if len(folders) < 2:
    raise UserError('--learned takes two finished experiments or more')
  targets, probabilities = predictions.all_probabilities(folders)
  with np.errstate(divide='ignore'):  # the least are floored
    values = np.log(probabilities) if objective.single else probabilities
  if len(targets) < learned_ensembles.FOLDS:
    raise UserError(
      f'{folders[0]} was scored on {len(targets)} clips: too few to learn from'
    )
  fold = learned_ensembles.drawn_folds(len(targets))
  told = learned_ensembles.across(objective, targets, values, fold)
  found = learned_ensembles.report(objective, targets, told)
  weights = learned_ensembles.weights(objective, targets, values)
  lines = [
    '',
    f'Learned: each fifth of the {len(targets):,} scored clips by what was'
    ' fitted to the other four.',
    'Weights, fitted to all:',
    *(f'  {w:.3f}  {f}' for w, f in zip(weights, folders, strict=True)),
  ]
  mean = 'geometric mean' if objective.single else 'mean'
  for name in ('weights', 'stacking'):
    low, high = found[name]['gain interval']
    lines.append(
      f'{objective.main} over the {mean}, {name}: {found[name]["gain"]:+.4f}'
      f' (95 % interval {low:+.4f} to {high:+.4f})'
    )
  ways = {'weights': 'learned weights', 'stacking': 'stacking'}
  if objective.single:
    ways = {'mean': 'geometric mean', **ways}
  return {way: found[name]['scores'] for name, way in ways.items()}, lines


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
  parser.add_argument(
    '--learned', action='store_true',
    help='also weights of the experiments, and stacking',
  )  # fmt: skip
  parser.add_argument('folders', nargs='+', metavar='DIR')
  arguments = parser.parse_args(argv)
  folders = predictions.finished(arguments.folders)
  print(compare(folders, arguments.learned))
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
