"""A clip's embeddings in a TFRecord's payload, of AudioSet's form or others'.

Reads protobuf's wire format, for programs that do without TensorFlow. Of
tf.train.SequenceExample it is the release's own and YouTube-8M's frame level;
of tf.train.Example, a feature `audio_embedding` with all frames in it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from aec_jax.errors import UserError

SIZE = 128  # numbers of a frame
_VIDEO_LEVEL = 'mean_audio'
# The share of a frame that may be clipped: of whitened numbers, 5 % lie outside
# -2 to 2. More are of another scale than was said.
_CLIPPED = 0.25
# Between which magnitudes embeddings lie that are not 0.
_LIKELY = 1e-6, 1e4


class Clip(NamedTuple):
  """What a record says.

  Attributes:
    names: its video ids; the release's has one.
    frames: uint8, 128 each.
    labels: indices of classes.
  """

  names: list[bytes]
  frames: list[bytes]
  labels: list[int]


def read(payload: bytes, float_range: Sequence[float] = ()) -> Clip:
  """The clip in a payload.

  Args:
    payload: of a record.
    float_range: the floats that 0 and 255 stand for, such as (-2, 2) of
      embeddings before they were quantised; floats between them are rounded,
      others clipped, as the release's were. Empty: floats are whole numbers.

  Raises:
    ValueError: it is no such message, or its embeddings are not 128 numbers of
      0 to 255 a frame, or of about `float_range`.
  """
  maps = {1: b'', 2: b''}
  for number, value in _messages(payload):
    if number in maps:
      maps[number] += value
  context, lists = _map(maps[1]), _map(maps[2])
  names = _values(context.get('video_id', context.get('id', b'')))
  labels = _values(context.get('labels', b''))
  return Clip(
    names if isinstance(names, list) else [],
    _frames(context, lists, tuple(float_range)),
    labels.tolist() if _is_whole(labels) else [],
  )


def check_range(name: str, values: Sequence[float]) -> None:
  """Raises `UserError` for what is no `float_range`; `name` is for messages."""
  numbers = [v for v in values if isinstance(v, int | float)]
  if values and not (
    len(values) == len(numbers) == 2
    and np.isfinite(numbers).all()
    and numbers[0] < numbers[1]
  ):
    raise UserError(
      f'{name} is {values}; it takes the two floats that 0 and 255 stand for,'
      ' such as -2,2 or 0,1'
    )


def _is_whole(values: list[bytes] | np.ndarray) -> TypeGuard[np.ndarray]:
  return isinstance(values, np.ndarray) and values.dtype.kind == 'i'


def _frames(context, lists, float_range) -> list[bytes]:
  key = next((k for k in ('audio_embedding', 'audio') if k in lists), None)
  if key:
    features = [f for number, f in _messages(lists[key]) if number == 1]
    return [
      _frame(_joined(_values(f)), f'frame {i}', float_range)
      for i, f in enumerate(features)
    ]
  if 'audio_embedding' in context:
    all_of_them = _one_after_another(_values(context['audio_embedding']))
    if len(all_of_them) % SIZE:
      raise ValueError(
        f'audio_embedding has {len(all_of_them)} numbers, no multiple of {SIZE}'
      )
    return [
      _frame(
        all_of_them[start : start + SIZE], f'frame {start // SIZE}', float_range
      )
      for start in range(0, len(all_of_them), SIZE)
    ]
  if _VIDEO_LEVEL in context:
    raise ValueError(
      'a video-level record of YouTube-8M, which has no frames: take its'
      ' frame-level files'
    )
  found = ', '.join(sorted({*context, *lists})) or 'nothing'
  raise ValueError(f'no audio_embedding; it has {found}')


def _one_after_another(values: list[bytes] | np.ndarray) -> bytes | np.ndarray:
  """The numbers of all frames of a feature; bytes are uint8, or floats."""
  joined = _joined(values)
  if isinstance(joined, bytes) and {len(v) for v in values} != {SIZE}:
    for kind in ('<f4', '<f8'):
      if _are_floats(joined, np.dtype(kind)):
        return np.frombuffer(joined, kind)
  return joined


def _are_floats(data: bytes, kind: np.dtype) -> bool:
  """Whether bytes are such floats, rather than frames of uint8.

  Taken for floats, uint8 have exponents from all over their range.
  """
  if not data or len(data) % (SIZE * kind.itemsize):
    return False
  with np.errstate(invalid='ignore'):  # uint8 may look like NaN
    magnitudes = np.abs(np.frombuffer(data, kind))
  likely = (magnitudes > _LIKELY[0]) & (magnitudes < _LIKELY[1])
  whole = likely | (magnitudes == 0)
  return bool(likely.mean() > 0.5 and whole.mean() > 0.95)


def _joined(values: list[bytes] | np.ndarray) -> bytes | np.ndarray:
  return b''.join(values) if isinstance(values, list) else values


def _frame(values, name, float_range) -> bytes:
  """A frame's numbers as uint8."""
  if isinstance(values, bytes) and len(values) == 4 * SIZE:
    if not float_range:
      raise ValueError(
        f'{name} has {4 * SIZE} bytes instead of {SIZE}: if they are float32,'
        ' say what they range over by float_range'
      )
    values = np.frombuffer(values, '<f4')
  if len(values) != SIZE:
    what = 'bytes' if isinstance(values, bytes) else 'numbers'
    raise ValueError(f'{name} has {len(values)} {what} instead of {SIZE}')
  if isinstance(values, bytes):
    return values
  numbers = values.astype(np.float64)
  if values.dtype.kind == 'f' and float_range:
    return _quantised(numbers, name, *float_range)
  if not (
    (numbers == np.rint(numbers)) & (numbers >= 0) & (numbers < 256)
  ).all():
    say = values.dtype.kind == 'f'
    raise ValueError(
      f'{name} has numbers from {numbers.min():.3g} to {numbers.max():.3g};'
      " AudioSet's are whole, from 0 to 255"
      + (': say what they range over by float_range' if say else '')
    )
  return numbers.astype(np.uint8).tobytes()


