"""An index of sounds: embeddings of segments, to be gone through in blocks."""

import dataclasses
import functools
import heapq
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aec_jax import archive
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.input import pieces
from aec_jax.run import files

# Segments of a sound that a block's rows are held against at a time.
_TOGETHER = 128
_COLUMNS = ('file', 'start', 'end', 'embedding')


class Block(NamedTuple):
  """Some rows of an index.

  Attributes:
    file: (row,) paths.
    start, end: (row,) seconds.
    embedding: (row, number) float32.
  """

  file: np.ndarray
  start: np.ndarray
  end: np.ndarray
  embedding: np.ndarray


@dataclasses.dataclass(frozen=True)
class Index:
  """An index.

  Attributes:
    path: of it.
    about: of the bundle that made it, as `archive.about_bundle`.
    blocks: goes through its rows, as often as it is called.
  """

  path: str
  about: dict
  blocks: Callable[[], Iterator[Block]]

  @property
  def source(self) -> dict:
    """Where the bundle lay, and from where on paths went."""
    return self.about.get(archive.SOURCE, {})

  @functools.cached_property
  def moments(self) -> tuple[np.ndarray, np.ndarray]:
    """(number,) means and deviations; these are infinite where nothing changes.

    All rows are gone through, once.

    Raises:
      UserError: there are none.
    """
    total: np.ndarray = np.zeros(())
    squares: np.ndarray = np.zeros(())
    count = 0
    for block in self.blocks():
      rows = block.embedding.astype(np.float64)
      total, squares = total + rows.sum(0), squares + (rows**2).sum(0)
      count += len(rows)
    if not count:
      raise UserError(f'{self.path}: the index is empty')
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # A number that never changes says nothing.
    return mean, np.where(deviation > 1e-6, deviation, np.inf)

  def place(self, file: str) -> str:
    """The path of a file that it names, as it is from here."""
    folder = self.source.get('folder', os.curdir)
    return file if folder == os.getcwd() else os.path.join(folder, file)

  def check(self, tagger: Tagger) -> None:
    """Raises `UserError` unless a bundle's embeddings are of the same kind."""
    bundle = archive.identity(tagger)
    for key, what in (('weights', 'bundle'), ('released', 'VGGish or PCA')):
      mine, other = self.about.get(key), bundle[key]
      # Released embeddings may be looked through with a VGGish of one's own.
      if mine != other and (key == 'weights' or (mine and other)):
        raise UserError(f'{self.path} was made with another {what}')


def open_index(path: str) -> Index:
  """Opens what `aec_jax.embed` has written.

  Raises:
    UserError: it is no such file or folder, or not finished.
  """
  if not os.path.isdir(path):
    files.check_file(path)
  opened = _open_npz if path.lower().endswith('.npz') else _open_parquet
  about, blocks = opened(path)
  if not isinstance(about, dict) or not isinstance(
    about.get(archive.SOURCE, {}), dict
  ):
    raise UserError(
      f'{path}: no index of aec_jax.embed: it says nothing of its bundle'
    )
  return Index(path, about, blocks)


def _open_parquet(path):
  """What a file or a folder of parts says of its bundle, and its blocks."""
  _, parquet = archive.pyarrow()
  if not os.path.isdir(path):
    try:
      found = parquet.read_schema(path).metadata or {}
      about = json.loads(found[archive.ABOUT])
    except (*UNREADABLE, KeyError) as error:
      raise UserError(f'{path}: no index of aec_jax.embed: {error}') from error
    return about, lambda: _of_parquet([path])
  claim = files.read_json(Path(path, archive.RUN), 'parts', 'bundle')
  paths = sorted(map(str, Path(path).glob('part-*.parquet')))
  if len(paths) < claim['parts']:
    raise UserError(
      f'{path} has {len(paths):,} of {claim["parts"]:,} parts: let embed'
      ' finish it'
    )
  about = claim['bundle']
  if isinstance(about, dict):
    about = about | {archive.SOURCE: claim.get(archive.SOURCE, {})}
  return about, lambda: _of_parquet(paths)


def _open_npz(path):
  """As `_open_parquet`."""
  try:
    with np.load(path, allow_pickle=False) as file:
      about = json.loads(str(file['bundle']))
      names = ('path', *_COLUMNS[1:])
      block = Block(*(file[name] for name in names))
  except UNREADABLE as error:
    raise UserError(f'{path}: no index of aec_jax.embed: {error}') from error
  return about, lambda: iter([block])


def _of_parquet(paths) -> Iterator[Block]:
  _, parquet = archive.pyarrow()
  for path in paths:
    files.check_file(path)
    try:
      with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(_COLUMNS)):
          batch = batch.filter(batch['embedding'].is_valid())
          if not len(batch):
            continue
          flat = batch['embedding'].flatten().to_numpy(zero_copy_only=False)
          start, end = (
            batch[k].to_numpy(zero_copy_only=False) for k in ('start', 'end')
          )
          names = np.array(batch['file'].to_pylist())
          yield Block(names, start, end, flat.reshape(len(batch), -1))
    except UNREADABLE as error:
      raise UserError(f'{path}: no part of an index: {error}') from error


