"""Augmentation of log-mel examples.

What is to be done to each example is a function of (seed, step): a few numbers
an example, drawn where the examples lie, for all steps of a dispatch at once.

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
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from aec_jax.audio import FrontEnd
from aec_jax.run import fields
from aec_jax.run.fields import Field

# What of a plan are rows of the table of examples.
ROWS = ('first', 'following', 'second', 'second_following')

# Masks along each axis, and what is drawn for an example from one stream.
_MASKS = 2
_NUMBERS = 2 * _MASKS


class Augmentation(NamedTuple):
  """Something that is done to single examples.

  Attributes:
    field: of the section `augment`; its default does nothing.
    draw: of the field's value, the shape (frame, band) of an example and
      `_NUMBERS` of the interval [0, 1), to what is done to one example.
    apply: of examples (example, frame, band), what was drawn and the front end
      that they are of, to examples.
  """

  field: Field
  draw: Callable[[float, tuple[int, int], jax.Array], jax.Array]
  apply: Callable[[jax.Array, jax.Array, FrontEnd], jax.Array]


def _draw_masks(axis: int):
  """Starts and ends (mask, 2) of masks of 0 to `largest`."""

  def draw(largest, shape, numbers):
    width, start = numbers[:_MASKS], numbers[_MASKS:]
    widths = _integers(width, 0, largest + 1)
    starts = _integers(start, 0, shape[axis] - widths + 1)
    return jnp.stack([starts, starts + widths], -1)

  return draw


def _integers(numbers, low, high):
  """From `low` on, below `high`, of numbers in [0, 1)."""
  found = low + (numbers * (high - low)).astype(jnp.int32)
  return jnp.minimum(found, high - 1)  # where the product is rounded up


def _apply_masks(axis: int):
  """Fills what is masked with the example's mean."""

  def apply(x, masks, spec):
    del spec
    at = jnp.arange(x.shape[1 + axis])
    inside = (masks[..., :1] <= at) & (at < masks[..., 1:])
    hidden = jnp.expand_dims(jnp.any(inside, 1), 2 - axis)
    return jnp.where(hidden, jnp.mean(x, (1, 2), keepdims=True), x)

  return apply


def _draw_speed(most, shape, numbers):
  """A factor, 1 / `most` to `most`, even in its logarithm."""
  del shape
  return most ** (2 * numbers[0] - 1)


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


def _draw_gain(most, shape, numbers):
  """Decibels, -`most` to `most`."""
  del shape
  return most * (2 * numbers[0] - 1)


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
  config: Mapping[str, Any],
  known: dict[str, jax.Array],
  rows: jax.Array,
  mask: jax.Array,
  step: jax.Array,
  *,
  shape: tuple[int, int],
  seed: int,
) -> dict[str, jax.Array]:
  """What becomes of the examples of one batch; to be traced.

  Wherever the padding stands, and however much there is of it, the examples
  have the same draws.

  Args:
    config: the section `augment`.
    known: of all examples, (example,): 'follows' as `followers` has it, and
      'kinds', an int for each set of labels.
    rows: (example,) int32, which examples the batch holds.
    mask: (example,) bool, which of them are no padding.
    step: what the draws are a function of, with the seed.
    shape: (frame, band) of an example.
    seed: of the experiment.

  Returns:
    'following', 'second', 'second_following' (example,) int32 rows, 'weight'
    (example,) float32, 'shift' (example,) int32 frames, and what
    `AUGMENTATIONS` draw.
  """
  number = jnp.cumsum(mask) - 1  # without the padding
  key = random.fold_in(random.key(seed), step)
  drawn = _numbers(key, number)
  shift = jnp.zeros(len(rows), jnp.int32)
  if config['time_shift']:
    shift = _integers(drawn['time_shift'][:, 0], 0, shape[0])
  weight, partner = jnp.ones(len(rows)), jnp.arange(len(rows))
  if alpha := config['mixup_alpha']:
    own = random.fold_in(key, _stream('mixup_alpha'))
    weight = _beta(own, number, alpha)
    partner = _permutation(drawn, mask, number)
  if config['between_classes']:
    weight = drawn['between_classes'][:, 0]
    partner = _permutation(drawn, mask, number)
    partner = _to_other_kinds(partner, known['kinds'][rows], mask, drawn)
  following = known['follows'][rows]
  out = {
    'following': following,
    'second': rows[partner],
    'second_following': following[partner],
    'weight': weight,
    'shift': shift,
  }
  for name, augmentation in AUGMENTATIONS.items():
    if (value := config[name]) != augmentation.field.default:
      of_one = partial(augmentation.draw, value, shape)
      out[name] = jax.vmap(of_one)(drawn[name])
  return out


