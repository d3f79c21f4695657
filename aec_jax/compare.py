"""Compares finished experiments of any kind, on one page.

  python -m aec_jax.compare --out=PAGE.html DIR…

What differs in their settings, their scores and what they took, learning curves
over one another, paired tests between all; and the thesis's tables that they
are rows of. The same is written as PAGE.md.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aec_jax import evaluate, metrics, predictions
from aec_jax.errors import UserError
from aec_jax.report import comparison, page, thesis_sections
from aec_jax.report.runs import Run, names
from aec_jax.run import console
from aec_jax.run import results as results_lib

# What is taken of a results.json.
_NEEDED = (
  'experiment', 'metrics', 'per_class', 'config', 'n_examples', 'seconds',
  'versions',
)  # fmt: skip


def load(folder: str | Path, name: str = '') -> Run:
  """Reads a finished experiment.

  Args:
    folder: its work folder.
    name: what it is called; the folder's where there is none.

  Raises:
    UserError: the folder holds none, or its results are damaged.
  """
  found = predictions.load(folder)
  results = results_lib.read(folder, *_NEEDED)
  objective = evaluate.objective_of(results)
  evaluate.check_labels(str(folder), objective, found)
  targets, p = predictions.targets_of(found), found['probabilities']
  intervals = results.get('intervals')
  if not intervals:
    values = np.asarray(objective.from_probabilities(p))
    intervals = objective.intervals(targets, values)
  if objective.single:
    paired = metrics.reciprocal_rank(targets, p)
  else:
    paired = metrics.average_precision(targets, p)
  return Run(
    str(folder), name or str(folder), results, intervals, found['ids'], paired
  )


def compare(out: str | Path, folders: Sequence[str | Path]) -> None:
  """Writes the page and its Markdown.

  Args:
    out: PAGE.html.
    folders: of finished experiments.

  Raises:
    UserError: a folder holds no finished experiment, or the page cannot be
      written.
  """
  out = Path(out)
  if out.suffix != '.html':
    raise UserError(f'--out is {str(out)!r}; it must end in .html')
  given = [str(folder) for folder in folders]
  runs = [load(*both) for both in zip(given, names(given), strict=True)]
  sections = comparison.sections(runs) + thesis_sections.sections(runs)
  title = 'Runs compared' if len(runs) > 1 else f'Run {runs[0].name}'
  try:
    page.write(out, title, sections)
  except OSError as error:
    raise UserError(f'cannot write {out}: {error.strerror}') from error


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.Parser(__doc__)
  parser.add_argument('--out', required=True, metavar='PAGE.html')
  parser.add_argument('folders', nargs='+', metavar='DIR')
  arguments = parser.parse_args(argv)
  compare(arguments.out, predictions.finished(arguments.folders))
  print(f'wrote {arguments.out}')
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
