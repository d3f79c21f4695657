"""The section on scores by AudioSet's ontology, of results.json."""

from collections.abc import Mapping

from aec_jax.report.page import Cell, Section, Table, Text
from aec_jax.report.score_sections import NAMES


def by_ontology(results: Mapping) -> Section:
  """Scores by branch and by depth; empty where there is no ontology."""
  title, found = 'By the ontology', results.get('hierarchy')
  if not found:
    return Section(title, [])
  return Section(
    title,
    [
      Text(' '.join([*_labels(results, found), *_unknown(found)])),
      _table(
        'Scores by branch, best first: means over its classes. A class of'
        ' several branches counts in each.',
        'branch',
        dict(sorted(found['by_branch'].items(), key=lambda x: -x[1]['mAP'])),
      ),
      _table(
        'Scores by depth: means over the classes. At depth 1 are the branches,'
        ' of which not all are classes themselves.',
        'depth',
        found['by_depth'],
      ),
    ],
  )


def _table(caption, what, groups) -> Table:
  rows = [
    [
      name,
      Cell(f'{group["mAP"]:.3f}', bar=group['mAP']),
      f'{group["AUC"]:.3f}',
      f'{group["classes"]:,}',
      f'{group["clips"]:,}',
    ]
    for name, group in groups.items()
  ]
  return Table(caption, [what, 'mAP', 'AUC', 'classes', 'scored clips'], rows)


def _labels(results, found) -> list[str]:
  """What labels lack, what that is worth, and what was trained on."""
  lines = []
  shares = results.get('data', {}).get('without_class_above', {})
  if shares:
    each = [f'{share:.0%} of {split}' for split, share in shares.items()]
    lines.append(
      'Labels of many clips lack a class that stands above one of theirs:'
      f' {" and ".join(each)}.'
    )
  main = next(iter(results['metrics']))
  before, after = results['metrics'][main], found['passed_up'][main]
  lines.append(
    'Had the scored clips every class above their labels,'
    f' {NAMES[main]} would be {after:.4f} instead of {before:.4f}.'
  )
  if results['config'].get('pass_up'):
    lines.append('Training clips had every class above theirs.')
  return lines


def _unknown(found) -> list[str]:
  count = found['unknown']
  if not count:
    return []
  return [f'{count} classes are not in the ontology, and in no row here.']
