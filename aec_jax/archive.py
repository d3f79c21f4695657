"""A folder of Parquet parts: answers on any number of sounds.

Each part holds the rows of some files and is whole or absent, so that a killed
run goes on where it was. A sound without any row has one with its name alone,
and a sound that can't be heard one with the reason under `error`.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

from aec_jax import telling
from aec_jax.answers import Answer, Found
from aec_jax.audio import stream
from aec_jax.bundle import embedded, store
from aec_jax.errors import PassingError, UserError
from aec_jax.run import cache, console, files, workers
from aec_jax.run.progress import Meter

# Files and bytes of a part: what a killed run does again.
_FILES, _BYTES = 500, 1 << 28
_ROWS = 20_000  # that are held before they are written
_SAID = 20  # errors of an earlier run that are said again
RUN = '_run.json'  # so called, readers of a folder of Parquet pass it over
# The key of Parquet's metadata that says which bundle made it.
ABOUT = b'aec_jax'
SOURCE = 'source'


def pyarrow():
  """The modules pyarrow and pyarrow.parquet.

  Raises:
    UserError: it is not installed.
  """
  try:
    import pyarrow
    import pyarrow.parquet
  except ImportError as error:
    raise UserError(
      "Parquet needs pyarrow, which isn't installed: pip install '.[parquet]'"
    ) from error
  return pyarrow, pyarrow.parquet


def identity(tagger) -> dict:
  """What tells one bundle from another, for JSON.

  Returns:
    'weights' and 'released', digests of what it computes with; 'released' is
    None where no VGGish was given to hear with.
  """
  return {
    'experiment': tagger.info['experiment'],
    'weights': tagger.info['files'][store.WEIGHTS],
    'released': _released(tagger),
  }


def about_bundle(tagger, arguments: argparse.Namespace) -> dict:
  """What rows depend on beside files and answer, for JSON.

  Args:
    tagger: of the bundle.
    arguments: with `float_range`.

  Returns:
    `identity`, the range, and under `SOURCE` where the bundle lies and from
    where on paths go, which may change.
  """
  paths = {
    name: path and os.path.abspath(path)
    for name, path in vars(arguments).items()
    if name in ('bundle', 'vggish', 'pca')
  }
  return identity(tagger) | {
    'float_range': list(arguments.float_range),
    SOURCE: {**paths, 'folder': os.getcwd()},
  }


def _released(tagger) -> str | None:
  """A digest of the VGGish and the PCA that a bundle was given."""
  if tagger.pca is None:
    return None
  found = hashlib.sha256()
  for array in jax.tree.leaves((tagger.extractors, tagger.pca)):
    found.update(np.ascontiguousarray(array).data)
  return found.hexdigest()


def run(
  answer: Answer,
  tagger,
  found: Sequence,
  out: str,
  about: dict,
  decoders: int | None,
  tag: Callable,
) -> int:
  """Fills a folder, from wherever it stands; the command's exit status.

  Args:
    answer: that is asked of each sound.
    tagger: of the bundle.
    found: the files, as `predict.find` gives them.
    out: the folder.
    about: as `about_bundle` gives it.
    decoders: processes that decode; None for as many as there are cores.
    tag: `predict.tag`.

  Raises:
    UserError: the folder holds something else, or pyarrow is not there.
  """
  pyarrow()
  folder = Path(out)
  entries = sorted(found, key=lambda file: file.path)
  parts = list(_parts(entries))
  _claim(folder, answer, about, entries, len(parts))
  paths = [_path(folder, i) for i in range(len(parts))]
  left = [i for i, path in enumerate(paths) if not path.exists()]
  before = [path for path in paths if path.exists()]
  if before:
    print(
      f'{out}: goes on after {len(before):,} of {len(parts):,} parts',
      file=sys.stderr,
    )
  console.configure_logging()
  flags.FLAGS.mark_as_parsed()  # there are none, and absl would say so
  total = sum(file.size for i in left for file in parts[i])
  meter = Meter(f'{answer.name}, MB', total, logged=True, unit=1e6)
  count, done = os.cpu_count() or 1, 0
  count = count if decoders is None else decoders
  with _Decoders(tagger, answer.per_segment, count) as decode:
    for i in left:
      rows = tag(decode.ahead(answer), parts[i], bar=meter)
      with contextlib.closing(rows):
        write_part(paths[i], answer, telling.Told(rows), about)
      done += sum(file.size for file in parts[i])
      meter.advance(done - meter.done)
  meter.clear()
  named = {_utf8(file.path) for file in entries if file.named}
  return _summary(out, paths, before, named)


def _path(folder, number) -> Path:
  return folder / f'part-{number:05d}.parquet'


def _parts(entries) -> Iterator[list]:
  """Files by parts, a pure function of their sizes."""
  part: list = []
  size = 0
  for file in entries:
    if part and (len(part) == _FILES or size + file.size > _BYTES):
      yield part
      part, size = [], 0
    part.append(file)
    size += file.size
  if part:
    yield part


def _claim(folder, answer, about, entries, parts) -> None:
  """Makes the folder this run's, or raises `UserError`."""
  listed = [[file.path, file.size, _changed(file.path)] for file in entries]
  mine = {
    'answer': answer.name,
    'settings': answer.settings,
    'bundle': {k: v for k, v in about.items() if k != SOURCE},
    'files': len(entries),
    'parts': parts,
    'digest': cache.digest(listed),
  }
  mine = json.loads(json.dumps(mine))
  path = folder / RUN
  if folder.exists() and not folder.is_dir():
    raise UserError(f'--out={folder} is no folder, which it takes: name one')
  if path.exists():
    other = files.read_json(path, remedy='name another folder')
    differs = [key for key in mine if other.get(key) != mine[key]]
    if differs:
      raise UserError(
        f'{folder} holds the results of another run ({", ".join(differs)}):'
        ' name another folder'
      )
  elif folder.exists() and any(folder.iterdir()):
    raise UserError(f'{folder} is not empty: name another folder')
  else:
    was_there = folder.exists()
    try:
      files.write_json(path, mine | {SOURCE: about.get(SOURCE, {})})
    except OSError as error:
      if not was_there:  # nothing is in it
        with contextlib.suppress(OSError):
          folder.rmdir()
      raise UserError(f'--out={folder}: {error.strerror}') from error


