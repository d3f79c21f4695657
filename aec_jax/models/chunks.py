"""Functions of many rows, some at a time: a cache holds what they make."""

import jax
import jax.numpy as jnp
from jax import lax


def _split(x, size):
  """x as (chunk, size, …) and what is left over."""
  whole = len(x) - len(x) % size
  return x[:whole].reshape(-1, size, *x.shape[1:]), x[whole:]


def map_chunks(f, x, size):
  """f(x) by chunks of `size` along the first axis."""
  if len(x) <= size:
    return f(x)
  chunks, rest = _split(x, size)
  y = lax.map(f, chunks)
  y = y.reshape(-1, *y.shape[2:])
  return jnp.concatenate([y, f(rest)]) if len(rest) else y


def sum_chunks(f, args, size):
  """The sum of f(*args) over chunks of `size` along the first axis."""
  if len(args[0]) <= size:
    return f(*args)
  chunks, rest = zip(*(_split(a, size) for a in args), strict=True)

  def step(total, args):
    return jax.tree.map(jnp.add, total, f(*args)), None

  shapes = jax.eval_shape(f, *(c[0] for c in chunks))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  total, _ = lax.scan(step, zeros, chunks)
  return step(total, rest)[0] if len(rest[0]) else total
