"""What of JAX's primitives becomes which operators of ONNX.

Each function takes the graph, an equation and its inputs, and returns the
values of its output. Shapes are checked by JAX already.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax import lax

from aec_jax.errors import UserError
from aec_jax.exports.onnx_graph import Graph, Shape, Value, constant, onnx_type


class Complex(NamedTuple):
  """What a Fourier transform gives; ONNX's operators know no such numbers."""

  real: Value
  imag: Value


def untranslated(what: str) -> UserError:
  """The error where a network takes what is not in here."""
  return UserError(
    f'the network takes {what}, of which no ONNX is written: export with'
    ' --format=stablehlo'
  )


def _shape(eqn) -> Shape:
  return eqn.outvars[0].aval.shape


def _integers(*values) -> Value:
  return constant(np.array(values, np.int64))


def _elementwise(*kinds: str) -> Callable:
  """Operators one after the other, the first of all inputs."""

  def write(graph: Graph, eqn, *inputs: Value) -> Value:
    first, *others = kinds
    laid = _broadcast([x.laid for x in inputs])
    found = graph.op(first, inputs, _shape(eqn), laid)
    for kind in others:
      found = graph.op(kind, [found], found.shape, found.laid)
    return found

  return write


def _logical(kind: str) -> Callable:
  """An operator that ONNX has of truths, and not of the bits of numbers."""

  def write(graph: Graph, eqn, *inputs: Value) -> Value:
    if eqn.invars[0].aval.dtype != bool:
      raise untranslated(f"'{eqn.primitive.name}' of the bits of numbers")
    return _elementwise(kind)(graph, eqn, *inputs)

  return write


def _broadcast(shapes: list[Shape]) -> Shape:
  """The shape of an operator that repeats its inputs by itself."""
  rank = max(map(len, shapes))
  found = []
  for axis in range(-rank, 0):
    sizes = [s[axis] for s in shapes if len(s) >= -axis]
    found.append(next((n for n in sizes if not _is_one(n)), 1))
  return tuple(found)


def _is_one(size) -> bool:
  return isinstance(size, int | np.integer) and size == 1


def _integer_pow(graph, eqn, x):
  exponent = constant(np.float32(eqn.params['y']))
  return graph.op('Pow', [x, exponent], _shape(eqn), x.laid)


def _square(graph, eqn, x):
  return graph.op('Mul', [x, x], _shape(eqn), x.laid)


def _clamp(graph, eqn, low, x, high):
  laid = _broadcast([v.laid for v in (low, x, high)])
  found = graph.op('Max', [x, low], _shape(eqn), laid)
  return graph.op('Min', [found, high], _shape(eqn), laid)


def _select(graph, eqn, which, *cases):
  if which.array is not None and which.array.all() == which.array.any():
    return cases[int(which.array.any())]
  if len(cases) != 2:
    raise untranslated(f'select_n of {len(cases)} cases')
  zero, one = cases
  if eqn.invars[0].aval.dtype != bool:
    truth = onnx_type(bool)
    which = graph.op('Cast', [which], which.shape, which.laid, to=truth)
  laid = _broadcast([x.laid for x in (which, one, zero)])
  return graph.op('Where', [which, one, zero], _shape(eqn), laid)


def _convert(graph, eqn, x):
  dtype = eqn.params['new_dtype']
  if dtype == eqn.invars[0].aval.dtype:
    return x
  return graph.op('Cast', [x], x.shape, x.laid, to=onnx_type(dtype))


def _reshape(graph, eqn, x):
  return graph.reshape(graph.whole(x), _shape(eqn))


def _squeeze(graph, eqn, x):
  gone = eqn.params['dimensions']
  laid = tuple(n for i, n in enumerate(x.laid) if i not in gone)
  return graph.reshape(x, _shape(eqn), laid)


def _broadcast_in_dim(graph, eqn, x):
  laid: list[Any] = [1] * len(_shape(eqn))
  for axis, size in zip(
    eqn.params['broadcast_dimensions'], x.laid, strict=True
  ):
    laid[axis] = size
  return graph.reshape(x, _shape(eqn), tuple(laid))


def _transpose(graph, eqn, x):
  return graph.transpose(x, eqn.params['permutation'])


def _concatenate(graph, eqn, *parts):
  inputs = [graph.whole(x) for x in parts]
  return graph.op('Concat', inputs, _shape(eqn), axis=eqn.params['dimension'])


def _stack(graph, eqn, *rows):
  return graph.stack(rows, eqn.params['axis'])


def _tile(graph, eqn, x):
  inputs = [graph.whole(x), _integers(*eqn.params['reps'])]
  return graph.op('Tile', inputs, _shape(eqn))