def nearest(
  index: Index, query: np.ndarray, sound: str, count: int
) -> list[tuple[float, str, float, float]]:
  """The pieces most like a sound.

  Likeness is the cosine between embeddings, each number less its mean over the
  index and by its deviation there, since embeddings have much in common; the
  highest over the sound's segments.

  Args:
    index: to look in.
    query: (segment, number) embeddings of the sound.
    sound: its path; its own pieces are passed over.
    count: how many.

  Returns:
    (likeness, file, start, end) each, the nearest first; files as from here.
  """
  mean, deviation = index.moments
  wanted = _unit((query - mean) / deviation)
  own = os.path.realpath(sound)
  best: list[tuple] = []
  for block in index.blocks():
    rows = _unit((block.embedding - mean) / deviation)
    likeness = _likeness(rows, wanted)
    for i in np.argsort(-likeness, kind='stable'):
      entry = (round(float(likeness[i]), 4), str(block.file[i]),
               float(block.start[i]), float(block.end[i]))  # fmt: skip
      if len(best) == count and entry[0] <= best[0][0]:
        break
      if os.path.realpath(index.place(entry[1])) != own:
        push = heapq.heappush if len(best) < count else heapq.heappushpop
        push(best, entry)
  best.sort(key=lambda e: (-e[0], e[1:]))
  return [(like, index.place(file), *span) for like, file, *span in best]


def _likeness(rows, wanted) -> np.ndarray:
  """(row,) the highest over the segments, some of them at a time."""
  return np.max(
    [
      (rows @ wanted[start : start + _TOGETHER].T).max(1)
      for start in range(0, len(wanted), _TOGETHER)
    ],
    0,
  )


def _unit(rows) -> np.ndarray:
  return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def disputed(index: Index, tagger: Tagger, count: int) -> list[tuple]:
  """The pieces on which the members of a bundle disagree most.

  That is the entropy of their mean less the mean of their entropies, summed
  over the classes where each is decided by itself.

  Returns:
    (file, start, end, '', the members' guess, the disagreement) each, the most
    disputed first.

  Raises:
    UserError: the bundle has a single member.
  """
  members = max((len(e.extractors) for e in tagger.ensembles), default=0)
  if max(members, 0 if tagger.ensembles else len(tagger.extractors)) < 2:
    raise UserError('this bundle has one member, which agrees with itself')
  best: list[tuple] = []
  for name, block in _files(index):
    probabilities, starts, ends = _votes(tagger, block)
    dispute = _dispute(probabilities, tagger.objective.single)
    guesses = probabilities.mean(0).argmax(1)
    for i, value in enumerate(dispute):
      entry = (
        round(float(value), 4), name, float(starts[i]), float(ends[i]),
        tagger.classes[guesses[i]],
      )  # fmt: skip
      push = heapq.heappush if len(best) < count else heapq.heappushpop
      push(best, entry)
  return [
    (index.place(file), start, end, '', guess, value)
    for value, file, start, end, guess in sorted(best, reverse=True)
  ]


def _files(index) -> Iterator[tuple[str, Block]]:
  """The rows of each file, which lie side by side."""
  held: Block | None = None
  for block in index.blocks():
    if held is not None:
      block = Block(*map(np.concatenate, zip(held, block, strict=True)))
    turns = np.flatnonzero(block.file[1:] != block.file[:-1]) + 1
    edges = [0, *turns.tolist()]
    for first, last in itertools.pairwise(edges):
      yield str(block.file[first]), Block(*(x[first:last] for x in block))
    held = Block(*(x[edges[-1] :] for x in block))
  if held is not None and len(held.file):
    yield str(held.file[0]), held


def _votes(tagger, block):
  """What each member says of each piece of a file: (member, piece, class)
  probabilities, and the seconds from and to.
  """
  rows = len(block.file)
  count = len(tagger.extractors) or 1
  x = block.embedding.reshape(rows, count, -1)
  objective = tagger.objective
  if not tagger.ensembles:
    values = objective.values(np.moveaxis(x, 1, 0))
    return (
      np.asarray(objective.to_probabilities(values)),
      block.start,
      block.end,
    )
  if tagger.takes_embeddings:
    x = x.astype(np.uint8)
  ensemble = max(tagger.ensembles, key=lambda e: len(e.extractors))
  cut = pieces.cut(np.array([0, rows]), ensemble.length, ensemble.last_piece)
  said = tagger.pieces(
    ensemble, np.moveaxis(x, 1, 0), cut.segments, cut.n_segments, each=True
  )
  own = cut.own.argmax(1), cut.own.shape[1] - 1 - cut.own[:, ::-1].argmax(1)
  first, last = (cut.segments[np.arange(len(cut)), at] for at in own)
  p = np.asarray(objective.to_probabilities(said.values))
  return p, block.start[first], block.end[last]


def _dispute(p, single) -> np.ndarray:
  """(member, piece, class) probabilities -> (piece,) nats."""
  entropy = _entropy if single else lambda q: _entropy(q) + _entropy(1 - q)
  return (entropy(p.mean(0)) - entropy(p).mean(0)).sum(-1)


def _entropy(p) -> np.ndarray:
  return -p * np.log(np.maximum(p, 1e-12))
