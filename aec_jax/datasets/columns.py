"""Which columns of a list say what."""

import os

from aec_jax.datasets.entries import some
from aec_jax.datasets.lists import SPLITS, Table

FILE = (
  'file',
  'fname',
  'filename',
  'file_name',
  'path',
  'filepath',
  'file_path',
  'slice_file_name',
  'audio_filename',
  'audio_file',
  'audio_path',
  'mp3_path',
)
OPTIONAL = {
  'fold': ('fold',),
  'verified': ('verified', 'manually_verified'),
  'split': ('split',),
  'group': ('group', 'recording', 'fsid', 'src_file'),
}
# Of parts of files. An offset is where a part begins (as of offset and
# duration), or beside a start where it ends (as of onset and offset).
_STARTS = ('start', 'onset', 'start_seconds')
_ENDS = ('end', 'end_seconds')
_OFFSET = 'offset'
_DURATIONS = ('duration', 'duration_seconds')
# Of splits too, where train and nothing but splits stand below.
_PERHAPS_SPLITS = ('subset', 'set', 'partition')
TAKEN = (
  *FILE,
  *(heading for headings in OPTIONAL.values() for heading in headings),
  *_STARTS,
  *_ENDS,
  _OFFSET,
  *_DURATIONS,
)


def says(table: Table, what: str) -> bool:
  """Whether a table has a column of one of `OPTIONAL`."""
  return table.place(optional(table)[what]) is not None


def optional(table: Table) -> dict[str, tuple[str, ...]]:
  """The headings that columns beside files and labels go by in a table."""
  found: dict[str, tuple[str, ...]] = {
    **OPTIONAL,
    'split': _of_splits(table),
    'start': _STARTS,
    'end': _ENDS,
  }
  for part in ('start', 'end'):
    if table.place(found[part]) is None:
      found[part] = (_OFFSET,)
      break
  has = {part: table.place(found[part]) is not None for part in found}
  # Without a start it may be what the whole file lasts.
  if has['start'] and not has['end']:
    found['duration'] = _DURATIONS
  return found


def _of_splits(table) -> tuple[str, ...]:
  """The headings of a column of splits."""
  if table.place(OPTIONAL['split']) is not None:
    return OPTIONAL['split']
  for heading in _PERHAPS_SPLITS:
    if heading in table.header:
      cells = {cell.lower() for cell in table.column(heading)}
      if cells & {'train', 'training'} and cells <= {'', *SPLITS}:
        return (heading,)
  return OPTIONAL['split']


def offsets(table) -> list[str]:
  """A note on a column of offsets that are not the ends of parts."""
  place = table.place(optional(table)['start'])
  if place is None or table.header[place] != _OFFSET:
    return []
  where = os.path.basename(table.path)
  return [f'{where}: an offset is where a part begins, for there is no start']


def ignored(table, columns) -> list[str]:
  """A note on the columns that nothing is made of."""
  used = {table.place(names) for names in (FILE, *optional(table).values())}
  names = [
    heading
    for i, heading in enumerate(table.header)
    if heading and i not in used and heading not in columns
  ]
  if not names:
    return []
  where = os.path.basename(table.path)
  return [f'{where}: columns that are not used: {some(names)}']
