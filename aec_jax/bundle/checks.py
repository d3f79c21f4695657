"""What a bundle may hold, whoever wrote it: files and arrays of known size.

Nothing is read before it is known how much memory it takes.
"""

import io
import math
import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.audio import FrontEnd
from aec_jax.bundle import sizes
from aec_jax.bundle.network import modules
from aec_jax.errors import UserError

# Of the files beside the weights. AudioSet's 527 classes with their decisions
# make 0.8 MB, so this is enough for ten thousand classes. At worst, of empty
# lists alone, JSON takes 25 times its size in memory: 400 MB.
INFO_BYTES, CARD_BYTES = 16 << 20, 4 << 20
# Of a zip file, for each array: two headers of its own and one of NumPy's.
_AROUND = 4096
# Layers, and the length of a name: what a network or a page has at most.
_LAYERS, _NAME = 100, 1000
_FRAMES = 10_000  # of an example: 100 s
# Beyond which no network has weights; sums of their products stay finite.
_LARGEST = 1e9

Shapes = dict[str, tuple[int, ...]]


def open_regular(path: Path, most: int) -> io.BufferedReader:
  """Opens a file that is one, not what a link, pipe or device leads to.

  Args:
    path: of it.
    most: bytes that it may have.

  Raises:
    UserError: it is no such file, cannot be read or is larger.
  """
  # A pipe without a writer, and many a device, would wait to be opened.
  flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
  try:
    if os.path.islink(path):
      raise UserError(f'{path} is a link: copy what it leads to')
    file = open(os.open(path, flags), 'rb')  # noqa: SIM115
  except OSError as error:
    raise UserError(
      f'{path} cannot be read ({error.strerror}): copy the whole bundle'
    ) from error
  status = os.fstat(file.fileno())
  if stat.S_ISREG(status.st_mode) and status.st_size <= most:
    return file
  file.close()
  if not stat.S_ISREG(status.st_mode):
    raise UserError(f'{path} is no regular file: copy the whole bundle')
  raise UserError(
    f'{path} has {status.st_size:,} bytes and can have {most:,} at most: it is'
    ' not the file that the bundle was made with'
  )


def check_names(names: Iterable[str]) -> bool:
  """Whether names are short enough to be shown."""
  return all(len(name) <= _NAME for name in names)


def check_sizes(info: dict) -> None:
  """Raises `ValueError` for numbers that would take time or memory to build."""
  frames = info['extractor']['frames']
  if frames not in range(_FRAMES + 1):
    raise ValueError(f'extractor.frames is {frames!r:.80}')
  for section in ('extractor', 'model'):
    for name, value in (info[section] or {}).items():
      if isinstance(value, list) and len(value) > _LAYERS:
        raise ValueError(f'{section}.{name} is {value!r:.80}')


def shapes_of(info: dict) -> Shapes:
  """{'extractors/0/params/conv1/kernel': (3, 3, 1, 64), …}: all weights.

  Raises:
    UserError: there is no such module.
    ValueError: its pieces would take too much memory.
  """
  extractor, classifier = modules(info)
  found: Shapes = {}
  spec = FrontEnd.of_record(info['front_end'])
  example = jax.ShapeDtypeStruct((1, spec.frames, spec.bands), jnp.float32)
  one, (_, size) = _shapes_of(extractor, example)
  for i in range(len(info['extractors'])):
    found |= {f'extractors/{i}/{name}': shape for name, shape in one.items()}
  if classifier:
    segment = jax.ShapeDtypeStruct((1, 1, size), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, 1), bool)
    one, _ = _shapes_of(classifier, segment, mask)
    for i, e in enumerate(info['ensembles']):
      if sizes.piece_bytes(e['length'], one.values()) > sizes.MOST_BYTES:
        raise ValueError(f'pieces of {e["length"]:,} segments')
      members = len(e['extractors'])
      found |= {
        f'ensembles/{i}/{name}': (members, *shape)
        for name, shape in one.items()
      }
  return found


def _shapes_of(module, *inputs) -> tuple[Shapes, tuple[int, ...]]:
  """Of a module's variables, by name, and of its output; none are made."""
  out, found = jax.eval_shape(
    lambda *x: module.init_with_output(jax.random.key(0), *x), *inputs
  )
  flat = flax.traverse_util.flatten_dict(found, sep='/')
  return {name: x.shape for name, x in flat.items()}, out.shape


def file_size(shapes: Shapes) -> int:
  """Bytes that a file of weights has at most."""
  return _AROUND + sum(_AROUND + 4 * math.prod(s) for s in shapes.values())


def read_arrays(
  file: io.BufferedReader, name: str, shapes: Shapes, part: str = ''
) -> dict:
  """The arrays of a file of weights, by their names.

  Args:
    file, name: of the weights.
    shapes: of all of them.
    part: what the names of those begin with that are read.

  Raises:
    ValueError: they have other names, shapes or types, or are no weights.
  """
  with np.load(file, allow_pickle=False) as archive:
    entries = archive.zip.infolist()
    # Stored as they are, so that they take the memory of the file's size.
    if any(i.compress_type != zipfile.ZIP_STORED for i in entries):
      raise ValueError(f'{name} is compressed')
    # Not the same bytes again and again.
    if sum(i.file_size for i in entries) > os.fstat(file.fileno()).st_size:
      raise ValueError(f'{name} has arrays that lie in each other')
    arrays = {k: archive[k] for k in archive.files if k.startswith(part)}
  wanted = {k: shape for k, shape in shapes.items() if k.startswith(part)}
  _check_arrays(name, arrays, wanted)
  return arrays


def _check_arrays(file: str, found: dict, wanted: Shapes) -> None:
  """Raises `ValueError` unless arrays have their names, shapes and types."""
  for name in sorted(found.keys() ^ wanted.keys()):
    fault = 'lacks' if name in wanted else 'has the unknown'
    raise ValueError(f'{file} {fault} {name}')
  for name, shape in wanted.items():
    array = found[name]
    if array.shape != shape or array.dtype != np.float32:
      raise ValueError(
        f'{file}: {name} is {array.dtype} {array.shape}, not float32 {shape}'
      )
    largest = np.abs(array).max(initial=0)
    if not largest <= _LARGEST:  # NaN is neither larger nor less
      what = 'NaN or infinite' if not np.isfinite(largest) else f'{largest:.0e}'
      raise ValueError(f'{file}: {name} has weights that are {what}')
