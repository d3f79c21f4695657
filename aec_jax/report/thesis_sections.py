"""The sections with the thesis's tables, ours beside it, of finished runs.

Tables 10 to 15 with their t-tests, and Figures 36, 37, 39 and 40. A row without
a run gives the command that fills it.
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aec_jax import metrics, presets
from aec_jax.report import charts, thesis
from aec_jax.report.page import Block, Cell, Code, Figure, Section, Table, Text
from aec_jax.report.runs import SIGNIFICANT, Run, named, p_text, score_text
from aec_jax.report.score_sections import NAMES
from aec_jax.run import fields

_LEVELS = slice(3, None)  # the rows of Table 10 that Table 11 is about
_DRAWN = 16  # classes of Figures 36 and 37
_ENDS = 4  # best and worst classes of Figures 39 and 40
_SCORES = {
  'Table 10': ('mAP', 'AUC', 'd_prime'),
  'others': ('MAP@3_public', 'MAP@3_private', 'MAP@3'),
}


def sections(runs: Sequence[Run]) -> list[Section]:
  """The tables that one of the runs belongs to."""
  found = [_section(table, runs) for table in thesis.ROWS]
  return [section for section in found if section is not None]


def _section(table, runs) -> Section | None:
  """A table with what goes with it; None when no run belongs to it."""
  rows = [
    (label, names, [r for r in runs if _is_of(r, names)])
    for label, names in thesis.ROWS[table]
  ]
  found = [run for _, _, some in rows for run in some]
  if not found:
    return None
  title = 'Tables 10 and 11' if table == 'Table 10' else table
  if others := _on_other_clips(found):
    return Section(title, [Text(others)])
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
  return Section(title, blocks)


def _is_of(run: Run, names: Sequence[str]) -> bool:
  """Whether a run is of one of these configs, and of its data set."""
  name = run.results['experiment']
  if name not in names:
    return False
  theirs = presets.shipped(name).dataset
  return run.results['config'].get('dataset', theirs) == theirs


def _on_other_clips(runs) -> str:
  """Why runs are no rows of one table; '' where they are."""
  if all(run.same_clips(runs[0]) for run in runs):
    return ''
  names = ', '.join(run.name for run in runs)
  return (
    'No table is made of these runs, which were not scored on the same clips'
    f' and classes: {names}. Compare them apart.'
  )


def _command(name, like) -> str:
  """What fills a row as another run of the table was made."""
  folder = Path(like.folder).parent
  options = [f'--config=configs/{name}.py', f'--workdir={folder / name}']
  cache_dir = like.results.get('cache_dir')
  if cache_dir and Path(cache_dir).absolute() != (folder / 'cache').absolute():
    options.append(f'--cache_dir={cache_dir}')
  options += _overrides(like.results, presets.shipped(name))
  return ' '.join(['python -m aec_jax.main', *map(shlex.quote, options)])


def _overrides(results, config) -> list[str]:
  """What a run's command said of the fields that another config has, too."""
  theirs = presets.shipped(results['experiment'])
  theirs.data_dir = data_dir = results['config']['data_dir']
  usual = dict(fields.flattened(presets.resolve(theirs).to_dict()))
  # Other models have other fields, or the same of other sizes.
  same = {
    'model': config.model.name == theirs.model.name,
    'extractor': config.extractor.model == theirs.extractor.model,
    'name': False,
    'expected': False,
  }
  said = {
    path: value
    for path, value in fields.upgraded(results['config']).items()
    if path in usual
    and json.dumps(value) != json.dumps(usual[path])
    and same.get(path.partition('.')[0], True)
    and fields.matters(path, config)
  }
  if data_dir:
    said = {'data_dir': data_dir, **said}
  return [f'--config.{path}={_as_option(x)}' for path, x in said.items()]


def _as_option(value) -> str:
  """A value of a results.json as the command line takes it."""
  if not isinstance(value, list):
    return str(value)
  if all(isinstance(x, str) for x in value):
    return ','.join(value)
  return f'({",".join(map(str, value))},)'


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
        line.append(score_text(run, name))
        if name in printed:
          line.append(f'{expected[label][name]:.3f}')
      lines.append([*line, named(run) if run else '—'])
  caption = f'{table}. Below a score is its 95 % bootstrap interval.'
  return Table(caption, header, lines)


def _t_tests(table, models) -> list:
  """The matrix of paired t-tests over the classes' AP or AP@3.

  Args:
    table: whose p values the thesis has.
    models: (label, run or None) of each row and column.

  Returns:
    It; nothing of fewer than two runs.
  """
  if sum(run is not None for _, run in models) < 2:
    return []
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
      f' one-sided p above {SIGNIFICANT}, no significant difference.',
      ['', *(label for label, _ in models)],
      rows,
    )
  ]


def _p_values(one, other, table, i, j) -> Cell:
  theirs = thesis.p_value(table, i, j)
  if one is None or other is None:
    return Cell(f'—\n—\n{theirs}')
  classes = list(one.results['per_class'])
  pair = one.per_class(classes), other.per_class(classes)
  if np.sum(np.isfinite(pair).all(0)) < 2:  # classes that both are scored on
    return Cell(f'—\n—\n{theirs}')
  test = metrics.paired_t_test(*pair)
  ours = f'{p_text(test.p_one_sided)}\n{p_text(test.p_two_sided)}'
  return Cell(f'{ours}\n{theirs}', mark=test.p_one_sided > SIGNIFICANT)


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
