"""Sets of labelled audio clips: which files, of which classes and fold.

`fsdkaggle2018` and `folders` list them. A set holds no audio. Each file is
checked by its size and its beginning only; what cannot be used is left out and
named in `skipped`, what is used otherwise than it looks is said in `notes`.
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

from aec_jax.audio import decode, kinds
from aec_jax.audio.kinds import EXTENSIONS
from aec_jax.datasets.labels import offsets_of
from aec_jax.errors import PassingError, UserError, may_pass
from aec_jax.run import files, threads

POLICIES = ('skip', 'error')
SPLITS = ('train', 'validation', 'test')
USAGES = ('', 'Public', 'Private', 'Ignored')


@dataclasses.dataclass(frozen=True, eq=False)
class Clips:
  """A set of labelled clips, in the order of their list.

  Attributes:
    paths: (clip,) str, where each file lies; several clips may be parts of one.
    ids: (clip,) str, the file's name in its list or folder; where classes'
      folders share file names, the path below the top folder; a part of a file
      has its start and end after the name. Each once.
    label_ids: (label,) int16, the classes of all clips one after another;
      ascending within a clip, none twice.
    label_offsets: (clip + 1,) int64: clip i has the labels
      label_ids[label_offsets[i] : label_offsets[i + 1]], none where unknown.
    classes: names, each once.
    verified: (clip,) bool, whether a person has checked the label.
    fold: (clip,) int16, the data set's own fold, -1 where it has none.
    split: (clip,) str, one of `SPLITS`.
    usage: (clip,) str, one of `USAGES`: the part of the leaderboard that a
      test clip was scored on.
    group: (clip,) str, the recording that a clip is a piece of, '' where
      unknown; clips of one recording belong into one fold.
    start, end: (clip,) float64, the part of the file in seconds; NaN where it
      is the whole file.
    skipped: a {'file', 'reason'} for each file that is left out.
    notes: what was decided about the whole set, a line each.
  """

  paths: np.ndarray
  ids: np.ndarray
  label_ids: np.ndarray
  label_offsets: np.ndarray
  classes: tuple[str, ...]
  verified: np.ndarray
  fold: np.ndarray
  split: np.ndarray
  usage: np.ndarray
  group: np.ndarray
  start: np.ndarray
  end: np.ndarray
  skipped: list[dict[str, str]]
  notes: list[str]

  def __len__(self) -> int:
    return len(self.paths)

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """As `single_labels`."""
    return self.single_labels()

  def single_labels(self) -> np.ndarray:
    """The class of each clip: (clip,) int16, -1 where unknown.

    Raises:
      UserError: a clip has several.
    """
    counts = np.diff(self.label_offsets)
    if (counts > 1).any():
      first = int(np.argmax(counts > 1))
      raise UserError(
        f'{self.paths[first]}: {counts[first]} labels'
        f' ({", ".join(self.names_of(first))}); for clips of several give'
        ' --config.objective=multi_label'
      )
    out = np.full(len(self), -1, np.int16)
    out[counts == 1] = self.label_ids
    return out

  def names_of(self, clip: int) -> list[str]:
    """The names of a clip's classes."""
    start, stop = self.label_offsets[clip : clip + 2]
    return [self.classes[k] for k in self.label_ids[start:stop]]

  def label_rows(self) -> np.ndarray:
    """The clip of each entry of `label_ids`: (label,) int32."""
    rows = np.arange(len(self), dtype=np.int32)
    return np.repeat(rows, np.diff(self.label_offsets))

  def select(self, index: np.ndarray | Sequence | slice) -> 'Clips':
    """The clips of an index, slice or mask (clip,); `skipped` stays whole."""
    kept = np.arange(len(self))[index]
    arrays = {name: getattr(self, name)[kept] for name in _COLUMNS}
    counts = np.diff(self.label_offsets)[kept]
    offsets = offsets_of(counts)
    shift = np.repeat(self.label_offsets[:-1][kept] - offsets[:-1], counts)
    label_ids = self.label_ids[np.arange(offsets[-1]) + shift]
    return dataclasses.replace(
      self, **arrays, label_ids=label_ids, label_offsets=offsets
    )

  def with_classes(self, names: Sequence[str]) -> 'Clips':
    """The clips of the named classes, renumbered in the order of `names`.

    Of a clip with several labels the others are dropped.

    Raises:
      UserError: a name is not a class of this set.
    """
    unknown = sorted(set(names) - set(self.classes))
    if unknown:
      raise UserError(
        f'no class {unknown[0]!r}; the classes are {", ".join(self.classes)}'
      )
    new_id = np.full(len(self.classes), -1, np.int16)
    for i, name in enumerate(names):
      new_id[self.classes.index(name)] = i
    rows, label_ids = self.label_rows(), new_id[self.label_ids]
    rows, label_ids = rows[label_ids >= 0], label_ids[label_ids >= 0]
    counts = np.bincount(rows, minlength=len(self))
    renumbered = dataclasses.replace(
      self,
      label_ids=label_ids[np.lexsort((label_ids, rows))],
      label_offsets=offsets_of(counts),
      classes=tuple(names),
    )
    return renumbered.select(counts > 0)

  def seconds(self) -> np.ndarray:
    """(clip,) how long each is, by the files' headers; NaN where unknown."""
    found = threads.over_files(decode.seconds_of, self.paths.tolist())
    whole = np.array([np.nan if x is None else x for x in found], float)
    start = np.where(np.isnan(self.start), 0, self.start)
    return np.where(np.isnan(self.end), whole, self.end) - start

  def describe(self) -> str:
    """One line: the clips of each split, why others were skipped, the notes."""
    splits = collections.Counter(self.split.tolist())
    parts = [f'{splits[name]:,} {name}' for name in SPLITS if splits[name]]
    line = f'{" + ".join(parts)} clips, {len(self.classes)} classes'
    counts = np.diff(self.label_offsets)
    if (counts > 1).any():
      line += f', {counts[counts > 0].mean():.2g} labels a clip'
    if self.skipped:
      reasons = collections.Counter(entry['reason'] for entry in self.skipped)
      why = ', '.join(f'{n:,} {reason}' for reason, n in reasons.most_common())
      n = len(self.skipped)
      line += f'; {n:,} file{"s" * (n > 1)} skipped: {why}'
    return '; '.join([line, *self.notes])


