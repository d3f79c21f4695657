"""Manifests of labelled audio clips: which files, of which class and fold.

Two sources: FSDKaggle2018 as Kaggle or Zenodo ship it, and a folder of
anybody's own recordings. A manifest holds no audio. Each file is checked by
its size and header only; what cannot be used is left out and named in
`skipped`.
"""

import collections
import concurrent.futures
import dataclasses
import os
import re
import stat
from collections.abc import Sequence

import numpy as np
import soundfile

from aec_jax.datasets.csv_list import fault, has_columns, read_list
from aec_jax.errors import UserError

EXTENSIONS = ('.wav', '.flac', '.ogg', '.mp3')
# Audio that is not read, so that it is named instead of overlooked.
OTHER_EXTENSIONS = ('.aac', '.aif', '.aiff', '.m4a', '.mp4', '.opus', '.wma')
POLICIES = ('skip', 'error')
USAGES = ('', 'Public', 'Private', 'Ignored')

_META = 'FSDKaggle2018.meta'
_TRAIN_LISTS = (
  'train.csv',
  'train_post_competition.csv',
  f'{_META}/train_post_competition.csv',
)
_TEST_LISTS = (
  'test_post_competition.csv',
  f'{_META}/test_post_competition.csv',
  'test_post_competition_scoring_clips.csv',
  f'{_META}/test_post_competition_scoring_clips.csv',
)
_TRAIN_AUDIO = ('audio_train', 'FSDKaggle2018.audio_train')
_TEST_AUDIO = ('audio_test', 'FSDKaggle2018.audio_test')

# How the list of a folder calls its columns.
_COLUMNS = {
  'file': ('file', 'fname', 'filename'),
  'label': ('label', 'category'),
}
_OPTIONAL = {'fold': ('fold',), 'verified': ('verified', 'manually_verified')}
# ESC-10's F-ID-T.ogg and ESC-50's F-ID-T-C.wav: F is the fold.
_ESC_NAME = re.compile(r'(\d)-\d+-[A-Z](-\d+)?\.\w+')
_LEADING_NUMBER = re.compile(r'\d+ *- +')


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
  """A set of labelled clips, in the order of their list.

  Attributes:
    paths: (clip,) str, where each file lies.
    ids: (clip,) str, the file's name in its list or folder; where classes'
      folders share file names, the path below the top folder.
    labels: (clip,) int16, index into `classes`, -1 where unknown.
    classes: names, each once.
    verified: (clip,) bool, whether a person has checked the label.
    fold: (clip,) int16, the data set's own fold, -1 where it has none.
    split: (clip,) str, 'train' or 'test'.
    usage: (clip,) str, one of `USAGES`: the part of the leaderboard that a
      test clip was scored on.
    skipped: a {'file', 'reason'} for each file that is left out.
  """

  paths: np.ndarray
  ids: np.ndarray
  labels: np.ndarray
  classes: tuple[str, ...]
  verified: np.ndarray
  fold: np.ndarray
  split: np.ndarray
  usage: np.ndarray
  skipped: list[dict[str, str]]

  def __len__(self) -> int:
    return len(self.paths)

  def select(self, index) -> 'Clips':
    """The clips of an index, slice or mask (clip,); `skipped` stays whole."""
    arrays = {
      field.name: getattr(self, field.name)[index]
      for field in dataclasses.fields(self)
      if field.name not in ('classes', 'skipped')
    }
    return dataclasses.replace(self, **arrays)

  def with_classes(self, names: Sequence[str]) -> 'Clips':
    """The clips of the named classes, renumbered in the order of `names`.

    Raises:
      UserError: a name is not a class of this set.
    """
    unknown = sorted(set(names) - set(self.classes))
    if unknown:
      raise UserError(
        f'no class {unknown[0]!r}; the classes are {", ".join(self.classes)}'
      )
    new_id = np.full(len(self.classes) + 1, -1, np.int16)  # last: for label -1
    for i, name in enumerate(names):
      new_id[self.classes.index(name)] = i
    labels = new_id[self.labels]
    renumbered = dataclasses.replace(self, labels=labels, classes=tuple(names))
    return renumbered.select(labels >= 0)

  def describe(self) -> str:
    """One line: the clips of each split, and why others were skipped."""
    splits = collections.Counter(self.split.tolist())
    names = [name for name in ('train', 'test') if splits[name]]
    parts = [f'{splits[name]:,} {name}' for name in names]
    line = f'{" + ".join(parts)} clips, {len(self.classes)} classes'
    if self.skipped:
      reasons = collections.Counter(entry['reason'] for entry in self.skipped)
      why = ', '.join(f'{n:,} {reason}' for reason, n in reasons.most_common())
      line += f'; {len(self.skipped):,} files skipped: {why}'
    return line


