"""The thesis's tables of results, from finished experiments.

  python -m aec_jax.compare --out=PAGE.html DIR…

Tables 10 to 15 with their t-tests, and Figures 36, 37, 39 and 40, ours beside
the thesis's; a row without a run gives the command that fills it. Only tables
that one of the runs belongs to are made. The same is written as PAGE.md.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aec_jax import evaluate, metrics, predictions, presets
from aec_jax.errors import UserError
from aec_jax.report import charts, page, thesis
from aec_jax.report.page import Block, Cell, Code, Figure, Section, Table, Text
from aec_jax.report.score_sections import NAMES, interval_text
from aec_jax.run import console, fields, files

# A difference is significant where p is at most this (§6.1).
_SIGNIFICANT = 0.05
_LEVELS = slice(3, None)  # the rows of Table 10 that Table 11 is about
_DRAWN = 16  # classes of Figures 36 and 37
_ENDS = 4  # best and worst classes of Figures 39 and 40
# What is taken of a results.json.
_NEEDED = (
  'experiment', 'metrics', 'per_class', 'config', 'n_examples', 'seconds',
  'versions',
)  # fmt: skip
_SCORES = {
  'Table 10': ('mAP', 'AUC', 'd_prime'),
  'others': ('MAP@3_public', 'MAP@3_private', 'MAP@3'),
}


class Run(NamedTuple):
  """A finished experiment.

  Attributes:
    folder: its work folder, as given.
    results: its results.json.
    intervals: [low, high] by score.
    ids: (clip,), of the scored clips.
  """

  folder: str
  results: dict
  intervals: dict
  ids: np.ndarray

  def per_class(self, classes: Sequence[str]) -> np.ndarray:
    """(class,) AP or AP@3, NaN where undefined."""
    entries = [self.results['per_class'][name] for name in classes]
    return np.array([next(iter(entry.values())) for entry in entries], float)


def load(folder: str) -> Run:
  """Reads a finished experiment.

  Raises:
    UserError: the folder holds none, or its results are damaged.
  """
  found = predictions.load(folder)
  results = files.read_json(Path(folder) / 'results.json', *_NEEDED)
  intervals = results.get('intervals') or evaluate.objective_of(
    results
  ).intervals(predictions.targets_of(found), found['probabilities'])
  return Run(str(folder), results, intervals, found['ids'])


def compare(out: str | Path, folders: Sequence[str]) -> None:
  """Writes the page and its Markdown.

  Args:
    out: PAGE.html.
    folders: of finished experiments.

  Raises:
    UserError: a folder holds no finished experiment, runs of one table were
      scored on different clips, or the page cannot be written.
  """
  out = Path(out)
  if out.suffix != '.html':
    raise UserError(f'--out is {str(out)!r}; it must end in .html')
  runs = [load(folder) for folder in folders]
  sections = [
    section
    for table in thesis.ROWS
    if (section := _section(table, runs)) is not None
  ]
  sections += [_other(runs), _about(runs)]
  try:
    page.write(out, 'Experiments beside the thesis', sections)
  except OSError as error:
    raise UserError(f'cannot write {out}: {error.strerror}') from error


def _section(table, runs) -> Section | None:
  """A table with what goes with it; None when no run belongs to it."""
  rows = [
    (label, names, [r for r in runs if r.results['experiment'] in names])
    for label, names in thesis.ROWS[table]
  ]
  found = [run for _, _, some in rows for run in some]
  if not found:
    return None
  _check_same_clips(found)
  blocks: list[Block] = [_scores(table, rows)]
  if missing := [names[0] for _, names, some in rows if not some]:
    commands = '\n'.join(_command(name, found[0]) for name in missing)
    blocks += [Text('The rows without a run are filled by:'), Code(commands)]
  # Of several runs of a row the first given stands for it.
  first = [(label, some[0] if some else None) for label, _, some in rows]
  if table == 'Table 10':
    first = first[_LEVELS]
    blocks += [*_t_tests('Table 11', first), *_figures_36_37(first)]
  if table in ('Table 14', 'Table 15'):
    figure = {'Table 14': 39, 'Table 15': 40}[table]
    blocks += [*_t_tests(table, first), *_figure_39_40(figure, first)]
  title = 'Tables 10 and 11' if table == 'Table 10' else table
  return Section(title, blocks)


def _check_same_clips(runs):
  first = runs[0]
  for run in runs[1:]:
    same = list(run.results['per_class']) == list(first.results['per_class'])
    if not same or not np.array_equal(run.ids, first.ids):
      raise UserError(
        f'{run.folder} was scored on other clips than {first.folder}: compare'
        ' them apart'
      )


def _command(name, like) -> str:
  """What fills a row, with the data of another run of the table."""
  workdir = Path(like.folder).parent / name
  parts = [
    'python -m aec_jax.main',
    f'--config=configs/{name}.py',
    f'--workdir={shlex.quote(str(workdir))}',
  ]
  if data_dir := like.results['config']['data_dir']:
    parts.append(f'--config.data_dir={shlex.quote(str(data_dir))}')
  return ' '.join(parts)


def _scores(table, rows) -> Table:
  """A row for each run, and one for each model that has none."""
  names = _SCORES['Table 10' if table == 'Table 10' else 'others']
  expected = {label: thesis.SCORES[configs[0]] for label, configs, _ in rows}
  printed = [n for n in names if any(n in e for e in expected.values())]
  header = ['model']
  for name in names:
    header += [NAMES[name], 'thesis'] if name in printed else [NAMES[name]]
  header.append('run')
  lines = []
  for label, _, some in rows:
    for run in some or [None]:
      line = [label]
      for name in names:
        line.append(_score(run, name))
        if name in printed:
          line.append(f'{expected[label][name]:.3f}')
      lines.append([*line, _named(run) if run else '—'])
  caption = f'{table}. Below a score is its 95 % bootstrap interval.'
  return Table(caption, header, lines)


def _named(run) -> str:
  """Its folder, and what its scores are not to be held against others for."""
  return '\n'.join([run.folder, *console.caveats(run.results)])


def _score(run, name) -> str:
  """A score with its interval below it."""
  if run is None or name not in run.results['metrics']:
    return '—'
  lines = [f'{run.results["metrics"][name]:.4f}']
  if name in run.intervals:
    lines.append(interval_text(run.intervals[name]))
  return '\n'.join(lines)


def _t_tests(table, models) -> list:
  """The matrix of paired t-tests over the classes' AP or AP@3.

  Args:
    table: whose p values the thesis has.
    models: (label, run or None) of each row and column.
  """
  rows = []
  for i, (label, one) in enumerate(models):
    row = [label]
    for j, (_, other) in enumerate(models):
      row.append('' if i == j else _p_values(one, other, table, i, j))
    rows.append(row)
  what = 'AP' if table == 'Table 11' else 'AP@3'
  return [
    Table(
      f'{table}: paired t-tests over the {what} of the classes. A cell has the'
      ' one-sided p, the two-sided p, and the thesis’s one-sided p. Marked:'
      f' one-sided p above {_SIGNIFICANT}, no significant difference.',
      ['', *(label for label, _ in models)],
      rows,
    )
  ]


def _p_values(one, other, table, i, j) -> Cell:
  theirs = thesis.p_value(table, i, j)
  if one is None or other is None:
    return Cell(f'—\n—\n{theirs}')
  classes = list(one.results['per_class'])
  test = metrics.paired_t_test(one.per_class(classes), other.per_class(classes))
  ours = f'{_p_text(test.p_one_sided)}\n{_p_text(test.p_two_sided)}'
  return Cell(f'{ours}\n{theirs}', mark=test.p_one_sided > _SIGNIFICANT)


def _p_text(p):
  return f'{p:.3f}' if p >= 0.001 or p == 0 else f'{p:.1e}'


def _figures_36_37(models) -> list:
  """AP of 16 classes: those that the text names, the others drawn by seed 0."""
  present = [(label, run) for label, run in models if run]
  if not present:
    return []
  classes = list(present[0][1].results['per_class'])
  named = [name for name in thesis.NAMED_CLASSES if name in classes]
  others = [name for name in classes if name not in named]
  draw = np.random.default_rng(0).permutation(len(others))
  chosen = named + [others[i] for i in draw[: _DRAWN - len(named)]]
  about = (
    'The classes of Figures 36 and 37 were drawn at random. Those that the'
    ' thesis names come first; the others are drawn anew.'
  )
  half = -(-len(chosen) // 2)
  one = _by_class('Figure 36', 'AP', chosen[:half], present)
  other = _by_class('Figure 37', 'AP', chosen[half:], present)
  # The figures side by side, then their numbers.
  return [Text(about), *one[:1], *other[:1], *one[1:], *other[1:]]


def _figure_39_40(number, models) -> list:
  """AP@3 of the four best and the four worst classes, by the runs' mean."""
  present = [(label, run) for label, run in models if run]
  if not present:
    return []
  classes = list(present[0][1].results['per_class'])
  mean = np.mean([run.per_class(classes) for _, run in present], 0)
  order = np.argsort(-mean, kind='stable')[: np.sum(~np.isnan(mean))]
  ends = [*order[:_ENDS], *order[_ENDS:][-_ENDS:]]
  caption = f'Figure {number}, the best and the worst classes'
  return _by_class(caption, 'AP@3', [classes[k] for k in ends], present)