def _changed(path) -> int:
  try:
    return os.stat(path).st_mtime_ns
  except OSError:
    return 0


def write_part(
  path: Path, answer: Answer, rows: Iterable[tuple], about: dict
) -> None:
  """Writes a Parquet file, whole or not at all.

  Args:
    path: of it.
    answer: whose rows they are.
    rows: (file, name, `Found`) of sounds.
    about: as of `run`, which the file says of itself.

  Raises:
    PassingError: a sound can't be heard now.
  """
  arrow, parquet = pyarrow()
  schema = _schema(arrow, answer).with_metadata({ABOUT: json.dumps(about)})
  with (
    files.whole(path) as unfinished,
    parquet.ParquetWriter(unfinished, schema) as writer,
  ):
    for columns in _columns(answer, rows):
      arrays = [
        arrow.array(column, field.type)
        for column, field in zip(columns, schema, strict=True)
      ]
      writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _utf8(name: str) -> str:
  """A file's name as Parquet takes it; bytes that are not UTF-8 are escaped."""
  return os.fsencode(name).decode('utf-8', 'backslashreplace')


def _schema(arrow, answer):
  kinds = {
    str: arrow.string(), float: arrow.float64(), bool: arrow.bool_(),
    list: arrow.list_(arrow.float32()),
  }  # fmt: skip
  fields = [(name, kinds[kind]) for name, kind in answer.columns.items()]
  text = arrow.string()
  return arrow.schema([('file', text), *fields, ('notes', text),
                       ('error', text)])  # fmt: skip


def lasting(rows: Iterable[tuple]) -> Iterator[tuple]:
  """Passes rows on that are to be kept.

  Raises:
    PassingError: a sound can't be heard now, of which nothing is to be kept.
  """
  for file, name, found in rows:
    if isinstance(found.error, PassingError):
      raise found.error
    yield file, name, found