def _quantised(numbers, name, low, high) -> bytes:
  """Floats as the release's uint8."""
  inside = (numbers >= low) & (numbers <= high)
  if inside.mean() < 1 - _CLIPPED or not np.isfinite(numbers).all():
    raise ValueError(
      f'{name} has numbers from {numbers.min():.3g} to {numbers.max():.3g},'
      f' many of them outside float_range, {low:g} to {high:g}'
    )
  scaled = np.rint((np.clip(numbers, low, high) - low) * (255 / (high - low)))
  return scaled.astype(np.uint8).tobytes()


def _map(message: bytes) -> dict[str, bytes]:
  """A message of one field 1, map<string, message>."""
  found = {}
  for _, entry in _messages(message):
    pair = dict(_messages(entry))
    found[pair.get(1, b'').decode('utf-8', 'replace')] = pair.get(2, b'')
  return found


def _values(feature: bytes) -> list[bytes] | np.ndarray:
  """The values of a tf.train.Feature: bytes, float32 or int64."""
  kind = 1
  found: list[Any] = []
  for kind, some in _messages(feature):
    for _, wire, value in _fields(some):
      if kind == 1:
        found += [value] if wire == 2 else []
      elif kind == 2:
        found += np.frombuffer(value, '<f4').tolist() if wire in (2, 5) else []
      elif wire == 2:  # packed
        position = 0
        while position < len(value):
          number, position = _varint(value, position)
          found.append(_signed(number))
      elif wire == 0:
        found.append(_signed(value))
  if kind == 1:
    return found
  return np.array(found, np.float32 if kind == 2 else np.int64)


def _signed(number: int) -> int:
  return number - (1 << 64) if number >> 63 else number


def _messages(message: bytes) -> Iterator[tuple[int, bytes]]:
  """The fields that are strings, bytes or messages, as (number, bytes)."""
  for number, wire, value in _fields(message):
    if wire == 2:
      yield number, value


def _fields(message: bytes) -> Iterator[tuple[int, int, Any]]:
  """All fields, as (number, wire type, value: an int of type 0, else bytes)."""
  position = 0
  while position < len(message):
    tag, position = _varint(message, position)
    wire = tag & 7
    size = {1: 8, 5: 4}.get(wire, 0)
    if wire in (0, 2):
      size, position = _varint(message, position)
    elif not size:
      raise ValueError(f'not a SequenceExample: wire type {wire} in it')
    if wire == 0:
      yield tag >> 3, wire, size
      continue
    if position + size > len(message):
      raise ValueError('not a SequenceExample: a field of it is cut off')
    yield tag >> 3, wire, message[position : position + size]
    position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
  """A number of 7 bits a byte, and the position after it."""
  value = 0
  for shift in range(0, 70, 7):
    if position >= len(message):
      break
    byte = message[position]
    value |= (byte & 127) << shift
    position += 1
    if byte < 128:
      return value & (1 << 64) - 1, position
  raise ValueError('not a SequenceExample: a number of it is cut off')
