"""Augmentation: against loops over single values."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from aec_jax.input import augment

OFFSETS = np.array([0, 1, 4, 6])
SHAPE = (12, 8)
ROWS = np.array([0, 3, 1, 5, 2], np.int32)
EVERYTHING = {
  'time_shift': True,
  'mixup_alpha': 0.4,
  'mask_frames': 5,
  'mask_bands': 3,
}


def drawn(seed=0, **fields):
  config = ConfigDict(dict.fromkeys(EVERYTHING, 0) | fields)
  return augment.draw(config, OFFSETS, ROWS, SHAPE, seed, step=3)


def applied(now, table):
  rows = {'first': ROWS, **{k: now[k] for k in augment.ROWS[1:]}}
  return np.asarray(
    jax.jit(augment.apply)(now, {k: table[v] for k, v in rows.items()})
  )


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
  assert not augment.is_on(ConfigDict(dict.fromkeys(EVERYTHING, 0)))
  table = np.random.default_rng(9).standard_normal((6, *SHAPE))
  found = applied(drawn(), table)
  np.testing.assert_array_equal(found, table[ROWS].astype(np.float32))


def test_masks_are_as_wide_as_allowed_and_inside():
  masks = [drawn(seed, mask_frames=5)['mask_frames'] for seed in range(200)]
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
