"""The section on labels that may be wrong, with their clips to hear.

`results` is as in results.json; `aec_jax.label_doctor` finds them.
"""

from collections.abc import Callable, Mapping

from aec_jax.report import charts
from aec_jax.report.clip_section import Shown
from aec_jax.report.page import Block, Clip, Clips, Section, Table, Text

_HEARD, _LISTED = 12, 500


def suspects(results: Mapping, show: Callable[[str], Shown]) -> Section:
  """The clips whose labels are most suspect.

  Args:
    results: with 'label_doctor' where labels were examined.
    show: looks at a clip, given its id.
  """
  about = results.get('label_doctor')
  if not about:
    return Section('Suspect labels', [])
  found = about['suspects']
  text = (
    f'Of {about["examined"]:,} clips, {len(found):,} are taken for another'
    ' class with confidence by classifiers that have not trained on them: it'
    ' is as probable as in the mean of its own clips.'
  )
  blocks: list[Block] = [Text(text)]
  if found:
    blocks.append(
      Text(
        f'In {about["list"]} the labels of {about["changed"]:,} are changed;'
        ' --config.dataset=folder --config.data_dir takes its folder.'
      )
    )
  if about.get('accepted'):
    blocks.append(
      Text(
        f'{about["accepted"]:,} labels that nobody has verified are what they'
        ' say with more than 0.95: in'
        f' {about["accepted_list"]} these count as verified.'
      )
    )
  if found:
    cards = [_card(entry, show) for entry in found[:_HEARD]]
    blocks += [Clips(f'The {len(cards)} most suspect', cards), _table(found)]
  return Section('Suspect labels', blocks)


def _card(entry, show) -> Clip:
  shown = show(entry['clip'])
  return Clip(
    entry['clip'],
    [
      ('label', f'{entry["label"]} {entry["given"]:.2f}'),
      ('taken for', f'{entry["better"]} {entry["found"]:.2f}'),
    ],
    charts.png(shown.picture),
    f'{shown.what} of {entry["clip"]}',
    shown.sound,
  )


def _table(found) -> Table:
  some = f', the first {_LISTED:,}' if len(found) > _LISTED else ''
  return Table(
    f'All suspect labels{some}, with the probabilities',
    ['clip', 'label', '', 'taken for', '', 'changed'],
    [
      [
        entry['clip'], entry['label'], f'{entry["given"]:.3f}',
        entry['better'], f'{entry["found"]:.3f}',
        'yes' if entry['changed'] else 'no',
      ]
      for entry in found[:_LISTED]
    ],
    folded=True,
  )  # fmt: skip
