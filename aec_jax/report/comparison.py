"""The sections that compare runs of any kind, one beside another."""

import collections
import itertools
import json
from collections.abc import Sequence

import numpy as np

from aec_jax import metrics, presets
from aec_jax.report import charts
from aec_jax.report.page import Block, Cell, Figure, Section, Table, Text
from aec_jax.report.runs import SIGNIFICANT, Run, named, p_text, score_text
from aec_jax.report.score_sections import NAMES, from_start, validation_loss
from aec_jax.run import fields


def sections(runs: Sequence[Run]) -> list[Section]:
  """What differs, scores and cost, learning curves, paired tests."""
  return [
    Section('What differs', _what_differs(runs)),
    Section('Scores and cost', _scores(runs)),
    Section('Learning curves', _curves(runs)),
    Section('Paired tests', _tests(runs)),
    Section('The runs', [_about(runs)]),
  ]


def _settings(runs) -> list[dict]:
  """Of each run its config, flat; what an older one lacks is its default."""
  default = dict(fields.flattened(presets.base().to_dict()))
  return [default | fields.upgraded(r.results['config']) for r in runs]


def differing(runs: Sequence[Run]) -> dict[str, list[str]]:
  """The fields whose values are not those of all runs, and those of each.

  Where things lie and how they are done is none of them.
  """
  configs = _settings(runs)
  out = {}
  for name in sorted({name for config in configs for name in config}):
    if name == 'name' or fields.role(name) == 'how':
      continue
    values = [json.dumps(config.get(name)) for config in configs]
    if len(set(values)) > 1:
      out[name] = [
        v if name in c else '—' for v, c in zip(values, configs, strict=True)
      ]
  return out


def _what_differs(runs) -> list[Block]:
  found = differing(runs)
  if not found:
    return [Text('All runs have the same settings.')] if len(runs) > 1 else []
  header = ['field', *(run.name for run in runs)]
  rows = [[name, *values] for name, values in found.items()]
  return [
    Table('The settings that are not the same in all runs.', header, rows)
  ]


def _by_main(runs) -> dict[str, list[Run]]:
  """The runs by their main score, which only runs of one kind share."""
  out = collections.defaultdict(list)
  for run in runs:
    out[run.main].append(run)
  return out


def _by_clips(runs) -> list[list[Run]]:
  """The runs whose scores are of the same kind and clips, together."""
  groups: list[list[Run]] = []
  for run in runs:
    same = (g for g in groups if run.same_clips(g[0]) and run.main == g[0].main)
    found = next(same, None)
    if found is None:
      groups.append(found := [])
    found.append(run)
  return groups


def _scores(runs) -> list[Block]:
  blocks: list[Block] = []
  for main, some in _by_main(runs).items():
    rows = {
      run.name: (run.results['metrics'][main], run.intervals[main])
      for run in some
      if main in run.intervals
    }
    if rows:
      title = NAMES.get(main, main)
      chart = charts.ranges(rows, title)
      blocks.append(Figure(f'{title} and its 95 % interval.', chart))
    if len(alike := _by_clips(some)) > 1:
      apart = '; '.join(', '.join(r.name for r in group) for group in alike)
      blocks.append(
        Text(f'Scored on different clips, so not to be compared: {apart}.')
      )
    scores = _of_any(some)
    blocks.append(
      Table(
        'Scores, and below each its 95 % interval over the scored clips; and'
        ' what it took.',
        ['run', *(NAMES.get(n, n) for n in scores), 'seconds', 'parameters'],
        [[named(r), *(score_text(r, n) for n in scores), *_cost(r)]
         for r in some],
      )
    )  # fmt: skip
    blocks += _over_seeds(some, scores)
  return blocks


def _of_any(runs) -> list[str]:
  """The scores that any of some runs has, in their order."""
  found = {
    name: None
    for run in runs
    for name, value in run.results['metrics'].items()
    if isinstance(value, float)
  }
  return list(found)


def _cost(run) -> list[str]:
  parameters = sum(run.results.get('parameters', {}).values())
  return [
    f'{sum(run.results["seconds"].values()):,.0f}',
    f'{parameters:,}' if parameters else '—',
  ]


def _over_seeds(runs, scores) -> list[Table]:
  """Means over the runs that differ in their seed alone."""
  groups = collections.defaultdict(list)
  for run, config in zip(runs, _settings(runs), strict=True):
    what = {
      k: v for k, v in config.items() if k != 'seed' and fields.role(k) != 'how'
    }
    data = run.results.get('dataset_fingerprint')
    groups[json.dumps([what, data], sort_keys=True, default=str)].append(run)
  rows = [
    [
      ', '.join(run.name for run in some),
      str(len(some)),
      *(_spread([run.results['metrics'].get(name) for run in some])
        for name in scores),
    ]
    for some in groups.values()
    if len({run.results['config'].get('seed') for run in some}) > 1
  ]  # fmt: skip
  if not rows:
    return []
  header = ['runs', 'seeds', *(NAMES.get(name, name) for name in scores)]
  caption = 'Runs that differ in their seed alone: means ± deviations.'
  return [Table(caption, header, rows)]


