"""Augmentation of log-mel examples, as part of the plan.

What is to be done to each example is drawn on the host, as a function of
(seed, step): a few numbers an example. The device does it.

  Time shift: an example starts some frames later and goes on in the clip's next
  example, the last one in the first.
  Mixup (Zhang et al. 2018, arXiv:1710.09412) of examples of one batch; or
  between-class learning (Tokozume et al. 2018, arXiv:1711.10282): examples of
  different labels are mixed as sounds are, by their loudness, and the targets
  by how much of each is heard. Of log-mels that is an approximation: energies
  are added, as those of unrelated sounds do in the mean, and not waveforms.
  Then each of `AUGMENTATIONS`, in their order. A new one is a row of it. Each
  draws from a stream of its own, so that no other's draws depend on it.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.audio import FrontEnd
from aec_jax.run import fields
from aec_jax.run.fields import Field

# What of a plan are rows of the table of examples.
ROWS = ('first', 'following', 'second', 'second_following')

# Masks along each axis.
_MASKS = 2


class Augmentation(NamedTuple):
  """Something that is done to single examples.

  Attributes:
    field: of the section `augment`; its default does nothing.
    draw: of the field's value, the number of examples, the shape of one (frame,
      band) and a numpy generator, to an array (example, …).
    apply: of examples (example, frame, band), what was drawn and the front end
      that they are of, to examples.
  """

  field: Field
  draw: Callable[[float, int, tuple[int, int], np.random.Generator], np.ndarray]
  apply: Callable[[jax.Array, jax.Array, FrontEnd], jax.Array]


def _draw_masks(axis: int):
  """Starts and ends (example, mask, 2) of masks of 0 to `largest`."""

  def draw(largest, n, shape, rng):
    widths = rng.integers(0, largest + 1, (n, _MASKS))
    masks = np.empty((n, _MASKS, 2), np.int32)
    masks[..., 0] = rng.integers(0, shape[axis] - widths + 1)
    masks[..., 1] = masks[..., 0] + widths
    return masks

  return draw


def _apply_masks(axis: int):
  """Fills what is masked with the example's mean."""

  def apply(x, masks, spec):
    del spec
    at = jnp.arange(x.shape[1 + axis])
    inside = (masks[..., :1] <= at) & (at < masks[..., 1:])
    hidden = jnp.expand_dims(jnp.any(inside, 1), 2 - axis)
    return jnp.where(hidden, jnp.mean(x, (1, 2), keepdims=True), x)

  return apply


def _draw_speed(most, n, shape, rng):
  """Factors (example,) of 1 / `most` to `most`, even in their logarithm."""
  del shape
  return (most ** rng.uniform(-1, 1, n)).astype(np.float32)


def _apply_speed(x, speed, spec):
  """As if played faster: shorter, and higher on the mel scale.

  What is missing at the end is taken from the beginning, and above the last
  band from the last band.
  """
  _, frames, bands = x.shape
  low, high = (_mel(f) for f in (spec.low, spec.high))
  centre = low + (high - low) * jnp.arange(1, bands + 1) / (bands + 1)
  source = _mel(_hertz(centre) / speed[:, None])
  band = (source - low) / (high - low) * (bands + 1) - 1
  frame = jnp.arange(frames) * speed[:, None] % frames
  x = _between(x, frame, 1)
  return _between(x, jnp.clip(band, 0, bands - 1), 2)


def _between(x, place, axis):
  """x (example, frame, band) at fractional places (example, place) of an axis,
  the last of which is followed by the first.
  """
  size, other = x.shape[axis], 3 - axis
  first = jnp.floor(place).astype(jnp.int32)
  share = jnp.expand_dims(place - first, other)
  one, two = (
    jnp.take_along_axis(x, jnp.expand_dims(i % size, other), axis)
    for i in (first, first + 1)
  )
  return (1 - share) * one + share * two


def _draw_gain(most, n, shape, rng):
  """Decibels (example,), -`most` to `most`."""
  del shape
  return rng.uniform(-most, most, n).astype(np.float32)


def _apply_gain(x, db, spec):
  """As if recorded louder: the front end's offset stays as it is."""
  mel = jnp.maximum(jnp.exp(x) - spec.offset, 0)
  return jnp.log(10 ** (db[:, None, None] / 20) * mel + spec.offset)


def _mel(hertz):
  return 1127 * jnp.log1p(jnp.asarray(hertz) / 700)


def _hertz(mel):
  return 700 * jnp.expm1(mel / 1127)


# The masks are SpecAugment's (Park et al. 2019, arXiv:1904.08779); their fields
# are the widest one along frames and along bands.
AUGMENTATIONS = {
  'speed': Augmentation(Field(1.0, 1, 2), _draw_speed, _apply_speed),
  'gain': Augmentation(Field(0.0, 0, 40), _draw_gain, _apply_gain),
  'mask_frames': Augmentation(
    Field(0, 0, 10_000), _draw_masks(0), _apply_masks(0)
  ),
  'mask_bands': Augmentation(
    Field(0, 0, 10_000), _draw_masks(1), _apply_masks(1)
  ),
}
FIELDS = {
  'time_shift': Field(False),
  'mixup_alpha': Field(0.0, 0, 1e3),
  'between_classes': Field(False),
  **{name: a.field for name, a in AUGMENTATIONS.items()},
}
fields.add('extractor.augment', FIELDS)


def is_on(config) -> bool:
  """Whether a config's `augment` section asks for anything."""
  return any(config[k] != x.default for k, x in FIELDS.items())


