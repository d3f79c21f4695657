"""Converts the released VGGish checkpoint to a NumPy file, and reads both.

  python -m aec_jax.models.convert vggish_model.ckpt vggish.npz

Prints the table of variables and shapes, and writes nothing if one is missing
or has another shape than thesis Table 1.
"""

import glob
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aec_jax.errors import UNREADABLE, UserError
from aec_jax.models.vggish import CONVOLUTIONS, EMBEDDING_SIZE, HIDDEN, scaled
from aec_jax.run import console, files

# One log-mel example, and what the four 2×2 pools leave of it.
EXAMPLE = (96, 64)
POOLED = (EXAMPLE[0] // 16) * (EXAMPLE[1] // 16)

KINDS = {'kernel': 'weights', 'bias': 'biases'}


def shapes(width: float = 1.0) -> dict[str, tuple[int, ...]]:
  """{'conv1/kernel': (3, 3, 1, 64), …}: the parameters of `VGGish`."""
  found: dict[str, tuple[int, ...]] = {}
  channels = 1
  for name, features in (layer for block in CONVOLUTIONS for layer in block):
    features = scaled(features, width)
    found[f'{name}/kernel'] = (3, 3, channels, features)
    found[f'{name}/bias'] = (features,)
    channels = features
  units = POOLED * channels
  dense = [(name, scaled(features, width)) for name, features in HIDDEN]
  for name, features in (*dense, ('fc2', EMBEDDING_SIZE)):
    found[f'{name}/kernel'] = (units, features)
    found[f'{name}/bias'] = (features,)
    units = features
  return found


def released_name(name: str) -> str:
  """'conv3_1/kernel' -> 'vggish/conv3/conv3_1/weights'."""
  layer, kind = name.split('/')
  group = layer.split('_')[0]
  scope = layer if layer == group else f'{group}/{layer}'
  return f'vggish/{scope}/{KINDS[kind]}'


def describe(path: str, width: float = 1.0) -> str:
  """A checkpoint's variables and shapes beside VGGish's, as a table.

  Raises:
    UserError: there is no checkpoint.
  """
  available = _open(path).get_variable_to_shape_map()
  wanted = _released(width)
  rows = [('variable', 'shape', 'wanted', 'parameter')]
  for name, (ours, shape) in wanted.items():
    rows.append((name, _show(available.get(name)), _show(shape), ours))
  extra = sorted(set(available) - set(wanted))
  ignored = f'\nignored: {", ".join(extra)}' if extra else ''
  return console.table(rows) + ignored


def read(path: str, width: float = 1.0) -> dict[str, np.ndarray]:
  """The parameters in a TensorFlow checkpoint, by our names.

  Args:
    path: of a one-file checkpoint, such as the release's, or what the names
      of a newer one's files begin with.
    width: of `VGGish`.

  Raises:
    UserError: there is no checkpoint, a variable is missing, or shapes differ.
  """
  wanted = _released(width)
  available = _open(path).get_variable_to_shape_map()
  _check(path, available, {name: shape for name, (_, shape) in wanted.items()})
  return _read_checkpoint(path)


def _released(width):
  """{variable of the release: (our name, shape)}."""
  return {released_name(k): (k, s) for k, s in shapes(width).items()}


def _open(path):
  _check_files(path)
  import tensorflow as tf  # 6 s, and only checkpoints need it

  try:
    return tf.train.load_checkpoint(path)
  except (ValueError, tf.errors.OpError) as error:
    raise UserError(
      f'{path}: no TensorFlow checkpoint; give the path without .index or'
      ' .data, or that of a one-file checkpoint'
    ) from error


def _check_files(path):
  """Raises `UserError` for a pipe and the like that TensorFlow would open."""
  if not os.path.isdir(path):  # which may bear the name of files beside it
    files.check_file(path, needed=False)
  for other in (os.path.join(path, 'checkpoint'), f'{path}.index'):
    files.check_file(other, needed=False)
  for other in glob.glob(f'{glob.escape(str(path))}.data-*'):
    files.check_file(other)


def _show(shape) -> str:
  return 'missing' if shape is None else '×'.join(map(str, shape))


def _check(path, available, wanted):
  """Raises UserError unless `available` has every shape of `wanted`."""
  missing = [name for name in wanted if name not in available]
  if missing:
    raise UserError(f'{path}: has no variable {", ".join(missing)}')
  for name, shape in wanted.items():
    if tuple(available[name]) != shape:
      raise UserError(
        f'{path}: {name} is {_show(available[name])}, VGGish has {_show(shape)}'
      )


def save(path: str, params: dict[str, np.ndarray]) -> None:
  """Writes an .npz, whole or not at all.

  Raises:
    UserError: it cannot be written.
  """
  try:
    with files.whole(Path(path)) as unfinished, open(unfinished, 'wb') as file:
      np.savez(file, **params)  # type: ignore[arg-type]
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error.strerror}') from error


def load(path: str, width: float = 1.0) -> dict[str, dict[str, np.ndarray]]:
  """The 'params' collection of `VGGish(width=width)`.

  Args:
    path: `save`'s file, or a checkpoint as `read` takes it.
    width: of `VGGish`.

  Raises:
    UserError: the file is missing or is neither, or a parameter is missing or
      has another shape than at this width.
  """
  return _params(path, _read_any(path), width)


def load_any_width(path: str) -> tuple[dict[str, dict[str, np.ndarray]], float]:
  """As `load`, of whatever width the file's VGGish has; and that width."""
  flat = _read_any(path)
  name, features = HIDDEN[0]
  width = np.size(flat.get(f'{name}/bias', ())) / features or 1.0
  return _params(path, flat, width), width


def _read_any(path):
  return (_read_checkpoint if _is_checkpoint(path) else _read_npz)(path)


def _is_checkpoint(path):
  if str(path).endswith('.npz'):  # a damaged one is no reason for TensorFlow
    return False
  if os.path.isfile(path):
    return not zipfile.is_zipfile(path)
  return os.path.lexists(f'{path}.index')


def _read_checkpoint(path):
  """What there is of VGGish's parameters, of whatever shape."""
  import tensorflow as tf

  reader = _open(path)
  names = {name: released_name(name) for name in shapes()}
  try:
    return {
      name: np.asarray(reader.get_tensor(theirs), np.float32)
      for name, theirs in names.items()
      if reader.has_tensor(theirs)
    }
  except (ValueError, tf.errors.OpError) as error:
    raise UserError(
      f'{path}: a damaged checkpoint: {str(error).splitlines()[0]}'
    ) from error


def _read_npz(path):
  files.check_file(path)
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: np.asarray(x, np.float32) for name, x in file.items()}
  except UNREADABLE as error:
    raise UserError(
      f'{path}: not a file of python -m aec_jax.models.convert'
    ) from error


def _params(path, flat, width):
  """Flat parameters, checked against `VGGish(width=width)`, as a tree."""
  wanted = shapes(width)
  _check(path, {name: array.shape for name, array in flat.items()}, wanted)
  params: dict[str, dict[str, np.ndarray]] = {}
  for name in wanted:
    layer, kind = name.split('/')
    params.setdefault(layer, {})[kind] = flat[name]
  return params


def main(argv: Sequence[str] | None = None) -> int:
  """The command; `argv` defaults to the process's."""
  parser = console.Parser(__doc__)
  parser.add_argument('ckpt', metavar='CKPT', help='The checkpoint.')
  parser.add_argument('out', metavar='OUT', help='The .npz to write.')
  options = parser.parse_args(argv)
  print(describe(options.ckpt))
  save(options.out, read(options.ckpt))
  print(f'wrote {options.out}')
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