@dataclasses.dataclass
class _Entry:
  """A file that a list or a folder names, before it is looked at."""

  path: str
  id: str
  label: str  # '' where unknown
  name: str  # how messages call the file
  verified: bool = True
  fold: int = -1
  split: str = 'train'
  usage: str = ''


def from_fsdkaggle2018(
  data_dir: str | os.PathLike | Sequence, on_bad: str = 'skip'
) -> Clips:
  """The clips of FSDKaggle2018, training clips first, in the lists' order.

  Args:
    data_dir: the folder that holds Kaggle's `train.csv`, `audio_train/` and
      `audio_test/`, or Zenodo's `FSDKaggle2018.meta/`,
      `FSDKaggle2018.audio_train/` and `FSDKaggle2018.audio_test/`, or a
      mixture; several folders are searched in turn. Without a list of the test
      clips they are those in the folder, with label -1.
    on_bad: 'skip' leaves out what is missing, unlisted, unreadable or empty,
      'error' refuses it.

  Raises:
    UserError: neither layout is there, a list is faulty, no training clip is
      usable, or on_bad is 'error' and a file is bad.
  """
  roots = _roots(data_dir)
  train_list = _find(roots, _TRAIN_LISTS)
  train_audio = _find(roots, _TRAIN_AUDIO)
  where = ', '.join(roots)
  if not train_list or not train_audio:
    missing = 'audio_train/' if train_list else 'train.csv'
    raise UserError(
      f'{where}: no {missing}; FSDKaggle2018 has train.csv and audio_train/ '
      f'(Kaggle) or {_META}/ and FSDKaggle2018.audio_train/ (Zenodo)'
    )
  entries = _fsd_train(train_list, train_audio)
  classes = tuple(sorted({entry.label for entry in entries}))
  skipped = _unlisted(train_audio, entries, train_list)
  test_list, test_audio = _find(roots, _TEST_LISTS), _find(roots, _TEST_AUDIO)
  if test_list:
    folder = test_audio or os.path.join(roots[0], _TEST_AUDIO[0])
    tests = _fsd_test(test_list, folder, classes)
    entries += tests
    skipped += _unlisted(folder, tests, test_list)
  elif test_audio:
    entries += [
      _fsd_entry(test_audio, name, '', split='test', verified=False)
      for name in _visible(test_audio)
    ]
  return _checked(entries, classes, skipped, on_bad, where)


def holds_fsdkaggle2018(data_dir: str | os.PathLike) -> bool:
  """Whether a folder has a training list and the training audio."""
  roots = _roots(data_dir)
  return all(_find(roots, names) for names in (_TRAIN_LISTS, _TRAIN_AUDIO))


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
  (root,) = _roots(data_dir)
  files, skipped = walk(root)
  by_class = _by_class(files)
  listing = _folder_list(root, has_classes=bool(by_class))
  if listing:
    entries = _listed_entries(root, listing)
    classes = tuple(sorted({entry.label for entry in entries}))
    known = {os.path.normpath(entry.path) for entry in entries}
    reason = f'not listed in {os.path.basename(listing)}'
  else:
    entries, classes = _class_entries(root, by_class)
    known = {entry.path for entry in entries}
    reason = 'not in a class folder'
  skipped += [
    _bad(os.path.relpath(path, root), reason)
    for path in (os.path.join(root, *parts) for parts in files)
    if path not in known
  ]
  return _checked(entries, classes, skipped, on_bad, root)