def _split(graph, eqn, x):
  return graph.split(graph.whole(x), eqn.params['sizes'], eqn.params['axis'])


def _slice(graph, eqn, x):
  starts = eqn.params['start_indices']
  stops = eqn.params['limit_indices']
  steps = eqn.params['strides'] or (1,) * len(starts)
  axes = [
    i
    for i, size in enumerate(x.shape)
    if (starts[i], stops[i], steps[i]) != (0, size, 1)
  ]
  if not axes:
    return x
  where = [_integers(*(v[i] for i in axes)) for v in (starts, stops)]
  where += [_integers(*axes), _integers(*(steps[i] for i in axes))]
  return graph.op('Slice', [graph.whole(x), *where], _shape(eqn))


def _gather(graph, eqn, x, indices):
  """Of known indices along one axis."""
  numbers = eqn.params['dimension_numbers']
  axis, *others = numbers.start_index_map
  sizes = eqn.params['slice_sizes']
  if indices.array is None:
    raise untranslated('gather of indices that it makes itself')
  if (
    others
    or numbers.collapsed_slice_dims != (axis,)
    or any(n != sizes[i] for i, n in enumerate(x.shape) if i != axis)
  ):
    raise untranslated('gather along several axes, or of parts of one')
  chosen = np.broadcast_to(indices.array, indices.shape)[..., 0]
  if chosen.min(initial=0) < 0 or chosen.max(initial=0) >= x.shape[axis]:
    raise untranslated('gather beyond the ends of an axis')
  inputs = [graph.whole(x), constant(chosen.astype(np.int64))]
  rest = list(range(len(_shape(eqn))))
  # In ONNX's result the indices' axes stand where the axis stood.
  order = [i for i in rest if i not in numbers.offset_dims]
  offsets = list(numbers.offset_dims)
  order = [*offsets[:axis], *order, *offsets[axis:]]
  shape = tuple(_shape(eqn)[i] for i in order)
  found = graph.op('Gather', inputs, shape, axis=axis)
  return graph.transpose(found, np.argsort(order))


def _pad(graph, eqn, x, value):
  low, high, inner = zip(*eqn.params['padding_config'], strict=True)
  if any(inner):
    raise untranslated('pad between elements')
  inputs = [graph.whole(x), _integers(*low, *high), value]
  return graph.op('Pad', inputs, _shape(eqn))


def _reduce(kind):
  def write(graph, eqn, x):
    axes = [int(i) for i in eqn.params['axes']]
    if not axes:
      return x
    inputs, attributes = [graph.whole(x)], {'axes': axes}
    if kind == 'ReduceSum':  # the only one that has changed so far
      inputs, attributes = [*inputs, _integers(*axes)], {}
    return graph.op(kind, inputs, _shape(eqn), keepdims=0, **attributes)

  return write


def _dot(graph, eqn, x, w):
  (x_axes, w_axes), (x_batch, w_batch) = eqn.params['dimension_numbers']
  x, w = graph.whole(x), graph.whole(w)
  if len(w.shape) == 2 and len(x_axes) == 1 and not x_batch:
    rest = [i for i in range(len(x.shape)) if i != x_axes[0]]
    x = graph.transpose(x, [*rest, x_axes[0]])
    w = graph.transpose(w, [w_axes[0], 1 - w_axes[0]])
    return graph.op('MatMul', [x, w], _shape(eqn))
  letters = iter('abcdefghijklmnopqrstuvwxyz')
  x_names = [next(letters) for _ in x.shape]
  w_names = [next(letters) for _ in w.shape]
  for i, j in zip((*x_batch, *x_axes), (*w_batch, *w_axes), strict=True):
    w_names[j] = x_names[i]
  free = [n for i, n in enumerate(x_names) if i not in (*x_batch, *x_axes)]
  free += [n for i, n in enumerate(w_names) if i not in (*w_batch, *w_axes)]
  out = ''.join([*(x_names[i] for i in x_batch), *free])
  equation = f'{"".join(x_names)},{"".join(w_names)}->{out}'
  return graph.op('Einsum', [x, w], _shape(eqn), equation=equation)


