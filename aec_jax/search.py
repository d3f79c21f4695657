"""Finds sounds in an index of `aec_jax.embed`: like one, or worth a label.

  python -m aec_jax.search --index=INDEX SOUND
  python -m aec_jax.search --index=INDEX --label=list.csv

The first names the pieces nearest to a sound. The second writes those on which
the members of the bundle disagree most, as a list for the folder that holds the
sounds: fill in its column `label`, drop the rows that you don't know, put it
there as labels.csv, and `configs/folder.py` trains on it. The bundle is the one
that the index was made with; where it has moved, --bundle names it.
"""

import csv
import json
import sys
from collections.abc import Sequence

from aec_jax import asking, formats, predict, telling
from aec_jax.errors import UserError
from aec_jax.run import console, files, text


def main(argv: Sequence[str] | None = None) -> int:
  arguments = _parser().parse_args(argv)
  if bool(arguments.sound) == bool(arguments.label):
    raise UserError('give a SOUND to look for, or --label=FILE.csv')
  if arguments.count < 1:
    raise UserError(f'--count is {arguments.count}; it must be 1 or more')
  from aec_jax import index
  from aec_jax.bundle import store

  console.allow_any_names()
  opened = index.open_index(arguments.index)
  for name in ('bundle', 'vggish', 'pca'):
    if getattr(arguments, name) is None:
      setattr(arguments, name, opened.source.get(name))
  arguments.float_range = arguments.float_range or tuple(
    opened.about.get('float_range', ())
  )
  if not arguments.bundle:
    raise UserError(f'{arguments.index} names no bundle: give --bundle')
  tagger = store.from_arguments(arguments)
  opened.check(tagger)
  if arguments.label:
    rows = index.disputed(opened, tagger, arguments.count)
    _write_list(arguments.label, rows)
    name = console.printable(arguments.label)
    print(f'wrote {name}: {len(rows):,} pieces', file=sys.stderr)
    return 0
  query = _query(tagger, arguments.sound, arguments.float_range)
  _show(index.nearest(opened, query, arguments.sound, arguments.count),
        arguments.format)  # fmt: skip
  return 0


def _parser():
  parser = console.Parser(__doc__)
  parser.add_argument('sound', nargs='?', metavar='SOUND')
  parser.add_argument('--index', required=True, help='What embed wrote.')
  parser.add_argument('--label', metavar='FILE.csv', help='The list to write.')
  parser.add_argument('--count', type=int, default=10, help='Pieces [10].')
  parser.add_argument(
    '--format', choices=formats.OF_ANY, default='table', help='[table]'
  )
  parser.add_argument('--bundle', help='[the one that made the index]')
  parser.add_argument('--vggish', help='[as for embed]')
  parser.add_argument('--pca', help='[as for embed]')
  asking.add_float_range(parser)
  return parser


def _query(tagger, sound, float_range):
  """(segment, number) embeddings of the sound that is looked for."""
  import numpy as np

  from aec_jax import answers

  file = predict.File(sound, named=True)
  tagged = predict.tag(
    answers.Embeddings(tagger), [file], float_range=float_range
  )
  rows: list = []
  for _, name, found in tagged:
    if found.error:
      raise found.error
    if found.last:
      telling.say_notes(name, found.notes)
    rows += [row for _, _, row in found.rows]
  if not rows:
    raise UserError(f'{sound}: is silent: there is nothing to look for')
  return np.stack(rows)


def _show(rows, kind: str) -> None:
  """Prints pieces: similarity, file, start and end."""
  names = ('similarity', 'file', 'start', 'end')
  if kind == 'json':
    found = [dict(zip(names, row, strict=True)) for row in rows]
    print(json.dumps(found, indent=1))
  elif kind == 'csv':
    out = csv.writer(sys.stdout, lineterminator='\n')
    out.writerow(names)
    out.writerows((like, text.cell(file), *at) for like, file, *at in rows)
  else:
    for similarity, file, start, end in rows:
      name = console.printable(file)
      print(f'{similarity:6.3f} {start:9.2f} {end:9.2f}  {name}')


def _write_list(path: str, rows) -> None:
  try:
    with (
      files.whole(path) as unfinished,
      open(
        unfinished, 'w', encoding='utf-8', errors='surrogateescape', newline=''
      ) as file,
    ):
      out = csv.writer(file, lineterminator='\n')
      out.writerow(('file', 'start', 'end', 'label', 'guess', 'disagreement'))
      for *cells, guess, dispute in rows:
        out.writerow((*cells, text.cell(guess), dispute))
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error.strerror}') from error


if __name__ == '__main__':
  sys.exit(console.run_command(main))