def _roots(data_dir) -> list[str]:
  """Absolute paths of one folder, or of several."""
  if isinstance(data_dir, (str, os.PathLike)):
    data_dir = [data_dir]
  roots = [os.path.abspath(os.path.expanduser(d)) for d in data_dir]
  for root in roots:
    if not os.path.isdir(root):
      raise UserError(f'{root}: no such folder')
  return roots


def _find(roots, names) -> str | None:
  """The first of the names that is there, in the first of the roots."""
  paths = (os.path.join(root, name) for root in roots for name in names)
  return next(filter(os.path.exists, paths), None)


def _fsd_entry(folder, name, label, **fields) -> _Entry:
  shown = f'{os.path.basename(folder)}/{name}'
  return _Entry(os.path.join(folder, name), name, label, shown, **fields)


def _fsd_train(path, folder) -> list[_Entry]:
  columns = {
    'file': ('fname',),
    'label': ('label',),
    'verified': ('manually_verified',),
  }
  return [
    _fsd_entry(folder, row['file'], row['label'], verified=row['verified'])
    for row in read_list(path, columns)
  ]


def _fsd_test(path, folder, classes) -> list[_Entry]:
  columns = {'file': ('fname',), 'label': ('label',)}
  optional = {'usage': ('usage',)}
  entries = []
  for row in read_list(path, columns, optional, filled=('file',)):
    label, usage = row['label'], row.get('usage', '')
    if usage not in USAGES:
      raise fault(path, row['row'], 'usage', f'{usage!r} is none of {USAGES}')
    if label in ('', 'None') and usage not in ('Public', 'Private'):
      label = ''  # padding, which is never scored
    elif label not in classes:
      what = f'{label!r} is not a class of the training list'
      raise fault(path, row['row'], 'label', what)
    fields = {'verified': bool(label), 'split': 'test', 'usage': usage}
    entries.append(_fsd_entry(folder, row['file'], label, **fields))
  return entries


def _unlisted(folder, entries, listing) -> list[dict[str, str]]:
  if not os.path.isdir(folder):
    return []
  listed = {entry.id for entry in entries}
  reason = f'not listed in {os.path.basename(listing)}'
  return [
    _bad(f'{os.path.basename(folder)}/{name}', reason)
    for name in _visible(folder)
    if name not in listed
  ]


def _visible(folder, extensions=EXTENSIONS) -> list[str]:
  """The files of some kind right in a folder, hidden ones left out, by name."""
  names = sorted(os.listdir(folder))
  return [n for n in names if n[0] != '.' and n.lower().endswith(extensions)]


def walk(
  root: str, extensions: tuple[str, ...] = EXTENSIONS
) -> tuple[list[tuple[str, ...]], list[dict[str, str]]]:
  """All visible audio under a folder, as parts of the path below it.

  Follows links to folders, each once, so that a loop of links ends.

  Returns:
    The files by name, and what is left out: other audio, unreadable folders,
    folders that are called like audio.
  """
  files, skipped, seen = [], [], set()

  def unreadable(error):
    skipped.append(_bad(os.path.relpath(error.filename, root), error.strerror))

  for folder, inner, names in os.walk(root, True, unreadable, True):
    real = os.path.realpath(folder)
    if real in seen:
      inner.clear()
      continue
    seen.add(real)
    inner[:] = sorted(d for d in inner if d[0] != '.')
    skipped += [
      _bad(os.path.relpath(os.path.join(folder, d), root), 'not a file')
      for d in inner
      if d.lower().endswith(extensions)
    ]
    for name in sorted(n for n in names if n[0] != '.'):
      path = os.path.relpath(os.path.join(folder, name), root)
      if name.lower().endswith(extensions):
        files.append(tuple(path.split(os.sep)))
      elif name.lower().endswith(OTHER_EXTENSIONS):
        skipped.append(_bad(path, 'not wav, flac, ogg or mp3'))
  return files, skipped


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


