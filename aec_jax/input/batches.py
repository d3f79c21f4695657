"""From planned indices to the arrays of a training step, on the device.

Examples travel and rest as they are stored: embeddings as uint8, labels as
packed bits. Everything after the gather happens inside the jitted step.
"""

import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.datasets.examples import Examples


def rows(examples: Examples) -> dict[str, np.ndarray]:
  """The arrays a step gathers from, all with the example axis first."""
  return {
    'embeddings': examples.embeddings,  # (example, segment, feature)
    'n_segments': examples.n_segments,  # (example,)
    'labels': examples.packed_labels(),  # (example, ceil(class / 8))
  }


def take(table: dict, indices):
  """Some rows of a table, of numpy or JAX arrays."""
  return {name: array[indices] for name, array in table.items()}


def dequantise(embeddings: jax.Array) -> jax.Array:
  """AudioSet's uint8 0 … 255 to the float32 -2 … 2 that was quantised."""
  return embeddings.astype(jnp.float32) * (4 / 255) - 2


def decode(row: dict, classes: int) -> dict:
  """Gathered rows to floats.

  Returns:
    'embeddings' (example, segment, feature) float32, zero where not valid;
    'mask' (example, segment) bool; 'targets' (example, class) float32.
  """
  embeddings = row['embeddings']
  segments = jnp.arange(embeddings.shape[1], dtype=jnp.int32)
  mask = segments < row['n_segments'].astype(jnp.int32)[:, None]
  if embeddings.dtype == jnp.uint8:
    embeddings = dequantise(embeddings)
  bits = jnp.unpackbits(row['labels'], axis=-1, count=classes)
  return {
    'embeddings': jnp.where(mask[..., None], embeddings, 0.0),
    'mask': mask,
    'targets': bits.astype(jnp.float32),
  }


def mix(first: dict, second: dict, weight: jax.Array) -> dict:
  """Mixup (thesis eq. 27) of decoded batches.

  Args:
    first, second: what `decode` returns.
    weight: (example,) λ; where it is 1 the first example passes unchanged.

  Returns:
    A decoded batch. A segment is valid where it is in either example, the
    shorter one being silent there.
  """

  def blend(a, b):
    scale = weight.reshape(-1, *[1] * (a.ndim - 1))
    return scale * a + (1 - scale) * b

  mixed = (weight < 1)[:, None]
  return {
    'embeddings': blend(first['embeddings'], second['embeddings']),
    'mask': first['mask'] | (mixed & second['mask']),
    'targets': blend(first['targets'], second['targets']),
  }


def gather(table: dict, step: dict) -> dict:
  """Replaces a plan's indices by the rows they name.

  Args:
    table: what `rows` returns, on the host or on the device.
    step: {'first'} or {'first', 'second', 'weight'}, indices of any shape.
  """
  return {
    name: value if name == 'weight' else take(table, value)
    for name, value in step.items()
  }


def assemble(gathered: dict, classes: int) -> dict:
  """A step's gathered rows to its decoded, mixed batch."""
  batch = decode(gathered['first'], classes)
  if 'second' in gathered:
    batch = mix(batch, decode(gathered['second'], classes), gathered['weight'])
  return batch
