"""How many rows of a batch last: enough, few, and the same for most steps."""

import numpy as np

from aec_jax.input.lasting import Lasting
from aec_jax.input.plan import Groups

STARTS = (0, 4, 8, 12)


def drawn(rng, lengths, shape):
  return lengths[rng.integers(0, len(lengths), shape)]


def test_one_list_of_rows_serves_nearly_all_steps():
  rng = np.random.default_rng(0)
  lengths = np.minimum(1 + rng.geometric(0.2, 3000), 15)
  one = Groups.of_all(len(lengths))
  lasting = Lasting.of_draws(STARTS, lengths, [one], mixed=False)
  found = set()
  for _ in range(40):
    some = drawn(rng, lengths, (1, 10, 20, 100))
    rows = lasting.rows(some)
    need = (some[..., None] > STARTS).sum(-2).reshape(-1, 4).max(0)
    assert (np.array(rows) >= need).all()
    found.add(rows)
  assert len(found) == 1
  (rows,) = found
  assert rows[0] == 100 and rows[3] < 50
  # A step of nothing but the longest, which no draw is like.
  assert lasting.rows(np.full((2, 100), 15)) == (100,) * 4


def test_shares_are_of_the_draws():
  """Of classes that are drawn equally often, and of the longer of two."""
  lengths = np.array([1, 9, 9, 9])
  groups = Groups.of_classes(np.arange(4), np.array([0, 1, 4]))
  one = Lasting.of_draws(STARTS, lengths, [groups], mixed=False)
  np.testing.assert_allclose(one.shares, [1, 0.5, 0.5, 0])
  two = Lasting.of_draws(STARTS, lengths, [groups], mixed=True)
  np.testing.assert_allclose(two.shares, [1, 0.625, 0.625, 0])