def _spread(values) -> str:
  if None in values:
    return '—'
  return f'{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}'


def _curves(runs) -> list[Block]:
  blocks: list[Block] = []
  for metric, some in _by_metric(runs).items():
    for first in range(0, len(some), charts.COLOURS):
      shown = dict(list(some.items())[first : first + charts.COLOURS])
      for what, of in (
        (metric, lambda e, m=metric: e.get(m)),
        ('validation loss', validation_loss),
      ):
        series = {
          name: found
          for name, entries in shown.items()
          if (found := _points(entries, of))
        }
        if series:
          blocks.append(
            Figure(
              f'At each evaluation, the mean over the members: {what}.',
              charts.lines(series, 'step', what, wide=what != metric),
            )
          )
  return blocks


def _by_metric(runs) -> dict[str, dict[str, list]]:
  """By the score that training stops by: {name of a curve: evaluations}."""
  out: dict[str, dict] = collections.defaultdict(dict)
  for run in runs:
    ensembles = run.results.get('ensembles', {})
    for length, report in ensembles.items():
      name = run.name if len(ensembles) == 1 else f'{run.name} · {length}'
      metric = run.results['config'].get('metric', run.main)
      out[metric][name] = from_start(report)
  return out


def _points(entries, of) -> tuple | None:
  found = [(e['step'], of(e)) for e in entries if of(e) is not None]
  return tuple(zip(*found, strict=True)) or None


def _tests(runs) -> list[Block]:
  """A matrix of tests for each set of runs with the same scored clips."""
  groups = _by_clips(runs)
  blocks: list[Block] = [_matrix(some) for some in groups if len(some) > 1]
  if len(groups) > 1:
    alone = ', '.join(some[0].name for some in groups if len(some) == 1)
    text = 'Only runs that were scored on the same clips are tested'
    blocks.append(Text(f'{text}; alone with theirs: {alone}.' if alone else
                       f'{text} against one another.'))  # fmt: skip
  return blocks


def _matrix(runs) -> Table:
  pairs = list(itertools.combinations(range(len(runs)), 2))
  tests = [_test(runs[i], runs[j]) for i, j in pairs]
  known = {k: test[1] for k, test in enumerate(tests) if test}
  corrected = metrics.holm(list(known.values()))
  adjusted = dict(zip(known, corrected, strict=True))
  cells = {}
  for k, (i, j) in enumerate(pairs):
    for a, b, sign in ((i, j, 1), (j, i, -1)):
      cells[a, b] = _cell(tests[k], adjusted.get(k), sign)
  what = (
    'the clips’ reciprocal ranks'
    if runs[0].main == 'MAP@3'
    else 'the classes’ AP'
  )
  count = range(len(runs))
  return Table(
    f'Paired t-tests over {what}, all pairs. A cell has how much better the run'
    ' of its row is than that of its column, the two-sided p, and p by Holm’s'
    f' correction for {len(pairs)} test{"s" * (len(pairs) > 1)}. Marked: above'
    f' {SIGNIFICANT}, no significant difference.',
    ['', *(run.name for run in runs)],
    [[runs[i].name, *(cells.get((i, j), '') for j in count)] for i in count],
  )


def _test(one, other) -> tuple[float, float] | None:
  """The mean difference and its two-sided p; None where there is too little."""
  both = np.isfinite([one.paired, other.paired]).all(0)
  if both.sum() < 2:
    return None
  test = metrics.paired_t_test(one.paired[both], other.paired[both])
  difference = float(np.mean(one.paired[both] - other.paired[both]))
  return difference, test.p_two_sided


def _cell(test, adjusted, sign) -> Cell | str:
  if test is None:
    return '—'
  difference, p = test
  return Cell(
    f'{sign * difference:+.4f}\n{p_text(p)}\n{p_text(adjusted)}',
    mark=adjusted > SIGNIFICANT,
  )


def _about(runs) -> Table:
  """What each run is, and where it lies."""
  rows = [
    [
      run.name,
      run.results['experiment'],
      f'{run.results["n_examples"]:,}',
      run.results['versions'].get('device', '—'),
      run.results.get('finished', '—'),
      run.folder,
    ]
    for run in runs
  ]
  header = ['run', 'experiment', 'scored clips', 'device', 'finished', 'folder']
  return Table('The runs.', header, rows)