def _convolution(graph, eqn, x, w):
  p = eqn.params
  numbers = p['dimension_numbers']
  if p['batch_group_count'] != 1 or any(n != 1 for n in p['lhs_dilation']):
    raise untranslated('a transposed or batch-grouped convolution')
  if np.min(p['padding'], initial=0) < 0:
    raise untranslated('a convolution of a part of its input')
  x = graph.transpose(graph.whole(x), numbers.lhs_spec)
  w = graph.transpose(graph.whole(w), numbers.rhs_spec)
  shape = tuple(_shape(eqn)[i] for i in numbers.out_spec)
  low, high = zip(*p['padding'], strict=True)
  found = graph.op(
    'Conv',
    [x, w],
    shape,
    kernel_shape=w.shape[2:],
    strides=p['window_strides'],
    pads=[*low, *high],
    dilations=p['rhs_dilation'],
    group=p['feature_group_count'],
  )
  return graph.transpose(found, np.argsort(numbers.out_spec))


def _max_pool(graph, eqn, x):
  """`reduce_window_max` over two axes, of images of one channel."""
  p = eqn.params
  pooled = [i for i, n in enumerate(p['window_dimensions']) if n > 1]
  dilations = (*p['base_dilation'], *p['window_dilation'])
  if len(pooled) != 2 or any(n != 1 for n in dilations):
    raise untranslated('max pooling that is dilated, or not of two axes')
  order = [i for i in range(len(x.shape)) if i not in pooled] + pooled
  x = graph.transpose(graph.whole(x), order)
  shape = tuple(_shape(eqn)[i] for i in order)
  images = math.prod(x.shape[:-2])
  low, high = zip(*(p['padding'][i] for i in pooled), strict=True)
  found = graph.op(
    'MaxPool',
    [graph.reshape(x, (images, 1, *x.shape[-2:]))],
    (images, 1, *shape[-2:]),
    kernel_shape=[p['window_dimensions'][i] for i in pooled],
    strides=[p['window_strides'][i] for i in pooled],
    pads=[*low, *high],
  )
  return graph.transpose(graph.reshape(found, shape), np.argsort(order))


def _fft(graph, eqn, x):
  """Of real numbers, as two matrix products, which every runtime has."""
  (length,) = eqn.params['fft_lengths']
  if eqn.params['fft_type'] != lax.FftType.RFFT:
    raise untranslated('a Fourier transform of other than real numbers')
  turns = np.outer(np.arange(length), np.arange(length // 2 + 1)) % length
  angles = 2 * np.pi / length * turns
  parts = [constant(f(angles).astype(np.float32)) for f in (np.cos, _minus_sin)]
  x = graph.whole(x)
  return Complex(*(graph.op('MatMul', [x, w], _shape(eqn)) for w in parts))


def _minus_sin(angles):
  return -np.sin(angles)


_ELEMENTWISE = {
  'abs': 'Abs', 'add': 'Add', 'add_any': 'Add', 'ceil': 'Ceil',
  'cos': 'Cos', 'div': 'Div', 'eq': 'Equal', 'erf': 'Erf', 'exp': 'Exp',
  'floor': 'Floor', 'ge': 'GreaterOrEqual', 'gt': 'Greater', 'log': 'Log',
  'le': 'LessOrEqual', 'logistic': 'Sigmoid', 'lt': 'Less', 'max': 'Max',
  'min': 'Min', 'mul': 'Mul', 'neg': 'Neg',
  'pow': 'Pow', 'sign': 'Sign', 'sin': 'Sin', 'sqrt': 'Sqrt', 'sub': 'Sub',
  'tanh': 'Tanh',
}  # fmt: skip

PRIMITIVES: dict[str, Callable] = {
  **{name: _elementwise(kind) for name, kind in _ELEMENTWISE.items()},
  'and': _logical('And'),
  'ne': _elementwise('Equal', 'Not'),
  'not': _logical('Not'),
  'or': _logical('Or'),
  'broadcast_in_dim': _broadcast_in_dim,
  'clamp': _clamp,
  'concatenate': _concatenate,
  'conv_general_dilated': _convolution,
  'convert_element_type': _convert,
  'copy': lambda graph, eqn, x: x,
  'dot_general': _dot,
  'fft': _fft,
  'gather': _gather,
  'imag': lambda graph, eqn, x: x.imag,
  'integer_pow': _integer_pow,
  'pad': _pad,
  'real': lambda graph, eqn, x: x.real,
  'reduce_max': _reduce('ReduceMax'),
  'reduce_min': _reduce('ReduceMin'),
  'reduce_sum': _reduce('ReduceSum'),
  'reduce_window_max': _max_pool,
  'reshape': _reshape,
  'rsqrt': _elementwise('Sqrt', 'Reciprocal'),
  'select_n': _select,
  'slice': _slice,
  'split': _split,
  'stack': _stack,
  'square': _square,
  'stop_gradient': lambda graph, eqn, x: x,
  'squeeze': _squeeze,
  'tile': _tile,
  'transpose': _transpose,
}