# The columns of `Clips` with a value a clip.
_COLUMNS = (
  'paths',
  'ids',
  'verified',
  'fold',
  'split',
  'usage',
  'group',
  'start',
  'end',
)


def roots_of(data_dir: str | os.PathLike | Sequence) -> list[str]:
  """Absolute paths of one folder, or of several.

  Raises:
    UserError: one is not there, or may not be read.
  """
  if isinstance(data_dir, (str, os.PathLike)):
    data_dir = [data_dir]
  roots = [os.path.abspath(os.path.expanduser(d)) for d in data_dir]
  for root in roots:
    if trouble := files.why_no_folder(root):
      raise UserError(f'{root}: {trouble}')
  return roots


def visible(folder, extensions=EXTENSIONS) -> list[str]:
  """The files of some kind right in a folder, hidden ones left out, by name."""
  names = sorted(os.listdir(folder))
  return [n for n in names if n[0] != '.' and n.lower().endswith(extensions)]


def subfolders(folder: str) -> list[str]:
  """The names of the visible folders right in a folder, links to some, too."""
  with os.scandir(folder) as found:
    return sorted(e.name for e in found if e.is_dir() and e.name[0] != '.')


def walk(
  root: str, also: Callable[[str], bool] = lambda path: False
) -> tuple[list[tuple[str, ...]], list[dict[str, str]]]:
  """All visible sound under a folder, as parts of the path below it.

  Follows links to folders, each once, so that a loop of links ends.

  Args:
    root: the folder.
    also: whether a file that is not called sound is wanted too, by its path.

  Returns:
    The files by name, and what is left out: what is called sound and can't be
    heard, sound that is not called so, unreadable folders, folders that are
    called like sound.

  Raises:
    PassingError: the system can't read a folder now.
  """
  files, skipped, seen = [], [], set()

  def unreadable(error):
    if may_pass(error):
      raise PassingError.of(error.filename, error.strerror) from error
    skipped.append(
      left_out(os.path.relpath(error.filename, root), error.strerror)
    )

  for folder, inner, names in os.walk(root, True, unreadable, True):
    real = os.path.realpath(folder)
    if real in seen:
      inner.clear()
      continue
    seen.add(real)
    inner[:] = sorted(d for d in inner if d[0] != '.')
    skipped += [
      left_out(os.path.relpath(os.path.join(folder, d), root), 'not a file')
      for d in inner
      if d.lower().endswith(EXTENSIONS)
    ]
    for name in sorted(n for n in names if n[0] != '.'):
      whole = os.path.join(folder, name)
      path = os.path.relpath(whole, root)
      if kinds.is_called_sound(whole) or also(whole):
        files.append(tuple(path.split(os.sep)))
      elif reason := kinds.why_not_heard(whole):
        skipped.append(left_out(path, reason))
  return files, skipped


def left_out(file: str, reason: str) -> dict[str, str]:
  """An entry of `Clips.skipped`."""
  # A name that is not UTF-8 could be neither printed nor written as JSON.
  shown = os.fsencode(file).decode('utf-8', 'replace')
  return {'file': shown, 'reason': reason}


def trouble_with(path: str) -> str:
  """Why a file is unusable, by its beginning; '' when it is usable.

  Raises:
    PassingError: the system can't read it now.
  """
  try:
    path.encode()
  except UnicodeEncodeError:
    return 'name is not UTF-8'
  if trouble := files.why_no_file(path):
    return 'missing' if trouble == files.ABSENT else trouble
  return decode.trouble_with(path)