def _by_class(caption, what, classes, models) -> list:
  """A figure of some classes' scores, and its numbers."""
  if not classes:
    return []
  series = {label: run.per_class(classes) for label, run in models}
  rows = [
    [name, *('—' if np.isnan(v[k]) else f'{v[k]:.3f}' for v in series.values())]
    for k, name in enumerate(classes)
  ]
  return [
    Figure(f'{caption}: {what} by model.', charts.dots(classes, series, what)),
    Table(f'{caption}: its numbers', ['class', *series], rows, folded=True),
  ]


def _other(runs) -> Section:
  """Scores of the runs that are no row of the thesis."""
  known = {
    name for rows in thesis.ROWS.values() for _, names in rows for name in names
  }
  rows = [
    [
      run.results['experiment'],
      *(_score(run, name) for name in (*_SCORES['Table 10'], 'MAP@3')),
      run.folder,
    ]
    for run in runs
    if run.results['experiment'] not in known
  ]
  if not rows:
    return Section('Other experiments', [])
  header = ['experiment', 'mAP', 'AUC', "d'", 'MAP@3', 'run']
  caption = 'Experiments that are no row of the thesis’s tables.'
  return Section('Other experiments', [Table(caption, header, rows)])


def _about(runs) -> Section:
  """What each run is, and where its config differs from the others'."""
  rows = [
    [
      _named(run),
      run.results['experiment'],
      f'{run.results["n_examples"]:,}',
      f'{sum(run.results["seconds"].values()):,.0f}',
      run.results['versions']['device'],
      '\n'.join(differing) or '—',
    ]
    for run, differing in zip(runs, _differing(runs), strict=True)
  ]
  header = [
    'run',
    'experiment',
    'scored clips',
    'seconds',
    'device',
    'fields that differ among the runs',
  ]
  return Section('The runs', [Table('The runs.', header, rows)])


def _differing(runs) -> list[list[str]]:
  """Of each run the fields whose values are not those of all runs."""
  default = dict(fields.flattened(presets.base().to_dict()))
  configs = [default | fields.upgraded(r.results['config']) for r in runs]
  names = sorted({name for config in configs for name in config})
  varying = [
    name
    for name in names
    if name != 'name'
    and fields.role(name) != 'how'
    and len({json.dumps(config.get(name)) for config in configs}) > 1
  ]
  return [
    [f'{name} {config[name]}' for name in varying if name in config]
    for config in configs
  ]


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.Parser(__doc__)
  parser.add_argument('--out', required=True, metavar='PAGE.html')
  parser.add_argument('folders', nargs='+', metavar='DIR')
  arguments = parser.parse_args(argv)
  compare(arguments.out, arguments.folders)
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
