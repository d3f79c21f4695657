"""A folder of Parquet parts: answers on any number of sounds.

Each part holds the rows of some files and is whole or absent, so that a killed
run goes on where it was. A sound without any row has one with its name alone,
and a sound that can't be heard one with the reason under `error`.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from aec_jax.answers import Answer, Found
from aec_jax.audio import stream
from aec_jax.errors import UserError
from aec_jax.run import cache, console, files
from aec_jax.run.progress import Meter

# Files and bytes of a part: what a killed run does again.
_FILES, _BYTES = 500, 1 << 28
# Larger files are read where they are heard, block by block.
_LARGE = 1 << 22
_ROWS = 20_000  # that are held before they are written
RUN = '_run.json'  # so called, readers of a folder of Parquet pass it over
# The key of Parquet's metadata that says which bundle made it.
ABOUT = b'aec_jax'


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


def about_bundle(tagger) -> dict:
  """What tells one bundle from another."""
  return {
    'experiment': tagger.info['experiment'],
    'weights': tagger.info.get('files', {}),
    'hears': tagger.hears,
  }


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
    about: what the rows depend on beside files and answer, for JSON.
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
  left = [i for i in range(len(parts)) if not _path(folder, i).exists()]
  if len(left) < len(parts):
    whole = len(parts) - len(left)
    print(
      f'{out}: goes on after {whole:,} of {len(parts):,} parts',
      file=sys.stderr,
    )
  console.configure_logging()
  flags.FLAGS.mark_as_parsed()  # there are none, and absl would say so
  total = sum(file.size for i in left for file in parts[i])
  meter = Meter(f'{answer.name}, MB', total, logged=True, unit=1e6)
  count, done = os.cpu_count() or 1, 0
  with _Decoders(tagger, count if decoders is None else decoders) as decode:
    for i in left:
      rows = tag(decode.ahead(answer), parts[i], bar=meter)
      with contextlib.closing(rows):
        write_part(_path(folder, i), answer, rows, about)
      done += sum(file.size for file in parts[i])
      meter.advance(done - meter.done)
  meter.clear()
  return _summary(out, [_path(folder, i) for i in range(len(parts))])


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
  mine = json.loads(
    json.dumps(
      {
        'answer': answer.name,
        'settings': answer.settings,
        'bundle': about,
        'files': len(entries),
        'parts': parts,
        'digest': cache.digest(listed),
      }
    )
  )
  path = folder / RUN
  if path.exists():
    other = files.read_json(path)
    differs = [key for key in mine if other.get(key) != mine[key]]
    if differs:
      raise UserError(
        f'{folder} holds the results of another run ({", ".join(differs)}):'
        ' name another folder'
      )
  elif folder.exists() and any(folder.iterdir()):
    raise UserError(f'{folder} is not empty: name another folder')
  else:
    files.write_json(path, mine)


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


def _schema(arrow, answer):
  kinds = {
    str: arrow.string(), float: arrow.float64(), bool: arrow.bool_(),
    list: arrow.list_(arrow.float32()),
  }  # fmt: skip
  fields = [(name, kinds[kind]) for name, kind in answer.columns.items()]
  text = arrow.string()
  return arrow.schema([('file', text), *fields, ('notes', text),
                       ('error', text)])  # fmt: skip


def _columns(answer, rows) -> Iterator[list[list]]:
  """The columns of some rows after another."""
  empty = (None,) * len(answer.columns)
  held: list[tuple] = []
  told = False  # whether the sound has a row yet
  for _, name, found in rows:
    name = console.printable(name)
    notes = '; '.join(found.notes) or None
    error = found.error and str(found.error)
    some = [] if found.error else found.rows
    held += [(name, *row, notes, None) for row in some]
    told = told or bool(some)
    if found.last and (found.error or not told):
      held.append((name, *empty, notes, error))
    told = told and not found.last
    if len(held) >= _ROWS:
      yield [list(column) for column in zip(*held, strict=True)]
      held = []
  if held:
    yield [list(column) for column in zip(*held, strict=True)]


def _summary(out, paths) -> int:
  """Says what could not be heard; the exit status."""
  _, parquet = pyarrow()
  told, failed = set(), {}
  for path in paths:
    table = parquet.read_table(path, columns=['file', 'error'])
    for name, error in zip(*table.to_pydict().values(), strict=True):
      told.add(name)
      if error:
        failed[name] = error
  for error in list(failed.values())[:20]:
    print(f'error: {console.printable(error)}', file=sys.stderr)
  good = len(told) - len(failed)
  print(
    f'{out}: {good:,} sounds in {len(paths):,} parts'
    + (f', {len(failed):,} could not be heard: see error' if failed else ''),
    file=sys.stderr,
  )
  return 0 if good else 2


@dataclasses.dataclass
class _Ahead:
  """An answer whose sounds other processes decode ahead."""

  answer: Answer
  decoders: '_Decoders'

  def tag(self, sounds: Iterable) -> Iterator[Found]:
    return self.answer.tag(self.decoders.decoded(sounds))


class _Decoders:
  """Processes that decode small files while the model is at work.

  Args:
    tagger: of a bundle.
    count: processes; at most 1: none, this one decodes.
  """

  def __init__(self, tagger, count: int) -> None:
    how = tagger.front_end
    self._how = tagger.spec, how['trim_db'], how['peak_normalise']
    self._count = count if tagger.hears else 0

  def __enter__(self) -> '_Decoders':
    self._pool = None
    if self._count > 1:
      self._pool = concurrent.futures.ProcessPoolExecutor(
        self._count, multiprocessing.get_context('spawn')
      )
    return self

  def __exit__(self, *_: Any) -> None:
    if self._pool:
      self._pool.shutdown(cancel_futures=True)

  def ahead(self, answer: Answer):
    """The answer, asked of decoded sounds."""
    whole = answer.settings.get('per_segment', 1) == 1
    return _Ahead(answer, self) if self._pool and whole else answer

  def decoded(self, sounds: Iterable) -> Iterator:
    """Sounds in their order, small files among them decoded."""
    waiting: deque = deque()
    assert self._pool is not None  # or `ahead` has not come here
    for sound in sounds:
      small = (
        isinstance(sound, stream.Recording)
        and os.path.exists(sound.name)
        and os.path.getsize(sound.name) < _LARGE
      )
      if small:
        waiting.append(
          self._pool.submit(stream.read_examples, sound.name, *self._how)
        )
      else:
        waiting.append(sound)
      while len(waiting) > 4 * self._count:
        yield _ready(waiting.popleft())
    while waiting:
      yield _ready(waiting.popleft())


def _ready(sound):
  if not isinstance(sound, concurrent.futures.Future):
    return sound
  return sound.result()
