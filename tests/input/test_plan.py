"""Plans: balance, carry-over, hosts, resumption, mixup."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aec_jax.input.plan import Groups, Plan


def groups_of(sizes):
  """Groups of consecutive example indices with the given sizes."""
  offsets = np.concatenate([[0], np.cumsum(sizes)])
  return Groups.of_classes(np.arange(offsets[-1]), offsets)


def run(plan, start, stop, step=1, host=0, hosts=1):
  """The plan of steps start … stop: {name: (step, example)}."""
  spans = [(s, min(s + step, stop)) for s in range(start, stop, step)]
  parts = list(plan.dataset(spans, host, hosts).as_numpy_iterator())
  return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


@settings(max_examples=25, deadline=None)
@given(
  sizes=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
  batch=st.integers(1, 20),
  seed=st.integers(0, 2**31 - 1),
)
def test_whole_rounds_draw_every_class_equally_often(sizes, batch, seed):
  groups = groups_of(sizes)
  classes = sum(size > 0 for size in sizes)
  drawn = run(Plan(groups, batch, seed), 0, 6 * classes, step=4)['first']
  stream = drawn.ravel()
  of_class = np.searchsorted(groups.offsets, stream, side='right') - 1
  rounds = of_class[: len(of_class) // classes * classes].reshape(-1, classes)
  np.testing.assert_array_equal(
    np.sort(rounds, 1), np.tile(np.arange(classes), (len(rounds), 1))
  )


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 50), seed=st.integers(0, 2**31 - 1))
def test_a_class_is_gone_through_before_it_repeats(size, seed):
  plan = Plan(groups_of([size, 3]), batch_size=2, seed=seed)
  stream = run(plan, 0, 3 * size, step=size)['first'].ravel()
  epochs = stream[stream < size].reshape(3, size)
  np.testing.assert_array_equal(
    np.sort(epochs, 1), np.tile(np.arange(size), (3, 1))
  )


def test_what_does_not_fit_in_a_batch_opens_the_next():
  plan = Plan(groups_of([59] * 527), batch_size=500, seed=1)
  stream = run(plan, 0, 2)['first'].ravel()
  of_class = stream // 59
  assert len(set(of_class[:500])) == 500
  # The 27 classes that the first batch left over, and then a new round.
  assert set(of_class[500:527]) == set(range(527)) - set(of_class[:500])
  assert len(set(of_class[527:1000])) == 473


def test_classes_of_one_to_a_million_examples_and_of_none():
  sizes = [1, 0, 1_000_000, 7]
  groups = groups_of(sizes)
  assert len(groups.offsets) == 4
  stream = run(Plan(groups, 30, 3), 0, 100, step=50)['first'].ravel()
  counts = np.histogram(stream, groups.offsets)[0]
  np.testing.assert_array_equal(counts, [1000, 1000, 1000])
  large = stream[(stream >= 1) & (stream < 1_000_001)]
  assert len(set(large)) == 1000  # none twice before all were drawn
  assert large.min() < 50_000 and large.max() > 950_000


@pytest.mark.parametrize('alpha', [0.0, 0.3])
@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_join_up_to_one_stream(hosts, alpha):
  plan = Plan(groups_of([5, 40, 1, 13]), 12, 7, alpha)
  whole = run(plan, 0, 9, step=3)
  parts = [run(plan, 0, 9, 3, host, hosts) for host in range(hosts)]
  for name, expected in whole.items():
    joined = np.concatenate([part[name] for part in parts], axis=1)
    np.testing.assert_array_equal(joined, expected)


@settings(max_examples=10, deadline=None)
@given(start=st.integers(0, 40), alpha=st.sampled_from([0.0, 0.2]))
def test_starting_at_a_step_equals_having_run_to_it(start, alpha):
  plan = Plan(groups_of([5, 40, 1]), 8, 2, alpha)
  whole, late = run(plan, 0, 45, step=5), run(plan, start, 45, step=7)
  for name, expected in whole.items():
    np.testing.assert_array_equal(late[name], expected[start:])


def test_a_long_span_is_planned_in_parts():
  plan = Plan(groups_of([3, 4]), 4, 0, mixup_alpha=0.5)
  (whole,) = plan.dataset([(2, 50)]).as_numpy_iterator()
  first, second = plan.spans([(2, 50), (50, 53)])
  assert first.keys() == whole.keys()
  for name, values in whole.items():
    np.testing.assert_array_equal(first[name], values)
  (last,) = plan.dataset([(50, 53)]).as_numpy_iterator()
  np.testing.assert_array_equal(second['first'], last['first'])


def test_seeds_give_different_streams():
  a, b = (run(Plan(groups_of([99] * 9), 90, s), 0, 1)['first'] for s in (0, 1))
  assert np.mean(a == b) < 0.1


def test_unbalanced_sampling_goes_through_all_examples():
  stream = run(Plan(Groups.of_all(37), 10, 0), 0, 37, step=10)['first'].ravel()
  epochs = stream.reshape(10, 37)
  np.testing.assert_array_equal(
    np.sort(epochs, 1), np.tile(np.arange(37), (10, 1))
  )
  assert len({tuple(epoch) for epoch in epochs}) == 10


def test_mixup_mixes_every_second_example_with_a_balanced_partner():
  plan = Plan(groups_of([10] * 4), 8, 5, mixup_alpha=0.2)
  drawn = run(plan, 0, 500, step=100)
  plain = Plan(groups_of([10] * 4), 8, 5)
  np.testing.assert_array_equal(
    drawn['first'], run(plain, 0, 500, step=100)['first']
  )
  np.testing.assert_array_equal(drawn['weight'][:, ::2], 1.0)
  np.testing.assert_array_equal(drawn['second'][:, ::2], drawn['first'][:, ::2])
  partners = drawn['second'][:, 1::2] // 10
  assert np.ptp(np.bincount(partners.ravel())) < 120  # of about 500 each


@pytest.mark.parametrize('alpha', [0.1, 1.0, 4.0])
def test_mixup_weights_follow_the_beta_distribution(alpha):
  plan = Plan(groups_of([10]), 200, 5, mixup_alpha=alpha)
  weights = run(plan, 0, 100, step=50)['weight'][:, 1::2].ravel()
  assert np.all(np.isfinite(weights)) and np.all(
    (weights >= 0) & (weights <= 1)
  )
  # Where Beta(0.1, 0.1) puts much of its mass, float32 rounds to 0 and 1.
  inside = weights[(weights > 1e-6) & (weights < 1 - 1e-6)]
  low, high = stats.beta.cdf([1e-6, 1 - 1e-6], alpha, alpha)
  cdf = lambda x: (stats.beta.cdf(x, alpha, alpha) - low) / (high - low)
  assert stats.kstest(inside, cdf).pvalue > 1e-3


def test_hosts_that_cannot_share_a_batch_are_refused():
  with pytest.raises(ValueError, match='3 hosts cannot share a batch of 8'):
    Plan(groups_of([4]), 8, 0).dataset([(0, 1)], hosts=3)
