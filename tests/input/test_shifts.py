"""Clips cut at several shifts: which samples and frames they are made of."""

import numpy as np
import pytest

from aec_jax.errors import UserError
from aec_jax.features.embeddings import Shifted
from aec_jax.input import shifts


@pytest.mark.parametrize('length, step', [(12, 12), (25, 12), (15, 8)])
def test_a_shifted_example_is_what_the_clip_has_there(length, step):
  clip = np.random.default_rng(0).standard_normal((4 * step + length, 3))
  examples = np.stack([clip[i : i + length] for i in range(0, 5 * step, step)])
  for count in (2, 3, 8):
    later = shifts.later(count, step)
    assert len(set(later)) == count - 1 and (later > 0).all()
    np.testing.assert_allclose(
      later, np.arange(1, count) * step / count, atol=1
    )
    for shift in later:
      found = shifts.between(
        examples[:-1], examples[1:], np.full(4, shift), step
      )
      expected = [clip[i + shift : i + shift + length] for i in
                  range(0, 4 * step, step)]  # fmt: skip
      np.testing.assert_array_equal(found, expected)


def test_cuts_lie_one_after_the_other_and_short_clips_have_only_the_first():
  offsets = np.array([0, 3, 4, 6, 9])  # of 3, 1, 2 and 3 examples
  first, second, third = shifts.cuts(offsets, np.array([0, 1, 2]), 3)
  assert first is offsets
  np.testing.assert_array_equal(second, [9, 11, 11, 12, 12])
  np.testing.assert_array_equal(third, [12, 14, 14, 15, 15])
  rows = shifts.firsts(offsets, np.array([0, 1, 2]))
  np.testing.assert_array_equal(rows, [0, 1, 4])


def test_shifted_clips_read_as_an_array_shift_after_shift():
  class Clips:
    examples = np.arange(24, dtype=np.float16).reshape(4, 6, 1)

  found = Shifted(Clips, np.array([0, 2]), 3, 6)
  assert len(found) == 4
  # Clips of two examples: frames 0 to 11 and 12 to 23, shifted by 2 and by 4.
  whole = found[np.array([0, 1, 2, 3, 0])]
  assert whole.dtype == np.float16
  np.testing.assert_array_equal(whole[:, 0, 0], [2, 14, 4, 16, 2])
  np.testing.assert_array_equal(whole[:, -1, 0], [7, 19, 9, 21, 7])
  other = Shifted(Clips, np.array([0, 2]), 2, 6)
  assert other.depends() != found.depends()


@pytest.mark.parametrize(
  'count, step, message',
  [
    (0, 96, 'it must be 1 to 16'),
    (17, 96, 'it must be 1 to 16'),
    (13, 12, 'every 12 frames: it must be 1 to 12'),
    (2, None, 'cannot be shifted'),
  ],
)
def test_numbers_of_shifts_that_cannot_be_are_refused(count, step, message):
  shifts.check('N', 1, step)
  with pytest.raises(UserError, match=message):
    shifts.check('N', count, step)