def _class_entries(root, by_class) -> tuple[list[_Entry], tuple[str, ...]]:
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
    entries.append(_Entry(path, clip_id, class_of[folder], shown, split=split))
  return _with_esc_folds(entries), tuple(folder_of)


def _folder_list(root, has_classes: bool) -> str | None:
  """The CSV that lists a folder's files, None when its sub-folders do."""
  names = _visible(root, ('.csv',))
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


def _listed_entries(root, listing) -> list[_Entry]:
  entries = []
  rows = read_list(listing, _COLUMNS, _OPTIONAL)
  for row in rows:
    path = os.path.join(root, row['file'])
    in_audio = os.path.join(root, 'audio', row['file'])
    if not os.path.lexists(path) and os.path.lexists(in_audio):
      path = in_audio
    verified, fold = row.get('verified', True), row.get('fold', -1)
    entries.append(
      _Entry(path, row['file'], row['label'], row['file'], verified, fold)
    )
  return entries if 'fold' in rows[0] else _with_esc_folds(entries)


def _with_esc_folds(entries) -> list[_Entry]:
  """The first digits as folds, when every file has a name of ESC's."""
  names = [_ESC_NAME.fullmatch(os.path.basename(e.path)) for e in entries]
  if all(names):
    for entry, name in zip(entries, names, strict=True):
      entry.fold = int(name[1])
  return entries


def _bad(file, reason) -> dict[str, str]:
  # A name that is not UTF-8 could be neither printed nor written as JSON.
  shown = os.fsencode(file).decode('utf-8', 'replace')
  return {'file': shown, 'reason': reason}


def trouble_with(path: str) -> str:
  """Why a file is unusable, by its size and header; '' when it is usable."""
  try:
    path.encode()
    status = os.stat(path)
  except UnicodeEncodeError:
    return 'name is not UTF-8'
  except FileNotFoundError:
    return 'dangling link' if os.path.islink(path) else 'missing'
  except (OSError, ValueError) as error:  # ValueError: a null byte in the name
    return getattr(error, 'strerror', None) or str(error)
  if not stat.S_ISREG(status.st_mode):
    return 'not a file'
  if not status.st_size:
    return 'empty'
  try:
    frames = soundfile.info(path).frames
  except soundfile.SoundFileError:
    return 'unreadable header'
  return '' if frames else 'no samples'


def _checked(entries, classes, skipped, on_bad, where) -> Clips:
  """The clips of all usable entries; what to do with the rest is `on_bad`."""
  if on_bad not in POLICIES:
    raise UserError(f'on_bad is {on_bad!r}, expected one of {POLICIES}')
  # Threads: on a network disk the wait for each file is what takes the time.
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    troubles = list(pool.map(trouble_with, [entry.path for entry in entries]))
  pairs = list(zip(entries, troubles, strict=True))
  skipped = [_bad(e.name, why) for e, why in pairs if why] + skipped
  good = [entry for entry, why in pairs if not why]
  trainable = any(entry.split == 'train' for entry in good)
  if skipped and (on_bad == 'error' or not trainable):
    first = skipped[0]
    raise UserError(
      f'{where}: {len(skipped)} unusable files, {len(good)} usable; the first'
      f' is {first["file"]!r}: {first["reason"]}'
    )
  number = {name: i for i, name in enumerate(classes)}
  return Clips(
    paths=np.array([e.path for e in good], str),
    ids=np.array([e.id for e in good], str),
    labels=np.array([number.get(e.label, -1) for e in good], np.int16),
    classes=classes,
    verified=np.array([e.verified for e in good], bool),
    fold=np.array([e.fold for e in good], np.int16),
    split=np.array([e.split for e in good], str),
    usage=np.array([e.usage for e in good], str),
    skipped=skipped,
  )
