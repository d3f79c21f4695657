"""From planned indices to the arrays of a training step, on the device.

Examples travel and rest as they are stored: AudioSet's embeddings as uint8,
labels as packed bits. Everything after the gather happens inside the jitted
step.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.datasets.labels import Labels
from aec_jax.input.pieces import Pieces
from aec_jax.input.plan import Groups


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
  """What classifiers train on and are scored on.

  Attributes:
    embeddings: (extractor, segment, feature), float32, or uint8 as AudioSet's.
    pieces: how the segments make up what a classifier takes.
    ids: (clip,) names.
    labels: of the clips.
    targets: (clip, class) float16, or bits as of `Labels.packed`: what is
      learned in the labels' place; None: the labels.
    loss_weights: (clip,) float32, what each clip's loss counts; None: 1.
  """

  embeddings: np.ndarray
  pieces: Pieces
  ids: np.ndarray
  labels: Labels
  targets: np.ndarray | None = None
  loss_weights: np.ndarray | None = None

  @property
  def example_shape(self) -> tuple[int, int]:
    """(segment, feature) of a piece."""
    return self.pieces.segments.shape[1], self.embeddings.shape[-1]

  def table(self) -> dict[str, np.ndarray]:
    """The arrays that `gather` takes rows of."""
    pieces = self.pieces
    labels = self.labels.packed() if self.targets is None else self.targets
    table = {
      # (extractor · segment, feature)
      'embeddings': self.embeddings.reshape(-1, self.embeddings.shape[-1]),
      'segments': pieces.segments,
      'n_segments': pieces.n_segments,
      'labels': labels[pieces.clips],
    }
    if self.loss_weights is not None:
      table['loss_weight'] = self.loss_weights[pieces.clips]
    return table


def loss_weights(verified: np.ndarray, unverified: float) -> np.ndarray | None:
  """What the losses of clips count; None where all count the same.

  Args:
    verified: (clip,) bool, whether a person has checked the label.
    unverified: of those that nobody has.
  """
  if unverified == 1 or verified.all():
    return None
  return np.where(verified, 1, unverified).astype(np.float32)


def groups_of(labels: Labels, rows: np.ndarray, sampling: str) -> Groups:
  """What a plan draws from: some rows, all together or class by class.

  Args:
    labels: of the rows.
    rows: (row,) what may be drawn.
    sampling: 'balanced' or anything else.
  """
  if sampling != 'balanced':
    return Groups(rows.astype(np.int32), np.array([0, len(rows)], np.int64))
  members, offsets = labels.clips_of_classes()
  return Groups.of_classes(rows[members], offsets)


def gather(table: dict, start, indices) -> dict:
  """Some pieces' rows, of numpy or JAX arrays.

  Args:
    table: of `Features`.
    start: where the extractor's embeddings begin.
    indices: of pieces, of any shape.
  """
  rows = {
    name: array[indices]
    for name, array in table.items()
    if name not in ('embeddings', 'segments')
  }
  segments = start + table['segments'][indices]
  return {'embeddings': table['embeddings'][segments], **rows}


def gather_step(table: dict, start, step: dict) -> dict:
  """Replaces a plan's indices, 'first' and perhaps 'second', by their rows."""
  return {
    name: gather(table, start, value) if name in ('first', 'second') else value
    for name, value in step.items()
  }


def dequantise(embeddings: jax.Array) -> jax.Array:
  """AudioSet's uint8 0 … 255 to the float32 -2 … 2 that was quantised."""
  return embeddings.astype(jnp.float32) * (4 / 255) - 2


def decode(row: dict, classes: int) -> dict:
  """Gathered rows to floats.

  Returns:
    'embeddings' (example, segment, feature) float32, zero where not valid;
    'mask' (example, segment) bool; 'targets' (example, class) float32; and
    where losses count differently 'loss_weight' (example,) float32.
  """
  embeddings = row['embeddings']
  segments = jnp.arange(embeddings.shape[1], dtype=jnp.int32)
  mask = segments < row['n_segments'].astype(jnp.int32)[:, None]
  if embeddings.dtype == jnp.uint8:
    embeddings = dequantise(embeddings)
  out = {
    'embeddings': jnp.where(mask[..., None], embeddings, 0.0),
    'mask': mask,
    'targets': targets(row['labels'], classes),
  }
  if 'loss_weight' in row:
    out['loss_weight'] = row['loss_weight']
  return out


def targets(labels: jax.Array, classes: int) -> jax.Array:
  """Packed labels (example, byte) -> (example, class) float32.

  What is a float already is taken as it is.
  """
  if labels.dtype != jnp.uint8:
    return labels.astype(jnp.float32)
  bits = jnp.unpackbits(labels, axis=-1, count=classes)
  return bits.astype(jnp.float32)


def blend(first: jax.Array, second: jax.Array, weight: jax.Array) -> jax.Array:
  """Mixup (thesis eq. 27): weight (example,) λ of the first."""
  scale = weight.reshape(-1, *[1] * (first.ndim - 1))
  return scale * first + (1 - scale) * second


def mix(first: dict, second: dict, weight: jax.Array) -> dict:
  """Mixup of decoded batches.

  Args:
    first, second: what `decode` returns.
    weight: (example,) λ; where it is 1 the first example passes unchanged.

  Returns:
    A decoded batch. A segment is valid where it is in either example, the
    shorter one being silent there.
  """
  mixed = (weight < 1)[:, None]
  blended = {
    name: blend(first[name], second[name], weight)
    for name in first
    if name != 'mask'
  }
  return {**blended, 'mask': first['mask'] | (mixed & second['mask'])}


def assemble(gathered: dict, classes: int) -> dict:
  """A step's gathered rows to its decoded, mixed batch.

  Returns:
    As `decode`; and 'valid' (example,) bool, False where an example only fills
    up what the devices share. Such an example has no valid segment.
  """
  batch = decode(gathered['first'], classes)
  if 'second' in gathered:
    batch = mix(batch, decode(gathered['second'], classes), gathered['weight'])
  if 'valid' in gathered:
    valid = gathered['valid']
    batch |= {'valid': valid, 'mask': batch['mask'] & valid[:, None]}
  return batch


def padded_blocks(count: int, size: int):
  """Indices below `count` in blocks of one size, for what is compiled once.

  Yields:
    (size,) int32, in the last block filled up with 0, and how many are real.
  """
  for start in range(0, count, size):
    block = np.arange(start, start + size, dtype=np.int32)
    block[block >= count] = 0
    yield block, min(size, count - start)
