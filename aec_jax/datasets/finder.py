"""Which files of a folder the names in a list mean."""

import collections
import os
from collections.abc import Sequence


class Finder:
  """Finds the files that a list names in one way or another."""

  def __init__(self, root: str, files: Sequence[tuple[str, ...]]):
    """Takes the folder and its files, as `clips.walk` gives them."""
    self.root = root
    self._paths = {os.path.join(*parts) for parts in files}
    self._by_name = collections.defaultdict(list)
    for parts in files:
      stem = os.path.splitext(parts[-1])[0]
      for name in {parts[-1], stem}:
        self._by_name[name].append(parts)

  def all_in(self, folders: Sequence[str]) -> bool:
    """Whether each file is in one of some folders, or below it."""
    inside = tuple(os.path.join(folder, '') for folder in folders)
    return all(path.startswith(inside) for path in self._paths)

  def find(self, name: str, folder: str = '') -> list[str]:
    """The paths that a name may mean: none, one or several.

    A name is the path from the folder or from its `audio/`; where there is no
    such file, it is the end of a path, or goes beyond it, as a path on another
    machine does, and may lack the ending. It may have backslashes. With a
    folder, below the data set's, it is looked for there first.
    """
    if folder and (inside := self.find(os.path.join(folder, name))):
      return inside
    if exact := self._exact(name):
      return exact
    wanted = [part for part in name.replace('\\', '/').split('/') if part]
    found = [
      parts
      for parts in self._by_name.get(wanted[-1] if wanted else '', ())
      if _one_ends_the_other(parts, wanted)
    ]
    return [os.path.join(self.root, *parts) for parts in found]

  def _exact(self, name) -> list[str]:
    """The files that lie at a path from the folder or from its `audio/`."""
    paths = [
      os.path.normpath(os.path.join(place, within))
      for within in (name, name.replace('\\', '/'))
      for place in ('', 'audio')
    ]
    found = [path for path in dict.fromkeys(paths) if path in self._paths]
    whole = [os.path.join(self.root, path) for path in found or paths]
    return whole if found else list(filter(_is_there, dict.fromkeys(whole)))


def _is_there(path) -> bool:
  """Whether something that is no folder has this name, be it a broken link."""
  return os.path.lexists(path) and not os.path.isdir(path)


def _one_ends_the_other(parts, wanted) -> bool:
  """Whether the folders of the shorter path end those of the longer."""
  folders, others = parts[:-1], tuple(wanted[:-1])
  if folders[:1] == ('audio',) and others[:1] != ('audio',):
    folders = folders[1:]
  shared = min(len(folders), len(others))
  return not shared or folders[-shared:] == others[-shared:]
