"""Augmentation of log-mel examples, as part of the plan.

What is to be done to each example is drawn on the host, as a function of
(seed, step): a few numbers an example. The device does it.

  Time shift: an example starts some frames later and goes on in the clip's next
  example, the last one in the first.
  Mixup (Zhang et al. 2018, arXiv:1710.09412) of examples of one batch.
  Masks over frames and over bands (SpecAugment, Park et al. 2019,
  arXiv:1904.08779), filled with the example's mean.
"""

import jax
import jax.numpy as jnp
import numpy as np

# What of a plan are rows of the table of examples.
ROWS = ('first', 'following', 'second', 'second_following')

# Masks along each axis.
_MASKS = 2


def is_on(config) -> bool:
  """Whether a config's `augment` section asks for anything."""
  return any(config.values())


def draw(config, clip_offsets, rows, shape, rng) -> dict[str, np.ndarray]:
  """What becomes of the examples of one batch.

  Args:
    config: `mixup_alpha`; `time_shift`, whether; `mask_frames` and
      `mask_bands`, the largest mask.
    clip_offsets: (clip + 1,) of all examples.
    rows: (example,) which examples the batch holds.
    shape: (frame, band) of an example.
    rng: a numpy generator.

  Returns:
    'following', 'second', 'second_following' (example,) int32 rows, 'weight'
    (example,) float32, 'shift' (example,) int32 frames, 'frames' and 'bands'
    (example, 2, 2) int32, the start and the end of each mask.
  """
  n = len(rows)
  following = rows + 1
  clip = np.searchsorted(clip_offsets, rows, side='right') - 1
  at_end = following == clip_offsets[clip + 1]
  following = np.where(at_end, clip_offsets[clip], following).astype(np.int32)
  shift = np.zeros(n, np.int32)
  if config.time_shift:
    shift = rng.integers(0, shape[0], n, dtype=np.int32)
  weight, partner = np.ones(n, np.float32), np.arange(n)
  if config.mixup_alpha:
    alpha = config.mixup_alpha
    weight = rng.beta(alpha, alpha, n).astype(np.float32)
    partner = rng.permutation(n)
  return {
    'following': following,
    'second': rows[partner],
    'second_following': following[partner],
    'weight': weight,
    'shift': shift,
    'frames': _masks(config.mask_frames, n, shape[0], rng),
    'bands': _masks(config.mask_bands, n, shape[1], rng),
  }


def _masks(largest: int, n: int, size: int, rng) -> np.ndarray:
  """(n, mask, 2) starts and ends of masks of 0 to `largest` of `size`."""
  widths = rng.integers(0, largest + 1, (n, _MASKS))
  starts = rng.integers(0, size - widths + 1)
  return np.stack([starts, starts + widths], -1).astype(np.int32)


def apply(
  now: dict[str, jax.Array], examples: dict[str, jax.Array]
) -> jax.Array:
  """Does what `draw` says.

  Args:
    now: what it returns, as far as it is not rows.
    examples: `ROWS`, each (example, frame, band).

  Returns:
    (example, frame, band) float32.
  """
  examples = {k: v.astype(jnp.float32) for k, v in examples.items()}
  weight = now['weight'][:, None, None]
  x = weight * examples['first'] + (1 - weight) * examples['second']
  then = (
    weight * examples['following'] + (1 - weight) * examples['second_following']
  )
  frames, bands = x.shape[1:]
  both = jnp.concatenate([x, then], 1)
  at = now['shift'][:, None] + jnp.arange(frames)
  x = jnp.take_along_axis(both, at[..., None], 1)
  hidden = _covered(now['frames'], frames)[:, :, None]
  hidden |= _covered(now['bands'], bands)[:, None, :]
  return jnp.where(hidden, jnp.mean(x, (1, 2), keepdims=True), x)


def _covered(masks, size: int):
  """(example, mask, 2) -> (example, size), True inside any of the masks."""
  at = jnp.arange(size)
  inside = (masks[..., :1] <= at) & (at < masks[..., 1:])
  return jnp.any(inside, 1)
