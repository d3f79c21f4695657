"""The sections on what an experiment was made of.

Its data, what of them was left out, and its settings; each is a function of
`results`, as in results.json.
"""

import collections
import json
from collections.abc import Mapping

from aec_jax.report.page import Cell, Section, Table, Text
from aec_jax.report.summary_section import data_name

_FREQUENT = 20  # as in Figures 30 to 32
_LISTED = 100  # skipped files that are named


def data(results: Mapping) -> Section:
  """How many clips the classes have in each split, and how long they are."""
  about = results.get('data', {})
  if 'seconds' in about:
    return Section('Data', [_lengths(about, results['expected'])])
  splits = about.get('clips', {})
  figures = ' (Figures 30 to 32)' if results['expected'] else ''
  return Section(
    'Data', [_frequent(name, n, figures) for name, n in splits.items()]
  )


def _frequent(split, clips, figures) -> Table:
  """One of Figures 30 to 32."""
  names = sorted(clips, key=clips.get, reverse=True)[:_FREQUENT]
  most = max(clips.values()) or 1
  rows = [[n, Cell(f'{clips[n]:,}', bar=clips[n] / most)] for n in names]
  some = 'All' if len(clips) <= _FREQUENT else f'The {_FREQUENT} most frequent'
  sizes = sorted(clips.values())
  return Table(
    f'{some} classes of {split}{figures}. Clips of a class: at least'
    f' {sizes[0]:,}, at most {sizes[-1]:,}; half have'
    f' {sizes[len(sizes) // 2]:,} or more.',
    ['class', 'clips'],
    rows,
  )


def _lengths(about, of_thesis) -> Table:
  """Figures 33 and 34."""
  splits, verified, seconds = (
    about['clips'],
    about['verified'],
    about['seconds'],
  )
  counts = splits['train']
  others = {f'{s} clips': n for s, n in splits.items() if s != 'train'}
  # Clips of under 5 ms are 0.00 s here.
  longest = max(s[-1] for s in seconds.values()) or 1
  most = max(counts.values())
  # Where all are verified, or the data do not say, there is nothing to show.
  checked = min(verified.values()) < 1
  rows = []
  for name in sorted(counts, key=counts.get, reverse=True):
    row = [name, Cell(f'{counts[name]:,}', bar=counts[name] / most)]
    if checked:
      row.append(f'{verified[name]:.0%}' if counts[name] else '—')
    row += [f'{clips[name]:,}' for clips in others.values()]
    box = Cell('—')
    if counts[name]:
      text = ' · '.join(f'{s:.1f}' for s in seconds[name])
      box = Cell(text, box=[s / longest for s in seconds[name]])
    rows.append([*row, box])
  lengths = 'seconds: least · quartile · median · quartile · most'
  what = ', how many of them are verified by a person,' if checked else ''
  figures = ' (Figures 33 and 34)' if of_thesis else ''
  header = ['class', 'training clips', *(['verified'] if checked else [])]
  return Table(
    f'Training clips of each class{what} and how long they are{figures}.',
    [*header, *others, lengths],
    rows,
  )


def skipped(results: Mapping) -> Section:
  """The files and records that are not in the data, and those that are odd."""
  blocks = [
    *_entries('Left out of the data', results['skipped']),
    *_entries('Kept, but odd', results.get('notes', [])),
  ]
  return Section('Skipped', blocks or [Text('Nothing was left out.')])


def _entries(what, entries) -> list[Table]:
  """How often each reason was met, and the first files."""
  if not entries:
    return []
  reasons = collections.Counter(entry['reason'] for entry in entries)
  counts = [[reason, f'{n:,}'] for reason, n in reasons.most_common()]
  files = [[_where(entry), entry['reason']] for entry in entries[:_LISTED]]
  some = f' (the first {_LISTED:,})' if len(entries) > _LISTED else ''
  return [
    Table(f'{what}: why.', ['reason', 'count'], counts),
    Table(f'{what}: which{some}', ['file', 'reason'], files, folded=True),
  ]


def _where(entry):
  if 'record' in entry:
    return f'{entry["file"]}, record {entry["record"]}'
  return entry['file']


def settings(results: Mapping) -> Section:
  """Seed, time, versions, and the whole config."""
  seconds = {
    f'seconds: {k}': f'{v:,.1f}' for k, v in results['seconds'].items()
  }
  sizes = {
    f'parameters: {k}': f'{v:,}'
    for k, v in results.get('parameters', {}).items()
    if v
  }
  about = {
    'data': data_name(results),
    'data fingerprint': results['dataset_fingerprint'],
    'finished': results.get('finished', '—'),
    'command': results.get('command', '—'),
    'seed': results['config']['seed'],
    **sizes,
    **seconds,
    **results['versions'],
  }
  return Section(
    'How it was made',
    [
      Table(
        'Data, date, command, size, time and versions.',
        ['what', 'value'],
        [[name, str(value)] for name, value in about.items()],
      ),
      Table(
        'The whole config',
        ['field', 'value'],
        flat(results['config']),
        folded=True,
      ),
    ],
  )


def flat(config: Mapping, prefix: str = '') -> list[list[str]]:
  """Rows of a config's fields, as 'model.name', and their values."""
  rows = []
  for name, value in config.items():
    if isinstance(value, dict):
      rows += flat(value, f'{prefix}{name}.')
    else:
      rows.append([f'{prefix}{name}', json.dumps(value, ensure_ascii=False)])
  return rows