def followers(clip_offsets: np.ndarray) -> np.ndarray:
  """(example,) int32, the one after each in its clip; of the last, the first.

  Args:
    clip_offsets: (clip + 1,) of all examples; no clip is without any.
  """
  out = np.arange(1, clip_offsets[-1] + 1, dtype=np.int32)
  out[clip_offsets[1:] - 1] = clip_offsets[:-1]
  return out


def draw(
  config,
  follows: np.ndarray,
  kinds: np.ndarray,
  rows: np.ndarray,
  shape,
  seed: int,
  step: int,
) -> dict[str, np.ndarray]:
  """What becomes of the examples of one batch.

  Args:
    config: the section `augment`; of a dict it is read faster.
    follows: of all examples, as `followers` has it.
    kinds: (example,) of all examples, an int for each set of labels.
    rows: (example,) which examples the batch holds.
    shape: (frame, band) of an example.
    seed, step: what the draws are a function of.

  Returns:
    'following', 'second', 'second_following' (example,) int32 rows, 'weight'
    (example,) float32, 'shift' (example,) int32 frames, and what
    `AUGMENTATIONS` draw.
  """
  n, following = len(rows), follows[rows]
  shift = np.zeros(n, np.int32)
  if config['time_shift']:
    rng = _stream('time_shift', seed, step)
    shift = rng.integers(0, shape[0], n, dtype=np.int32)
  weight, partner = np.ones(n, np.float32), np.arange(n)
  if alpha := config['mixup_alpha']:
    rng = _stream('mixup_alpha', seed, step)
    weight = rng.beta(alpha, alpha, n).astype(np.float32)
    partner = rng.permutation(n)
  if config['between_classes']:
    rng = _stream('between_classes', seed, step)
    weight = rng.uniform(0, 1, n).astype(np.float32)
    partner = _of_other_kinds(kinds[rows], rng)
  out = {
    'following': following,
    'second': rows[partner],
    'second_following': following[partner],
    'weight': weight,
    'shift': shift,
  }
  for name, augmentation in AUGMENTATIONS.items():
    if config[name] != augmentation.field.default:
      rng = _stream(name, seed, step)
      out[name] = augmentation.draw(config[name], n, shape, rng)
  return out


def _of_other_kinds(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """(example,) partners: a permutation, to other kinds wherever that can be.

  That is for all, where no kind has more than half of the examples. Partners
  are drawn as if kinds did not matter. Those who got their own kind then stand
  in a circle, kind by kind, and hand their partners on by at least as many
  places as the largest kind has: the rest stays random.

  Args:
    kinds: (example,) ints.
    rng: what is drawn from.
  """
  partner = rng.permutation(len(kinds))
  own = kinds[partner] == kinds
  circle = rng.permutation(np.flatnonzero(own))
  if not len(circle):
    return partner
  names, kind, counts = np.unique(
    kinds[circle], return_inverse=True, return_counts=True
  )
  order = np.argsort(rng.permutation(len(names))[kind], kind='stable')
  circle, most = circle[order], counts.max()
  if (lacking := 2 * most - len(circle)) > 0:
    # One kind has more than half: others join that can take from it and give.
    major = names[counts.argmax()]
    can = ~own & (kinds != major) & (kinds[partner] != major)
    joining = rng.permutation(np.flatnonzero(can))[:lacking]
    circle = np.append(circle, joining)
  places = rng.integers(most, max(len(circle) - most, most) + 1)
  partner[circle] = partner[np.roll(circle, places)]
  return partner


def _stream(name: str, seed: int, step: int) -> np.random.Generator:
  # As of a list of the three, which numpy takes twice as long to look at.
  words = np.array([seed, step, zlib.crc32(name.encode())], np.uint32)
  return np.random.default_rng(words)


def apply(
  config,
  now: dict[str, jax.Array],
  examples: dict[str, jax.Array],
  spec: FrontEnd,
) -> jax.Array:
  """Does what `draw` says.

  Args:
    config: the section `augment`.
    now: what it returns, as far as it is not rows.
    examples: `ROWS`, each (example, frame, band).
    spec: the front end that they are of.

  Returns:
    (example, frame, band) float32.
  """
  examples = {k: v.astype(jnp.float32) for k, v in examples.items()}
  mix = _as_sounds if config.between_classes else _linearly
  weight = now['weight'][:, None, None]
  x = mix(weight, examples['first'], examples['second'])
  then = mix(weight, examples['following'], examples['second_following'])
  both = jnp.concatenate([x, then], 1)
  at = now['shift'][:, None] + jnp.arange(x.shape[1])
  x = jnp.take_along_axis(both, at[..., None], 1)
  for name, augmentation in AUGMENTATIONS.items():
    if name in now:
      x = augmentation.apply(x, now[name], spec)
  return x


def _linearly(weight, first, second):
  return weight * first + (1 - weight) * second


def _as_sounds(weight, first, second):
  """Log-mels of two sounds of which the first is heard by a share `weight`.

  Tokozume et al. 2018, equation 2: p makes up for their loudness, and the
  energies of what is unrelated add.
  """
  one, two = jnp.exp(first), jnp.exp(second)
  louder = jnp.sqrt(_power(one) / _power(two))
  p = weight / (weight + louder * (1 - weight))
  energy = (p * one) ** 2 + ((1 - p) * two) ** 2
  return 0.5 * jnp.log(energy / (p**2 + (1 - p) ** 2))


def _power(x):
  return jnp.mean(x**2, (1, 2), keepdims=True)