def _columns(answer, rows) -> Iterator[list[list]]:
  """The columns of some rows after another."""
  empty = (None,) * len(answer.columns)
  held: list[tuple] = []
  told = False  # whether the sound has a row yet
  for _, name, found in lasting(rows):
    name = _utf8(name)
    notes = '; '.join(found.notes) or None
    error = found.error and _utf8(str(found.error))
    held += [(name, *row, notes, None) for row in found.rows]
    told = told or bool(found.rows)
    if found.last and (found.error or not told):
      held.append((name, *empty, notes, error))
    told = told and not found.last
    if len(held) >= _ROWS:
      yield [list(column) for column in zip(*held, strict=True)]
      held = []
  if held:
    yield [list(column) for column in zip(*held, strict=True)]


def _summary(out, paths, before, named) -> int:
  """Says what could not be heard; the exit status, as of `telling.Told`.

  Args:
    out: the folder.
    paths: of its parts.
    before: those of them that an earlier run has written.
    named: what the user named, rather than a folder of it.
  """
  told: set[str] = set()
  failed: dict[str, str] = {}
  for path in paths:
    some = _heard(path)
    told |= some.keys()
    errors = {name: error for name, error in some.items() if error}
    if path in before:
      for error in list(errors.values())[: max(0, _SAID - len(failed))]:
        print(f'error: {console.printable(error)}', file=sys.stderr)
    failed |= errors
  good = len(told) - len(failed)
  print(
    f'{out}: {good:,} sounds in {len(paths):,} parts'
    + (f', {len(failed):,} could not be heard: see error' if failed else ''),
    file=sys.stderr,
  )
  # A clip of a TFRecord is called FILE:ID.
  mistaken = any(named & {name, name.rpartition(':')[0]} for name in failed)
  return 0 if good and not mistaken else 2


def _heard(path) -> dict[str, str | None]:
  """{name: error or None} of the sounds in a part."""
  _, parquet = pyarrow()
  table = parquet.read_table(path, columns=['file', 'error']).to_pydict()
  found: dict[str, str | None] = {}
  for name, error in zip(table['file'], table['error'], strict=True):
    found[name] = found.get(name) or error
  return found


@dataclasses.dataclass
class _Ahead:
  """An answer whose sounds other processes decode ahead."""

  answer: Answer
  decoders: '_Decoders'

  def tag(self, sounds: Iterable) -> Iterator[Found]:
    return self.answer.tag(self.decoders.decoded(sounds))


class _Decoders:
  """Processes that decode short files while the model is at work.

  Longer ones are read where they are heard, block by block.

  Args:
    tagger: of a bundle.
    per_segment: examples that begin in a segment.
    count: processes; at most 1: none, this one decodes.
  """

  def __init__(self, tagger, per_segment: int, count: int) -> None:
    how = tagger.front_end
    spec = embedded.spec_of(tagger, per_segment)
    self._how = spec, how['trim_db'], how['peak_normalise']
    self._count = count if tagger.hears else 0

  def __enter__(self) -> '_Decoders':
    self._pool = None
    if self._count > 1:
      self._pool = workers.pool(self._count)
    return self

  def __exit__(self, *_: Any) -> None:
    if self._pool:
      self._pool.shutdown(cancel_futures=True)

  def ahead(self, answer: Answer):
    """The answer, asked of decoded sounds."""
    return _Ahead(answer, self) if self._pool else answer

  def decoded(self, sounds: Iterable) -> Iterator:
    """Sounds in their order, short files among them decoded."""
    waiting: deque = deque()
    assert self._pool is not None  # or `ahead` has not come here
    for sound in sounds:
      job = None
      if isinstance(sound, stream.Recording):
        job = self._pool.submit(stream.read_examples, sound.name, *self._how)
      waiting.append((sound, job))
      while len(waiting) > 4 * self._count:
        yield _ready(*waiting.popleft())
    while waiting:
      yield _ready(*waiting.popleft())


def _ready(sound, job):
  """What was read of a sound; of a longer one itself, to be read here."""
  found = None if job is None else job.result()
  return sound if found is None else found
