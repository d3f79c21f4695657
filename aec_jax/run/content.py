"""Hashes of files' contents, so that a copied or moved file is known again.

They are kept in the cache by path, size and time of change: a file is read
again only when one of these has changed.
"""

import collections
import concurrent.futures
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from aec_jax.run import files
from aec_jax.run.cache import digest


def digests(
  paths: Sequence[str], cache_dir: str | Path, keep: bool = True
) -> list[str]:
  """A hash of each file's bytes, hexadecimal.

  Args:
    paths: of files that can be read.
    cache_dir: where the hashes are kept.
    keep: whether new ones are; if not, nothing is written.

  Raises:
    OSError: a file cannot be read.
  """
  folders = collections.defaultdict(list)
  for path in dict.fromkeys(map(os.path.abspath, paths)):
    folders[os.path.dirname(path)].append(path)
  found: dict[str, str] = {}
  for folder, some in folders.items():
    found |= _of_folder(folder, some, Path(cache_dir) / 'content', keep)
  return [found[os.path.abspath(path)] for path in paths]


def _of_folder(folder, paths, kept_in, keep) -> dict[str, str]:
  """{path: hash}, from what is kept and, where that is out of date, anew."""
  index = kept_in / f'{digest(folder)}.json'
  kept = _read(index)
  stamps = {path: _stamp(path) for path in paths}
  todo = [
    p for p in paths if kept.get(os.path.basename(p), [])[:2] != stamps[p]
  ]
  # Threads: hashing lets go of the interpreter, and disks like company.
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    hashes = dict(zip(todo, pool.map(_hash, todo), strict=True))
  for path, value in hashes.items():
    kept[os.path.basename(path)] = [*stamps[path], value]
  if todo and keep:
    files.write_json(index, kept)
  return {path: kept[os.path.basename(path)][2] for path in paths}


def _read(index) -> dict:
  """What is kept; nothing where it is absent or damaged, to be made anew."""
  if not os.path.isfile(index):  # a pipe would be waited for
    return {}
  try:
    found = json.loads(index.read_text(encoding='utf-8'))
  except (OSError, ValueError):
    return {}
  if not isinstance(found, dict):
    return {}
  whole = lambda entry: isinstance(entry, list) and len(entry) == 3
  return {name: entry for name, entry in found.items() if whole(entry)}


def _stamp(path) -> list[int]:
  status = os.stat(path)
  return [status.st_size, status.st_mtime_ns]


def _hash(path) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(
      file, lambda: hashlib.blake2b(digest_size=16)
    ).hexdigest()
