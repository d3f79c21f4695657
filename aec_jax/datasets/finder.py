"""Which files of a folder the names in a list mean."""

import bisect
import collections
import functools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence

_Parts = tuple[str, ...]


class Finder:
  """Finds the files that a list names in one way or another.

  Looking up a name takes time by the number of files that it may mean, not of
  those that are there.
  """

  def __init__(self, root: str, files: Sequence[_Parts]):
    """Takes the folder and its files, as `clips.walk` gives them."""
    self.root = root
    self._files = sorted(files)
    self._paths = {os.path.join(*parts) for parts in files}
    self._below: dict[str, Finder] = {}

  def folders(self) -> set[str]:
    """The names of the folders at the top that have files, or have some below.

    Those of `audio/` are named by their path, too.
    """
    tops = {parts[0] for parts in self._files if len(parts) > 1}
    audio = {
      os.path.join(*parts[:2])
      for parts in self._files
      if parts[0] == 'audio' and len(parts) > 2
    }
    return tops | audio

  def all_in(self, folders: Sequence[str]) -> bool:
    """Whether each file is in one of some folders, or below it.

    Args:
      folders: paths below this one, none of them within another.
    """
    return sum(map(len, map(self._range, folders))) == len(self._files)

  def lacks(self, folder: str) -> bool:
    """Whether no file is in a folder, or below it."""
    return not self._range(folder)

  def below(self, folder: str) -> 'Finder':
    """A finder of what is in a folder, by its path below this one."""
    if folder not in self._below:
      depth = len(folder.split(os.sep))
      inside = [self._files[i][depth:] for i in self._range(folder)]
      self._below[folder] = Finder(os.path.join(self.root, folder), inside)
    return self._below[folder]

  def _range(self, folder) -> range:
    """The places of a folder's files among all."""
    *above, last = folder.split(os.sep)
    # No name lies between a name and the same with the least character behind.
    ends = (*above, last), (*above, last + '\0')
    return range(*(bisect.bisect_left(self._files, end) for end in ends))

  def find(self, name: str, folder: str = '') -> list[str]:
    """The paths that a name may mean: none, one or several.

    A name is the path from the folder or from its `audio/`; where there is no
    such file, it is the end of a path, or goes beyond it, as a path on another
    machine does, and may lack the ending; else a path that is called the same
    but for capitals, or for how letters with marks are written. It may have
    backslashes.

    Args:
      name: as a list has it.
      folder: below the data set's, of a list of what is in there. A name is of
        a file in it, then, or a whole path from the data set's folder.
    """
    return self._at(name, folder) or self._in(folder)._fitting(name)

  def has(self, name: str, folder: str = '') -> bool:
    """Whether a name may mean a file, one in the folder where one is given."""
    if found := self._at(name, folder):
      inside = os.path.join(self.root, folder, '')
      return not folder or any(path.startswith(inside) for path in found)
    return self._in(folder)._fits(name)

  def _in(self, folder) -> 'Finder':
    return self.below(folder) if folder else self

  def _at(self, name, folder) -> list[str]:
    """The files that lie at a path from a folder, or from the data set's."""
    whole = os.path.dirname(name.replace('\\', '/'))
    found = self._in(folder)._exact(name)
    return found or (self._exact(name) if folder and whole else [])

  def _exact(self, name) -> list[str]:
    """The files that lie at a path from the folder or from its `audio/`."""
    paths = [
      os.path.normpath(os.path.join(place, within))
      for within in (name, name.replace('\\', '/'))
      for place in ('', 'audio')
    ]
    found = [path for path in dict.fromkeys(paths) if path in self._paths]
    whole = [
      os.path.normpath(os.path.join(self.root, path)) for path in found or paths
    ]
    return whole if found else list(filter(_is_there, dict.fromkeys(whole)))

  def _fitting(self, name) -> list[str]:
    """The files whose path ends a name, or is ended by it."""
    for ends in (self._ends, self._folded):
      if found := sorted(set(ends.matches(name))):
        return [os.path.join(self.root, *parts) for parts in found]
    return []

  def _fits(self, name) -> bool:
    """Whether there is a file of `_fitting`, without listing all of them."""
    return any(
      True for ends in (self._ends, self._folded) for _ in ends.matches(name)
    )

  @functools.cached_property
  def _ends(self) -> '_Ends':
    return _Ends(self._files, str)

  @functools.cached_property
  def _folded(self) -> '_Ends':
    return _Ends(self._files, _without_case)


class _Ends:
  """Finds files by the ends of their paths, or by more than their paths."""

  def __init__(self, files: Sequence[_Parts], form: Callable[[str], str]):
    """Takes the files, and the form that names are compared in."""
    self._form = form
    self._wholes = collections.defaultdict(list)  # with the ending and without
    for parts in files:
      *folders, name = map(form, parts)
      for called in {name, os.path.splitext(name)[0]}:
        self._wholes[(*folders, called)].append(parts)
    self._from_end = sorted(
      (path[::-1], parts)
      for path, found in self._wholes.items()
      for parts in found
    )

  def matches(self, name: str) -> Iterator[_Parts]:
    """The files that a name fits, some of them twice."""
    name = self._form(name.replace('\\', '/'))
    wanted = tuple(part for part in name.split('/') if part)
    if not wanted:
      return
    start = wanted[::-1]
    place = bisect.bisect_left(self._from_end, (start, ()))
    while place < len(self._from_end):
      end, parts = self._from_end[place]
      if end[: len(start)] != start:
        break
      yield parts
      place += 1
    tops: tuple[_Parts, ...] = ((), ('audio',))
    for top in tops[: 1 if wanted[0] == 'audio' else 2]:
      for cut in range(1, len(wanted)):
        yield from self._wholes.get((*top, *wanted[cut:]), ())


def _without_case(name: str) -> str:
  """A name without the difference of capitals, its letters composed."""
  return unicodedata.normalize('NFC', name).casefold()


def _is_there(path) -> bool:
  """Whether something that is no folder has this name, be it a broken link."""
  return os.path.lexists(path) and not os.path.isdir(path)