def _numbers(key, number) -> dict[str, jax.Array]:
  """(example, `_NUMBERS`) in [0, 1) from each stream, all in one go: each call
  of a generator takes XLA:CPU long to compile.
  """
  names = ['time_shift', 'between_classes', 'partner', 'circle', *AUGMENTATIONS]
  streams = np.array([_stream(name) for name in names], np.uint32)

  def of_one(stream):
    # Flat: of more dimensions it is compiled for four times as long. The first
    # numbers are the same, however many there are.
    own = random.fold_in(key, stream)
    return random.uniform(own, (len(number) * _NUMBERS,))

  found = jax.vmap(of_one)(streams).reshape(len(names), -1, _NUMBERS)
  return dict(zip(names, found[:, number], strict=True))


def _stream(name: str) -> int:
  return zlib.crc32(name.encode())


def _beta(key, number, alpha: float) -> jax.Array:
  """(example,) of Beta(α, α): the share of one of two Gamma variables."""
  found = random.loggamma(key, alpha, (2 * len(number),)).reshape(-1, 2)
  return jax.nn.sigmoid(found[:, 0] - found[:, 1])[number]


def _permutation(drawn, mask, number) -> jax.Array:
  """(example,) places in the batch, of examples for examples."""
  return _first(mask, drawn['partner'][:, 0])[number]


def _first(some, order) -> jax.Array:
  """All places of the batch, `some` (example,) in their order before others."""
  return jnp.argsort(jnp.where(some, order, jnp.inf))


def _to_other_kinds(partner, kinds, mask, drawn) -> jax.Array:
  """(example,) partners: a permutation, to other kinds wherever that can be.

  That is for all, where no kind has more than half of the examples. Partners
  were drawn as if kinds did not matter. Those who got their own kind stand in a
  circle, kind by kind, and hand their partners on by at least as many places as
  the largest kind has: the rest stays random.

  Args:
    partner: (example,) a permutation of what `mask` has.
    kinds: (example,) ints.
    mask: (example,) which are no padding.
    drawn: of `_numbers`.
  """
  at, numbers = jnp.arange(len(kinds)), drawn['circle']
  own = mask & (kinds[partner] == kinds)
  alike = own & (kinds == kinds[:, None])  # (example, example in the circle)
  counts = jnp.where(own, jnp.sum(alike, 1), 0)
  most, stand = jnp.max(counts), jnp.sum(own)
  # Kinds in any order, that of a number of their first, and so those of each.
  of_kind = numbers[jnp.argmax(alike, 1), 0]
  circle = jnp.lexsort((numbers[:, 1], kinds, of_kind, ~own))
  # One kind may have more than half: others join that can take from it and
  # give.
  major = kinds[jnp.argmax(counts)]
  can = mask & ~own & (kinds != major) & (kinds[partner] != major)
  joining = _first(can, numbers[:, 2])
  lacking = jnp.clip(2 * most - stand, 0, jnp.sum(can))
  circle = jnp.where(at < stand, circle, joining[at - stand])
  size = stand + lacking
  places = _integers(numbers[0, 3], most, jnp.maximum(size - most, most) + 1)
  giver = circle[(at - places) % jnp.maximum(size, 1)]
  # Those out of it keep theirs: no place of the batch is so high.
  taker = jnp.where(at < size, circle, len(kinds))
  return partner.at[taker].set(partner[giver], mode='drop')


def apply(
  config,
  now: dict[str, jax.Array],
  examples: dict[str, jax.Array],
  spec: FrontEnd,
) -> jax.Array:
  """Does what `draw` says.

  Args:
    config: the section `augment`.
    now: what it returns for them, as far as it is not rows.
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
