"""Lists the clips of a folder of anybody's own recordings."""

import os
import re

from aec_jax.datasets.clips import (
  Clips,
  Entry,
  checked,
  left_out,
  roots_of,
  visible,
  walk,
)
from aec_jax.datasets.lists import has_columns, read_list
from aec_jax.errors import UserError

# How the list of a folder calls its columns.
_COLUMNS = {
  'file': ('file', 'fname', 'filename'),
  'label': ('label', 'category'),
}
_OPTIONAL = {'fold': ('fold',), 'verified': ('verified', 'manually_verified')}
# ESC-10's F-ID-T.ogg and ESC-50's F-ID-T-C.wav: F is the fold.
_ESC_NAME = re.compile(r'(\d)-\d+-[A-Z](-\d+)?\.\w+')
_LEADING_NUMBER = re.compile(r'\d+ *- +')


def from_folder(data_dir: str | os.PathLike, on_bad: str = 'skip') -> Clips:
  """The clips of a folder of wav, flac, ogg or mp3 recordings.

  The labels are those of `labels.csv`, `metadata.csv` or the only CSV at the
  top, whose columns are file (or fname, filename), label (or category) and
  perhaps fold and verified (or manually_verified); files are named from the
  folder or from its `audio/`. Without a CSV each sub-folder (of the folder or
  of its `audio/`) is a class, named as the folder is but for a leading number
  as in '001 - Dog bark'. Should there only be sub-folders `train` and `test`,
  the classes are theirs. When every file is named as ESC-10's or ESC-50's are,
  the first digit is the fold.

  Args:
    data_dir: the folder.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.

  Raises:
    UserError: nothing of the kind is there, the CSV is faulty, no clip is
      usable, or on_bad is 'error' and a file is bad.
  """
  (root,) = roots_of(data_dir)
  files, skipped = walk(root)
  by_class = _by_class(files)
  listing = _folder_list(root, has_classes=bool(by_class))
  if listing:
    entries = _listed_entries(root, listing)
    classes = tuple(sorted({name for e in entries for name in e.labels}))
    known = {os.path.normpath(entry.path) for entry in entries}
    reason = f'not listed in {os.path.basename(listing)}'
  else:
    entries, classes = _class_entries(root, by_class)
    known = {entry.path for entry in entries}
    reason = 'not in a class folder'
  skipped += [
    left_out(os.path.relpath(path, root), reason)
    for path in (os.path.join(root, *parts) for parts in files)
    if path not in known
  ]
  return checked(entries, classes, skipped, on_bad, root)


def _by_class(files) -> list[tuple[tuple[str, ...], str, str]]:
  """(parts, split, class folder) of the files that lie in class folders."""
  in_audio = any(parts[0] == 'audio' and len(parts) > 2 for parts in files)
  depth = int(in_audio)
  inside = [parts for parts in files if len(parts) > depth + 1]
  if in_audio:
    inside = [parts for parts in inside if parts[0] == 'audio']
  firsts = {parts[depth] for parts in inside}
  if 'train' in firsts and firsts <= {'train', 'test'}:
    inside = [parts for parts in inside if len(parts) > depth + 2]
    return [(parts, parts[depth], parts[depth + 1]) for parts in inside]
  return [(parts, 'train', parts[depth]) for parts in inside]


def _class_entries(root, by_class) -> tuple[list[Entry], tuple[str, ...]]:
  """Entries and class names, in the order of the folders' names."""
  folders = sorted({folder for _, _, folder in by_class})
  if len(folders) < 2:
    found = f'only {folders[0]!r}' if folders else 'no recordings'
    raise UserError(
      f'{root}: {found}; expected a sub-folder of recordings for each class, or'
      ' labels.csv with the columns file and label'
    )
  folder_of = {}  # by class name
  for folder in folders:
    name = _LEADING_NUMBER.sub('', folder, count=1) or folder
    if name in folder_of:
      both = f'{folder_of[name]!r} and {folder!r}'
      raise UserError(f'{root}: the folders {both} are both named {name!r}')
    folder_of[name] = folder
  class_of = {folder: name for name, folder in folder_of.items()}
  unique = len({parts[-1] for parts, _, _ in by_class}) == len(by_class)
  entries = []
  for parts, split, folder in by_class:
    path, shown = os.path.join(root, *parts), '/'.join(parts)
    clip_id = parts[-1] if unique else shown
    labels = (class_of[folder],)
    entries.append(Entry(path, clip_id, labels, shown, split=split))
  return _with_esc_folds(entries), tuple(folder_of)


def _folder_list(root, has_classes: bool) -> str | None:
  """The CSV that lists a folder's files, None when its sub-folders do."""
  names = visible(root, ('.csv',))
  for name in ('labels.csv', 'metadata.csv'):
    if name in names:
      return os.path.join(root, name)
  if len(names) == 1:
    path = os.path.join(root, names[0])
    return path if has_columns(path, _COLUMNS) or not has_classes else None
  if names and not has_classes:
    raise UserError(
      f'{root}: several CSV files ({", ".join(names)}); call the one with the'
      ' labels labels.csv'
    )
  return None


def _listed_entries(root, listing) -> list[Entry]:
  entries = []
  rows = read_list(listing, _COLUMNS, _OPTIONAL)
  for row in rows:
    path = os.path.join(root, row['file'])
    in_audio = os.path.join(root, 'audio', row['file'])
    if not os.path.lexists(path) and os.path.lexists(in_audio):
      path = in_audio
    verified, fold = row.get('verified', True), row.get('fold', -1)
    entries.append(
      Entry(path, row['file'], (row['label'],), row['file'], verified, fold)
    )
  return entries if 'fold' in rows[0] else _with_esc_folds(entries)


def _with_esc_folds(entries) -> list[Entry]:
  """The first digits as folds, when every file has a name of ESC's."""
  names = [_ESC_NAME.fullmatch(os.path.basename(e.path)) for e in entries]
  if all(names):
    for entry, name in zip(entries, names, strict=True):
      entry.fold = int(name[1])
  return entries
