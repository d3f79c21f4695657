"""A graph of ONNX operators, as it is put together."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from aec_jax.errors import UserError

# What onnxruntime and its build for browsers have run since 2022.
OPSET, IR_VERSION = 17, 8
# Bytes of weights that fit into a file: protobuf's limit, less what is around.
MOST_BYTES = (2 << 30) - (16 << 20)

# Sizes along axes; that of the batch is a symbol.
Shape = tuple[Any, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
  """A tensor of the graph, or a constant that is not in it yet.

  Attributes:
    shape: as JAX has it.
    laid: as it lies: 1 along the axes that it is the same along, where the
      operators that follow repeat it by themselves.
    name: in the graph; of a constant ''.
    array: of a constant, of shape `laid`.
  """

  shape: Shape
  laid: Shape
  name: str = ''
  array: np.ndarray | None = None


def constant(array: Any, shape: Shape | None = None) -> Value:
  """A constant, that perhaps stands for a larger shape."""
  array = np.asarray(array)
  return Value(array.shape if shape is None else shape, array.shape, '', array)


def is_symbol(size: Any) -> bool:
  """Whether a size is known only when the graph runs."""
  return not isinstance(size, int | np.integer)


class Graph:
  """Operators and weights; `model` makes a file's content of them.

  Args:
    batch: the symbol of the first axis of all inputs.
  """

  def __init__(self, batch: Any) -> None:
    self._batch = batch
    self._nodes: list[onnx.NodeProto] = []
    self._inputs: list[onnx.ValueInfoProto] = []
    self._weights: dict[tuple, onnx.TensorProto] = {}
    self._count = self._bytes = 0
    self._batch_size: Value | None = None

  def input(self, name: str, shape: Shape, dtype: Any) -> Value:
    """An input of the graph."""
    self._inputs.append(_info(name, shape, dtype))
    return Value(shape, shape, name)

  def op(
    self,
    kind: str,
    inputs: Sequence[Value],
    shape: Shape,
    laid: Shape | None = None,
    **attributes: Any,
  ) -> Value:
    """The first output of an operator."""
    name = self._add(kind, inputs, 1, attributes)[0]
    return Value(shape, shape if laid is None else laid, name)

  def split(self, x: Value, sizes: Sequence[int], axis: int) -> list[Value]:
    """The parts of a tensor along an axis."""
    inputs = [x, constant(np.array(sizes, np.int64))]
    names = self._add('Split', inputs, len(sizes), {'axis': axis})
    shapes = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes]
    return [Value(s, s, n) for n, s in zip(names, shapes, strict=True)]

  def reshape(self, x: Value, shape: Shape, laid: Shape | None = None) -> Value:
    """x's numbers in their order in another shape."""
    laid = shape if laid is None else laid
    if x.array is not None:
      return Value(shape, laid, '', x.array.reshape(laid))
    if x.laid == laid:
      return dataclasses.replace(x, shape=shape)
    sizes = np.array([-1 if is_symbol(n) else n for n in laid], np.int64)
    assert (sizes == -1).sum() <= 1, laid
    return self.op('Reshape', [x, constant(sizes)], shape, laid)

  def transpose(self, x: Value, order: Sequence[int]) -> Value:
    """x with its axes in another order."""
    order = list(order)
    if order == sorted(order):
      return x
    shape, laid = (tuple(s[i] for i in order) for s in (x.shape, x.laid))
    if x.array is not None:
      return Value(shape, laid, '', x.array.transpose(order))
    return self.op('Transpose', [x], shape, laid, perm=order)

  def stack(self, rows: Sequence[Value], axis: int = 0) -> Value:
    """Tensors of one shape along a new axis."""
    first = rows[0].shape
    one, many = ((*first[:axis], n, *first[axis:]) for n in (1, len(rows)))
    parts = [self.reshape(self.whole(x), one) for x in rows]
    return self.op('Concat', parts, many, axis=axis)

  def whole(self, x: Value) -> Value:
    """x repeated along the axes that it is the same along."""
    if x.laid == x.shape:
      return x
    if x.array is not None and not any(map(is_symbol, x.shape)):
      return constant(np.broadcast_to(x.array, x.shape))
    # Where it is as long already, 1 leaves it so.
    sizes = [1 if a == b else b for a, b in zip(x.laid, x.shape, strict=True)]
    return self.op('Expand', [x, self._vector(sizes)], x.shape)

  def model(
    self, outputs: dict[str, tuple[Value, Any]], about: dict[str, str]
  ) -> bytes:
    """The content of a file.

    Args:
      outputs: by name, with their types.
      about: metadata.

    Raises:
      UserError: the weights are more than a file can hold.
    """
    if self._bytes > MOST_BYTES:
      raise UserError(
        f'the weights take {self._bytes / 2**30:.1f} GB, and an ONNX file holds'
        ' 2: leave out extractors, or export with --format=stablehlo'
      )
    found = []
    for name, (value, dtype) in outputs.items():
      inputs = [self._name(self.whole(value))]
      self._append('Identity', inputs, [name])
      found.append(_info(name, value.shape, dtype))
    graph = helper.make_graph(
      self._nodes, 'aec_jax', self._inputs, found, [*self._weights.values()]
    )
    model = helper.make_model(
      graph,
      opset_imports=[helper.make_opsetid('', OPSET)],
      ir_version=IR_VERSION,
      producer_name='aec_jax',
    )
    helper.set_model_props(model, about)
    return model.SerializeToString()

  def _add(self, kind, inputs, count, attributes) -> list[str]:
    """Adds an operator: the names of its outputs."""
    names = [f'v{self._count + i}' for i in range(count)]
    self._count += count
    given = [self._name(x) for x in inputs]
    self._append(kind, given, names, **attributes)
    return names

  def _append(self, kind, inputs, outputs, **attributes) -> None:
    """Adds a node, of a name of its own.

    onnxruntime 1.20 names those that it makes after them, and refuses a
    network in which two are named alike.
    """
    name = f'{kind}_{len(self._nodes)}'
    node = helper.make_node(kind, inputs, outputs, name, **attributes)
    self._nodes.append(node)

  def _name(self, value) -> str:
    if value.array is None:
      return value.name
    # The steps of a loop have the same weights, which are kept once.
    array = np.ascontiguousarray(value.array).reshape(value.array.shape)
    digest = hashlib.sha256(array.tobytes()).digest()
    key = (array.dtype.str, array.shape, digest)
    if key not in self._weights:
      self._bytes += array.nbytes
      name = f'w{len(self._weights)}'
      self._weights[key] = numpy_helper.from_array(array, name)
    return self._weights[key].name

  def _vector(self, sizes) -> Value:
    """Sizes, of which some are known only when the graph runs."""
    if not any(map(is_symbol, sizes)):
      return constant(np.array(sizes, np.int64))
    if self._batch_size is None:
      first = Value((), (), self._inputs[0].name)
      shape = self.op('Shape', [first], (1,), start=0, end=1)
      self._batch_size = shape
    parts = []
    for size in sizes:
      times = size // self._batch if is_symbol(size) else size
      part = constant(np.array([times], np.int64))
      if is_symbol(size):
        assert times * self._batch == size, size
        part = self.op('Mul', [self._batch_size, part], (1,))
      parts.append(part)
    return self.op('Concat', parts, (len(parts),), axis=0)


def _info(name, shape, dtype) -> onnx.ValueInfoProto:
  """What a graph says of an input or output; the batch is its first axis."""
  sizes = ['batch' if is_symbol(n) else int(n) for n in shape]
  return helper.make_tensor_value_info(name, onnx_type(dtype), sizes)


def onnx_type(dtype: Any) -> int:
  """ONNX's number of a type."""
  return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
