"""The in-memory form of a split: fixed-size examples with sparse labels.

All of AudioSet's 2,084,320 clips take 2.7 GB. On disk an `Examples` is a folder
of plain .npy files and `examples.json`, which is written last: a folder without
it is unfinished.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aec_jax.datasets.labels import Labels, offsets_of
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.run import files

_ARRAYS = ('embeddings', 'n_segments', 'label_ids', 'label_offsets', 'ids')
_JSON = 'examples.json'


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """Examples of one split, or of several.

  Attributes:
    embeddings: (row, segment, 128) uint8, zero after the valid segments; other
      sizes and dtypes work as well. An example has a row, or where it has more
      segments than fit in one, as many as they take.
    n_segments: (example,) integers, the number of valid segments.
    label_ids: (label,) int16, the classes of all examples one after another;
      ascending within an example, none twice.
    label_offsets: (example + 1,) int64: example i has the labels
      label_ids[label_offsets[i] : label_offsets[i + 1]].
    ids: (example,) fixed-width bytes, such as YouTube ids.
    classes: readable names of the K classes.
    skipped: what was left out: {'file', 'record', 'reason'} each.
  """

  embeddings: np.ndarray
  n_segments: np.ndarray
  label_ids: np.ndarray
  label_offsets: np.ndarray
  ids: np.ndarray
  classes: tuple[str, ...]
  skipped: list[dict] = dataclasses.field(default_factory=list)

  def __len__(self) -> int:
    return len(self.n_segments)

  @property
  def row_offsets(self) -> np.ndarray:
    """(example + 1,) where the rows of each example begin."""
    counts = self.n_segments.astype(int)
    return offsets_of(-(-counts // self.embeddings.shape[1]))

  @property
  def labels(self) -> Labels:
    return Labels(self.label_ids, self.label_offsets, len(self.classes))

  def fingerprint(self) -> str:
    """A hash of the arrays and the class names, hexadecimal."""
    return self._fingerprint

  @functools.cached_property
  def _fingerprint(self):
    entries = {name: _entry(getattr(self, name)) for name in _ARRAYS}
    return _combine(entries, self.classes)

  def save(self, folder: str) -> None:
    """Writes the folder that `load` reads."""
    with Writer(folder, self.classes) as writer:
      writer.append(self)

  @classmethod
  def load(cls, folder: str | Path, mmap: bool = False) -> 'Examples':
    """Reads a saved folder.

    Args:
      folder: as given to `save` or `Writer`.
      mmap: leave the embeddings on disk and map them.

    Raises:
      UserError: the folder is unfinished or damaged.
    """
    paths = [os.path.join(folder, _JSON), *(_npy(folder, n) for n in _ARRAYS)]
    for path in paths:
      files.check_file(path, needed=False)
    try:
      with open(os.path.join(folder, _JSON), encoding='utf-8') as file:
        meta = json.load(file)
      arrays = {
        name: np.load(
          _npy(folder, name),
          mmap_mode='r' if mmap and name == 'embeddings' else None,
          allow_pickle=False,
        )
        for name in _ARRAYS
      }
      examples = cls(
        **arrays, classes=tuple(meta['classes']), skipped=meta['skipped']
      )
      examples.__dict__['_fingerprint'] = meta['fingerprint']
    except UNREADABLE as error:
      raise UserError(
        f'{folder} holds no whole set of packed examples ({error}): delete it'
        ' and run again'
      ) from error
    return examples

  @classmethod
  def concatenate(cls, parts: Iterable['Examples']) -> 'Examples':
    """Puts examples of the same classes one after another.

    Several parts loaded with mmap=True are held in memory once, by the
    result; one part stays as it is, on disk.
    """
    parts = list(parts)
    if len(parts) == 1:
      return parts[0]
    if len({part.classes for part in parts}) != 1:
      raise ValueError('the parts must share their classes')
    counts = [np.diff(part.label_offsets) for part in parts]
    stack = {
      name: np.concatenate([getattr(part, name) for part in parts])
      for name in ('embeddings', 'n_segments', 'label_ids', 'ids')
    }
    return cls(
      **stack,
      label_offsets=offsets_of(np.concatenate(counts)),
      classes=parts[0].classes,
      skipped=[entry for part in parts for entry in part.skipped],
    )


class Writer:
  """Writes the folder of an `Examples` part by part.

  The embeddings, nine tenths of it all, go to disk at once, so that the whole
  need not fit in memory. A context manager; leaving it without an error
  finishes the folder.
  """

  def __init__(self, folder: str, classes: tuple[str, ...]) -> None:
    self._folder = folder
    self._classes = tuple(classes)
    self._parts: list[Examples] = []  # all but the embeddings
    os.makedirs(self._folder, exist_ok=True)
    self._rows = files.GrowingNpy(_npy(folder, 'embeddings'))

  def __enter__(self) -> 'Writer':
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(self._folder, _JSON))
    self._rows.__enter__()
    return self

  def append(self, part: Examples) -> None:
    """Adds examples; all parts have one embedding size and dtype."""
    self._rows.append(part.embeddings)
    nothing = part.embeddings[:0]
    self._parts.append(dataclasses.replace(part, embeddings=nothing))

  def __exit__(self, error: type[BaseException] | None, *rest: Any) -> None:
    self._rows.__exit__(error, *rest)
    if error is None:
      self._finish()

  def _finish(self):
    whole = Examples.concatenate(self._parts)
    entries = {'embeddings': self._rows.entry}
    for name in _ARRAYS[1:]:
      array = getattr(whole, name)
      entries[name] = _entry(array)
      np.save(_npy(self._folder, name), array, allow_pickle=False)
    meta = {
      'classes': self._classes,
      'skipped': whole.skipped,
      'fingerprint': _combine(entries, self._classes),
    }
    files.write_json(os.path.join(self._folder, _JSON), meta)


def _npy(folder, name):
  return os.path.join(folder, f'{name}.npy')


def _as_bytes(array):
  return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _entry(array):
  """What the fingerprint takes of an array."""
  digest = hashlib.blake2b(_as_bytes(array)).hexdigest()
  return array.dtype.str, array.shape, digest


def _combine(entries, classes):
  text = json.dumps([entries, classes], sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
