"""Converts the released VGGish checkpoint to a NumPy file.

  python -m aec_jax.models.convert vggish_model.ckpt vggish.npz

Prints the table of variables and shapes, and writes nothing if one is missing
or has another shape than thesis Table 1.
"""

import os
import sys
import tempfile

import numpy as np

from aec_jax.errors import UNREADABLE, UserError
from aec_jax.models.vggish import CONVOLUTIONS, EMBEDDING_SIZE, HIDDEN, scaled
from aec_jax.run.console import table

# One log-mel example, and what the four 2×2 pools leave of it.
EXAMPLE = (96, 64)
POOLED = (EXAMPLE[0] // 16) * (EXAMPLE[1] // 16)

KINDS = {'kernel': 'weights', 'bias': 'biases'}


def shapes(width: float = 1.0) -> dict[str, tuple[int, ...]]:
  """{'conv1/kernel': (3, 3, 1, 64), …}: the parameters of `VGGish`."""
  found = {}
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


def read(path: str, width: float = 1.0) -> dict[str, np.ndarray]:
  """The parameters in a TensorFlow checkpoint, by our names.

  Prints the table of variables; others than VGGish's are named and ignored.

  Raises:
    UserError: there is no checkpoint, a variable is missing, or shapes differ.
  """
  import tensorflow as tf  # 6 s, and only this command needs it

  try:
    reader = tf.train.load_checkpoint(path)
  except (ValueError, tf.errors.OpError) as error:
    raise UserError(
      f'{path}: no TensorFlow checkpoint; give the path without .index or'
      ' .data, or that of a one-file checkpoint'
    ) from error
  available = reader.get_variable_to_shape_map()
  wanted = {released_name(k): (k, s) for k, s in shapes(width).items()}
  rows = [('variable', 'shape', 'wanted', 'parameter')]
  for name, (ours, shape) in wanted.items():
    found = available.get(name)
    rows.append((name, _show(found), _show(shape), ours))
  print(table(rows))
  extra = sorted(set(available) - set(wanted))
  if extra:
    print(f'ignored: {", ".join(extra)}')
  _check(path, available, {name: shape for name, (_, shape) in wanted.items()})
  return {
    ours: np.asarray(reader.get_tensor(name), np.float32)
    for name, (ours, _) in wanted.items()
  }


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
  """Writes an .npz, whole or not at all."""
  folder = os.path.dirname(os.path.abspath(path))
  try:
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
      temporary = file.name
      np.savez(file, **params)
    os.chmod(temporary, 0o644)  # temporary files are private
    os.replace(temporary, path)
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error.strerror}') from error


def load(path: str, width: float = 1.0) -> dict[str, dict[str, np.ndarray]]:
  """The 'params' collection of `VGGish(width=width)` from `save`'s file.

  Raises:
    UserError: the file is missing or no .npz, or a parameter is missing or has
      another shape than at this width.
  """
  return _params(path, _read_npz(path), width)


def load_any_width(path: str) -> tuple[dict[str, dict[str, np.ndarray]], float]:
  """As `load`, of whatever width the file's VGGish has; and that width."""
  flat = _read_npz(path)
  name, features = HIDDEN[0]
  width = np.size(flat.get(f'{name}/bias', ())) / features or 1.0
  return _params(path, flat, width), width


def _read_npz(path):
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: np.asarray(x, np.float32) for name, x in file.items()}
  except FileNotFoundError as error:
    raise UserError(f'{path}: no such file') from error
  except UNREADABLE as error:
    raise UserError(
      f'{path}: not a file of python -m aec_jax.models.convert'
    ) from error


def _params(path, flat, width):
  """Flat parameters, checked against `VGGish(width=width)`, as a tree."""
  wanted = shapes(width)
  _check(path, {name: array.shape for name, array in flat.items()}, wanted)
  params = {}
  for name in wanted:
    layer, kind = name.split('/')
    params.setdefault(layer, {})[kind] = flat[name]
  return params


def main(argv: list[str]) -> int:
  if len(argv) != 2:
    print('usage: python -m aec_jax.models.convert CKPT OUT', file=sys.stderr)
    return 2
  try:
    save(argv[1], read(argv[0]))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'wrote {argv[1]}')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
