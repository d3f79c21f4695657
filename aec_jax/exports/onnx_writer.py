"""Writes a function of arrays as ONNX, with nothing but the package `onnx`.

What is written is the program that JAX makes of the function, its jaxpr, one
primitive after the other: so a network is stated once, in its module, and one
that is added is exported by itself. jax2onnx, which does the same of any
program, has no version for this package's: 0.17 asks for an older
orbax-checkpoint, 0.13 fails on JAX 0.10. What is known beforehand is computed
here, loops are written out, and dead equations are left out.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import export as jax_export
from jax.extend import core

from aec_jax.exports.onnx_graph import Graph, Value, constant, is_symbol
from aec_jax.exports.onnx_primitives import PRIMITIVES, Complex, untranslated

# Where equations hold a program to be run in their place.
_CALLS = {
  'checkpoint': 'jaxpr', 'closed_call': 'call_jaxpr',
  'custom_jvp_call': 'call_jaxpr', 'custom_vjp_call': 'call_jaxpr',
  'jit': 'jaxpr', 'pjit': 'jaxpr', 'remat2': 'jaxpr',
}  # fmt: skip


def convert(
  function: Callable,
  inputs: Mapping[str, np.ndarray],
  output: str,
  about: Mapping[str, str],
) -> bytes:
  """The content of an ONNX file.

  Args:
    function: of arrays, each with a leading axis for a batch of any size, to
      such an array; none of a batch depends on the others.
    inputs: examples of its arguments, in their order, by name.
    output: name of what it returns, an array.
    about: metadata.

  Raises:
    UserError: the function takes something that has no translation, or the
      weights are too large for a file.
  """
  (batch,) = jax_export.symbolic_shape('batch')
  shapes = {
    name: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    for name, x in inputs.items()
  }

  def of_one(*rows):
    return function(*(x[None] for x in rows))[0]

  # Of a batch of one, whose sizes are known, then of many: with an unknown size
  # JAX makes gathers of slices.
  closed = jax.make_jaxpr(jax.vmap(of_one))(*shapes.values())
  graph = Graph(batch)
  given = [graph.input(n, s.shape, s.dtype) for n, s in shapes.items()]
  (found,) = _run(graph, closed.jaxpr, map(constant, closed.consts), given)
  out: Any = closed.jaxpr.outvars[0].aval
  return graph.model({output: (found, out.dtype)}, dict(about))


def _run(graph: Graph, jaxpr, consts, inputs) -> list:
  """Adds a program to the graph: its outputs."""
  values = dict(zip(jaxpr.constvars, consts, strict=True))
  values |= zip(jaxpr.invars, inputs, strict=True)

  def value_of(atom):
    if isinstance(atom, core.Literal):
      aval: Any = atom.aval
      return constant(np.asarray(atom.val, aval.dtype))
    return values[atom]

  for eqn in _needed(jaxpr):
    found = _equation(graph, eqn, [value_of(x) for x in eqn.invars])
    if isinstance(found, Value | Complex):
      found = [found]
    values |= zip(eqn.outvars, found, strict=True)
  return [value_of(x) for x in jaxpr.outvars]


def _needed(jaxpr) -> list:
  """The equations that the outputs depend on."""
  wanted = {x for x in jaxpr.outvars if not isinstance(x, core.Literal)}
  found = []
  for eqn in reversed(jaxpr.eqns):
    if wanted.isdisjoint(eqn.outvars):
      continue
    wanted |= {x for x in eqn.invars if not isinstance(x, core.Literal)}
    found.append(eqn)
  return found[::-1]


def _equation(graph, eqn, inputs):
  """Adds an equation to the graph: its outputs."""
  name, p = eqn.primitive.name, eqn.params
  if name == 'scan':
    return _scan(graph, eqn, inputs)
  if name == 'platform_index':
    # The last is that of any other platform: no kernel made for one.
    return constant(np.int32(len(p['platforms']) - 1))
  if name == 'cond' and inputs[0].array is not None:
    branch = p['branches'][int(inputs[0].array)]
    return _run_closed(graph, branch, inputs[1:])
  if name in _CALLS:
    return _run_closed(graph, p[_CALLS[name]], inputs)
  if name != 'broadcast_in_dim' and _is_known(eqn, inputs):
    return _computed(eqn, inputs)
  if name not in PRIMITIVES:
    raise untranslated(name)
  if name not in ('real', 'imag') and any(
    isinstance(x, Complex) for x in inputs
  ):
    raise untranslated(f'{name} of complex numbers')
  return PRIMITIVES[name](graph, eqn, *inputs)


def _is_known(eqn, inputs) -> bool:
  """Whether an equation's outputs can be computed here."""
  shapes = [x.aval.shape for x in (*eqn.invars, *eqn.outvars)]
  return not any(is_symbol(n) for s in shapes for n in s) and all(
    isinstance(x, Value) and x.array is not None for x in inputs
  )


def _computed(eqn, inputs) -> list[Value]:
  arrays = [np.broadcast_to(x.array, x.shape) for x in inputs]
  found = eqn.primitive.bind(*arrays, **eqn.params)
  several = eqn.primitive.multiple_results
  return [constant(x) for x in (found if several else [found])]


def _run_closed(graph, program, inputs) -> list:
  """As `_run`, of a program that may hold its constants itself."""
  consts = map(constant, getattr(program, 'consts', ()))
  return _run(graph, getattr(program, 'jaxpr', program), consts, inputs)


def _scan(graph, eqn, inputs) -> list:
  """A loop of known length, written out."""
  p = eqn.params
  if 'num_consts' in p:  # up to JAX 0.10
    consts, carry = p['num_consts'], p['num_carry']
  else:
    consts, carry, _ = map(len, p['ft_in'].unpack())
  fixed, state = inputs[:consts], inputs[consts : consts + carry]
  steps = range(p['length'])
  rows: list[Any] = [None] * len(steps)
  for i in reversed(steps) if p['reverse'] else steps:
    own = [_row(graph, x, i) for x in inputs[consts + carry :]]
    found = _run_closed(graph, p['jaxpr'], [*fixed, *state, *own])
    state, rows[i] = found[:carry], found[carry:]
  return [*state, *map(graph.stack, zip(*rows, strict=True))]


def _row(graph, x, i) -> Value:
  """x[i]."""
  if x.array is not None:
    shape = x.shape[1:]
    return constant(x.array[i if len(x.array) > 1 else 0], shape)
  index = constant(np.int64(i))
  return graph.op('Gather', [graph.whole(x), index], x.shape[1:], axis=0)
