"""The section on learning: what was measured while something was trained.

`results` is as in results.json; older ones have less of it.
"""

from collections.abc import Mapping

import numpy as np

from aec_jax.input import folds
from aec_jax.report import charts
from aec_jax.report.page import Block, Figure, Section, Table, Text
from aec_jax.report.score_sections import from_start, validation_loss

_STEP = 'step'


def learning(results: Mapping) -> Section:
  """Charts of all that was trained, from step 0 on."""
  metric = results['config']['metric']
  blocks: list[Block] = []
  if 'evaluations' in results:
    blocks += _classifiers({'evaluations': results['evaluations']}, metric, '')
  for length, report in results.get('ensembles', {}).items():
    pieces = f' · pieces of {length} segments' if int(length) else ''
    blocks += _classifiers(report, metric, pieces)
  tuned = {
    name: history
    for name, history in map(_history, results.get('fine_tuning', {}).items())
    if history['evaluations']
  }
  blocks += _extractors(tuned)
  return Section('Learning curves', blocks)


def _history(item) -> tuple[str, dict]:
  """(name, history) of an extractor; older results have a list."""
  name, found = item
  return folds.in_words(name), {'evaluations': found} if isinstance(
    found, list
  ) else found


def _passes(report) -> tuple[str, float] | None:
  unit = report.get('steps_a_pass')
  return ('passes over the data', unit) if unit else None


def _classifiers(report, metric, what) -> list[Figure | Table]:
  entries = from_start(report)
  members = 'members' in report['evaluations'][0]
  where = 'validation clips' if members else 'scored clips'
  second = _passes(report)
  return [
    Figure(
      f'{metric} on the {where} at each evaluation{what}.',
      charts.lines(
        _score_curves(entries, metric), _STEP, metric, second=second
      ),
    ),
    Figure(
      f'Loss: of training, the mean since the evaluation before; on the {where}'
      f' at each evaluation{what}.',
      charts.lines(_losses(entries), _STEP, 'loss', second=second, wide=True),
    ),
    Table(
      f'All evaluations{what}',
      ['step', 'training loss', 'validation loss', metric],
      [
        [
          f'{entry["step"]:,}', _number(entry.get('loss')),
          _number(validation_loss(entry)), f'{entry[metric]:.4f}',
        ]
        for entry in entries
      ],
      folded=True,
    ),
  ]  # fmt: skip


def _number(value: float | None) -> str:
  return '—' if value is None else f'{value:.4f}'


def _losses(entries) -> dict[str, tuple]:
  found = {}
  for name, of in (
    ('training loss', lambda e: e.get('loss')),
    ('validation loss', validation_loss),
  ):
    points = [(e['step'], of(e)) for e in entries if of(e) is not None]
    if points:
      steps, losses = zip(*points, strict=True)
      found[name] = (steps, losses)
  return found


def _score_curves(evaluations, metric) -> dict[str, tuple]:
  """The lines of a score: one, or of members their mean, best and worst."""
  steps = [entry['step'] for entry in evaluations]
  scores = [entry[metric] for entry in evaluations]
  members = evaluations[-1].get('members', {}).get(metric, [])
  watched = {}
  if 'scored' in evaluations[-1]:
    found = [entry['scored'][metric] for entry in evaluations]
    watched = {'scored clips, which choose nothing': (steps, found)}
    if len(members) < 2 and found == scores:  # nothing is held out beside them
      return watched
  if len(members) < 2:
    return {metric: (steps, scores), **watched}
  # None, and then NaN, where a member has diverged.
  every = np.array([entry['members'][metric] for entry in evaluations], float)
  return {
    f'mean of {every.shape[1]} members': (steps, scores),
    'best member': (steps, np.nanmax(every, 1)),
    'worst member': (steps, np.nanmin(every, 1)),
    **watched,
  }


def _extractors(tuned: Mapping[str, dict]) -> list[Block]:
  """Charts of fine-tuning, some extractors each, and all numbers."""
  blocks: list[Block] = []
  if not tuned:
    return blocks
  blocks.append(
    Text(
      'Extractors are fine-tuned on single examples: the loss is of an example,'
      ' and validated on clips that the extractor does not train on.'
    )
  )
  every = list(tuned.items())
  for first in range(0, len(every), charts.COLOURS):
    some = every[first : first + charts.COLOURS]
    second = _passes(some[0][1])
    for which in ('validation loss', 'training loss'):
      series = {
        name: curve
        for name, history in some
        if (curve := _curve(history, which))
      }
      if series:
        blocks.append(
          Figure(
            f'Fine-tuning: {which} of an example, by'
            f' {_alone(series) or "extractor"}.',
            charts.lines(series, _STEP, which, second=second, wide=True),
          )
        )
  rows = [
    [
      name, f'{e["step"]:,}', _number(e.get('loss')),
      _number(validation_loss(e)), _number(e.get('accuracy')),
    ]
    for name, history in tuned.items()
    for e in from_start(history)
  ]  # fmt: skip
  header = ['extractor', 'step', 'training loss', 'validation loss', 'accuracy']
  return [*blocks, Table('Fine-tuning: all evaluations', header, rows, True)]


def _alone(series) -> str:
  return next(iter(series)) if len(series) == 1 else ''


def _curve(history, which) -> tuple | None:
  return _losses(from_start(history)).get(which)
