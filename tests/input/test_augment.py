"""Augmentation: against loops over single values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from aec_jax.audio import FRONT_END
from aec_jax.audio.log_mel import log_mel
from aec_jax.input import augment
from aec_jax.models import vggish
from aec_jax.models.pooled import POOLED_FRONT_END

OFFSETS = np.array([0, 1, 4, 6])
KINDS = np.array([0, 1, 1, 1, 2, 2])
SHAPE = (12, 8)
ROWS = np.array([0, 3, 1, 5, 2], np.int32)
NOTHING = {name: field.default for name, field in augment.FIELDS.items()}
EVERYTHING = {
  'time_shift': True,
  'mixup_alpha': 0.4,
  'mask_frames': 5,
  'mask_bands': 3,
}


def drawn(seed=0, **fields):
  return many(1, seed, **fields)[0]


def many(steps, seed=0, **fields):
  """What is drawn for each of some steps, from 3 on."""
  known = {'follows': augment.followers(OFFSETS), 'kinds': KINDS}
  padded = np.append(ROWS, ROWS[0]), np.arange(len(ROWS) + 1) < len(ROWS)
  found = drawn_of(NOTHING | fields, known, *padded, seed, 3 + np.arange(steps))
  assert {len(x[0]) for x in found.values()} == {len(ROWS) + 1}
  return [
    {k: x[i, : len(ROWS)] for k, x in found.items()} for i in range(steps)
  ]


def drawn_of(config, known, rows, mask, seed, steps):
  """(step, example, …) for one batch, as of several steps."""
  draw = functools.partial(augment.draw, config, shape=SHAPE, seed=seed)
  draws = jax.jit(jax.vmap(draw, (None, None, None, 0)))
  return jax.tree.map(np.asarray, draws(known, rows, mask, steps))


def applied(now, table, **fields):
  rows = {'first': ROWS, **{k: now[k] for k in augment.ROWS[1:]}}
  apply = jax.jit(
    functools.partial(
      augment.apply, ConfigDict(NOTHING | fields), spec=FRONT_END
    )
  )
  examples = {k: table[v] for k, v in rows.items()}
  return np.asarray(apply(now, examples))


def one_by_one(now, table, i):
  """Example i, value by value."""
  out = np.empty(SHAPE)
  for t in range(SHAPE[0]):
    at = t + now['shift'][i]
    names = ('first', 'second') if at < SHAPE[0] else augment.ROWS[1::2]
    a, b = ({'first': ROWS, **now}[name][i] for name in names)
    w = now['weight'][i]
    at %= SHAPE[0]
    out[t] = w * table[a, at] + (1 - w) * table[b, at]
  mean = out.mean()
  for start, stop in now['mask_frames'][i]:
    out[start:stop] = mean
  mean = out.mean()
  for start, stop in now['mask_bands'][i]:
    out[:, start:stop] = mean
  return out


@pytest.mark.parametrize('seed', range(5))
def test_each_example_against_loops(seed):
  table = np.random.default_rng(9).standard_normal((6, *SHAPE))
  now = drawn(seed, **EVERYTHING)
  found = applied(now, table)
  for i in range(len(ROWS)):
    np.testing.assert_allclose(
      found[i], one_by_one(now, table, i), rtol=1e-4, atol=1e-5
    )


def test_what_follows_an_example_stays_in_its_clip():
  assert drawn()['following'].tolist() == [0, 1, 2, 4, 3]


def test_nothing_asked_for_is_nothing_done():
  assert not augment.is_on(ConfigDict(NOTHING))
  for name, value in (*EVERYTHING.items(), ('speed', 1.2), ('gain', 6.0)):
    assert augment.is_on(ConfigDict(NOTHING | {name: value}))
  table = np.random.default_rng(9).standard_normal((6, *SHAPE))
  found = applied(drawn(), table)
  np.testing.assert_array_equal(found, table[ROWS].astype(np.float32))


def test_masks_are_as_wide_as_allowed_and_inside():
  masks = [now['mask_frames'] for now in many(200, mask_frames=5)]
  starts, stops = np.moveaxis(np.concatenate(masks), -1, 0)
  assert set((stops - starts).ravel()) == set(range(6))
  assert starts.min() == 0 and stops.max() == SHAPE[0]


def test_the_same_draw_for_the_same_seed():
  a, b, c = (drawn(seed, **EVERYTHING) for seed in (1, 1, 2))
  for name in a:
    np.testing.assert_array_equal(a[name], b[name])
  assert (a['weight'] != c['weight']).any()


def test_no_augmentation_moves_the_draws_of_another():
  together = drawn(4, **EVERYTHING)
  for name, drawn_as in (
    ('time_shift', 'shift'), ('mixup_alpha', 'weight'),
    ('mask_frames', 'mask_frames'), ('mask_bands', 'mask_bands'),
  ):  # fmt: skip
    alone = drawn(4, **{name: EVERYTHING[name]})
    np.testing.assert_array_equal(alone[drawn_as], together[drawn_as])


@pytest.mark.parametrize('hertz', [300, 1000, 3000])
@pytest.mark.parametrize('speed', [0.8, 1.25])
def test_a_tone_played_faster_is_higher_and_sooner(hertz, speed):
  time = np.arange(16_000 * 5) / 16_000

  def played(factor):
    tone = 0.3 * np.sin(2 * np.pi * hertz * factor * time)
    sound = tone * (np.sin(3 * np.pi * factor * time) > 0)
    found = log_mel(jnp.asarray(sound[None], jnp.float32), POOLED_FRONT_END)
    return found[:, : POOLED_FRONT_END.frames]

  of = augment.AUGMENTATIONS['speed']
  found = np.asarray(
    of.apply(played(1.0), jnp.asarray([speed]), POOLED_FRONT_END)
  )
  wanted = np.asarray(played(speed))
  frames = int(POOLED_FRONT_END.frames / max(speed, 1)) - 4  # then it is over
  some, others = found[0, :frames].ravel(), wanted[0, :frames].ravel()
  assert np.corrcoef(some, others)[0, 1] > 0.93
  assert found[0].mean(0).argmax() == wanted[0].mean(0).argmax()


def test_speeds_are_within_their_factor_and_none_is_none():
  speeds = np.concatenate([now['speed'] for now in many(100, speed=1.25)])
  assert 0.8 <= speeds.min() < 0.82 and 1.22 < speeds.max() <= 1.25
  assert abs(np.log(speeds).mean()) < 0.03
  x = np.random.default_rng(1).standard_normal((5, *SHAPE))
  of = augment.AUGMENTATIONS['speed']
  same = of.apply(jnp.asarray(x), jnp.ones(5), FRONT_END)
  np.testing.assert_allclose(same, x, atol=1e-4)
  assert 'speed' not in drawn()


@pytest.mark.parametrize(
  'spec', [POOLED_FRONT_END, vggish.BASELINE_FRONT_END], ids=['vggish', 'other']
)
def test_gain_is_that_of_the_waveform(spec):
  noise = np.random.default_rng(2).standard_normal(16_000) * 0.05
  decibels = np.concatenate([now['gain'] for now in many(100, gain=6.0)])
  assert -6 <= decibels.min() < -5.9 and 5.9 < decibels.max() <= 6
  assert abs(decibels.mean()) < 0.5
  some = decibels[:8]
  waveforms = noise * 10 ** (np.append(0, some)[:, None] / 20)
  plain, *wanted = np.asarray(log_mel(jnp.asarray(waveforms), spec))
  of = augment.AUGMENTATIONS['gain']
  found = of.apply(jnp.stack([plain] * 8), jnp.asarray(some), spec)
  np.testing.assert_allclose(found, wanted, atol=2e-3)
  silence = jnp.full((1, *SHAPE), np.log(spec.offset) - 1e-6)
  found = of.apply(silence, jnp.asarray(some[:1]), spec)
  np.testing.assert_allclose(found, np.log(spec.offset), atol=1e-5)


@pytest.mark.parametrize('seed', range(3))
def test_sounds_are_mixed_by_their_loudness(seed):
  table = np.random.default_rng(seed).standard_normal((6, *SHAPE)) - 1
  table[3] += 4  # much louder than the others
  now = drawn(seed, between_classes=True)
  found = applied(now, table, between_classes=True)
  assert now['weight'].min() >= 0 and now['weight'].max() <= 1
  for i, (first, second) in enumerate(zip(ROWS, now['second'], strict=True)):
    one, two, r = np.exp(table[first]), np.exp(table[second]), now['weight'][i]
    gain = 10 * np.log10((one**2).mean() / (two**2).mean())  # dB
    p = 1 / (1 + 10 ** (gain / 20) * (1 - r) / r)
    mixed = np.sqrt((p * one) ** 2 + ((1 - p) * two) ** 2)
    mixed /= np.sqrt(p**2 + (1 - p) ** 2)
    np.testing.assert_allclose(np.exp(found[i]), mixed, rtol=2e-4)


def partners(kinds, seed, steps):
  """(step, example) of a batch of all examples, each a clip by itself."""
  every = np.arange(len(kinds), dtype=np.int32)
  known = {'follows': every, 'kinds': kinds}
  config = NOTHING | {'between_classes': True}
  mask = np.ones(len(kinds), bool)
  now = drawn_of(config, known, every, mask, seed, steps)
  np.testing.assert_array_equal(now['second'], now['second_following'])
  return now['second']


# One size of batch, so that the draws are compiled once.
_ROOM = 40


@jax.jit
def _padded_partners(kinds, mask, seed, step):
  known = {'follows': jnp.arange(_ROOM), 'kinds': kinds}
  config = NOTHING | {'between_classes': True}
  draw = functools.partial(augment.draw, config, shape=SHAPE, seed=seed)
  return draw(known, jnp.arange(_ROOM), mask, step)['second']


@settings(deadline=None)
@given(
  counts=st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(
    lambda counts: 0 < sum(counts) <= _ROOM
  ),
  seed=st.integers(0, 2**32 - 1),
  step=st.integers(0, 2**32 - 1),
)
def test_partners_are_of_other_labels_wherever_that_can_be(counts, seed, step):
  rng = np.random.default_rng(seed)
  real = 3 * np.repeat(np.arange(len(counts)), counts)
  rng.shuffle(real)
  # The padding stands anywhere but first, and looks like a kind that there is.
  mask = np.zeros(_ROOM, bool)
  places = 1 + rng.permutation(_ROOM - 1)[: len(real) - 1]
  mask[np.append(0, places)] = True
  kinds = np.full(_ROOM, real[0])
  kinds[mask] = real
  of = [np.uint32(x) for x in (seed, step)]
  found = np.asarray(_padded_partners(kinds, mask, *of))
  partner = np.cumsum(mask)[found[mask]] - 1
  assert mask[found[mask]].all()
  assert sorted(partner) == list(range(len(real)))
  # One kind of more than half of the examples keeps what the others can't take.
  left = max(2 * max(counts) - len(real), 0)
  assert np.sum(real[partner] == real) == left
  # The same without padding, but for what stands where.
  first = np.argsort(~mask, kind='stable')
  packed = np.asarray(_padded_partners(kinds[first], mask[first], *of))
  np.testing.assert_array_equal(packed[: len(real)], partner)


def test_partners_are_as_even_as_they_can_be():
  """Beside permutations that are thrown away until one is of other labels."""
  kinds, rng = np.array([0, 0, 1, 1, 1, 2, 2, 3]), np.random.default_rng(0)
  rounds = 4000
  found, wanted = np.zeros((2, 8, 8))
  for some in partners(kinds, 0, np.arange(rounds)):
    found[np.arange(8), some] += 1 / rounds
    while (kinds[some := rng.permutation(8)] == kinds).any():
      pass
    wanted[np.arange(8), some] += 1 / rounds
  assert np.abs(found - wanted).max() < 0.05
  assert (found[kinds[:, None] != kinds] > 0.05).all()


@pytest.mark.parametrize('alpha', [0.1, 0.4, 2.0])
def test_mixup_weighs_by_a_beta_distribution(alpha):
  weights = [now['weight'] for now in many(2000, mixup_alpha=alpha)]
  # In float32, too, where many of the smallest α are 1.
  wanted = np.random.default_rng(0).beta(alpha, alpha, 10_000)
  found = scipy.stats.ks_2samp(
    np.concatenate(weights), wanted.astype(np.float32)
  )
  assert found.pvalue > 1e-3


def test_mixup_takes_each_example_once_for_any():
  found, steps = np.zeros((5, 5)), 2000
  for now in many(steps, mixup_alpha=0.4):
    assert sorted(now['second']) == sorted(ROWS)
    places = [ROWS.tolist().index(row) for row in now['second']]
    found[np.arange(5), places] += 1 / steps
  assert np.abs(found - 0.2).max() < 0.05
