"""Sets of labelled audio clips: which files, of which class and fold.

`fsdkaggle2018` and `audio_folder` list them. A set holds no audio. Each file is
checked by its size and its beginning only; what cannot be used is left out and
named in `skipped`.
"""

import collections
import concurrent.futures
import dataclasses
import os
import stat
from collections.abc import Callable, Sequence

import numpy as np

from aec_jax.audio import decode, kinds
from aec_jax.audio.kinds import EXTENSIONS
from aec_jax.errors import UserError

POLICIES = ('skip', 'error')
USAGES = ('', 'Public', 'Private', 'Ignored')


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
class Entry:
  """A file that a list or a folder names, before it is looked at."""

  path: str
  id: str
  label: str  # '' where unknown
  name: str  # how messages call the file
  verified: bool = True
  fold: int = -1
  split: str = 'train'
  usage: str = ''


def roots_of(data_dir: str | os.PathLike | Sequence) -> list[str]:
  """Absolute paths of one folder, or of several.

  Raises:
    UserError: one is not there.
  """
  if isinstance(data_dir, (str, os.PathLike)):
    data_dir = [data_dir]
  roots = [os.path.abspath(os.path.expanduser(d)) for d in data_dir]
  for root in roots:
    if not os.path.isdir(root):
      raise UserError(f'{root}: no such folder')
  return roots


def visible(folder, extensions=EXTENSIONS) -> list[str]:
  """The files of some kind right in a folder, hidden ones left out, by name."""
  names = sorted(os.listdir(folder))
  return [n for n in names if n[0] != '.' and n.lower().endswith(extensions)]


def walk(
  root: str, also: Callable[[str], bool] = lambda name: False
) -> tuple[list[tuple[str, ...]], list[dict[str, str]]]:
  """All visible sound under a folder, as parts of the path below it.

  Follows links to folders, each once, so that a loop of links ends.

  Args:
    root: the folder.
    also: whether a file of another name than sound's is wanted too.

  Returns:
    The files by name, and what is left out: what is called sound and can't be
    heard, sound that is not called so, unreadable folders, folders that are
    called like sound.
  """
  files, skipped, seen = [], [], set()

  def unreadable(error):
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
      path = os.path.relpath(os.path.join(folder, name), root)
      if name.lower().endswith(EXTENSIONS) or also(name):
        files.append(tuple(path.split(os.sep)))
      elif reason := kinds.why_not_heard(os.path.join(folder, name)):
        skipped.append(left_out(path, reason))
  return files, skipped


def left_out(file: str, reason: str) -> dict[str, str]:
  """An entry of `Clips.skipped`."""
  # A name that is not UTF-8 could be neither printed nor written as JSON.
  shown = os.fsencode(file).decode('utf-8', 'replace')
  return {'file': shown, 'reason': reason}


def trouble_with(path: str) -> str:
  """Why a file is unusable, by its beginning; '' when it is usable."""
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
  return decode.trouble_with(path)


def checked(
  entries: Sequence[Entry],
  classes: tuple[str, ...],
  skipped: list[dict[str, str]],
  on_bad: str,
  where: str,
) -> Clips:
  """The clips of all entries whose files are usable.

  Args:
    entries: in the order that the clips are to have.
    classes: names, of which an entry's label is one, or ''.
    skipped: what has been left out already.
    on_bad: one of `POLICIES`, what to do with files that are not usable.
    where: what messages call the data set.

  Raises:
    UserError: `on_bad` is none of them, or it is 'error' and a file is bad, or
      no training clip is usable.
  """
  if on_bad not in POLICIES:
    raise UserError(f'on_bad is {on_bad!r}, expected one of {POLICIES}')
  # Threads: on a network disk the wait for each file is what takes the time.
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    troubles = list(pool.map(trouble_with, [entry.path for entry in entries]))
  pairs = list(zip(entries, troubles, strict=True))
  skipped = [left_out(e.name, why) for e, why in pairs if why] + skipped
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
