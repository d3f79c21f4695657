"""Metrics against scikit-learn, SciPy and the thesis's own numbers."""

import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
  average_precision_score,
  label_ranking_average_precision_score,
  roc_auc_score,
)

from aec_jax import metrics

# Mean AUC and d' as Table 10 prints them.
TABLE_10 = {
  'DNN-1': (0.934, 2.133),
  'DNN-2': (0.960, 2.482),
  'LSTM': (0.953, 2.367),
  'level-1': (0.957, 2.422),
  'level-2': (0.961, 2.497),
  'level-3': (0.963, 2.520),
  'level-12': (0.957, 2.423),
  'level-13': (0.959, 2.457),
  'level-23': (0.962, 2.506),
  'level-123': (0.958, 2.439),
}


@st.composite
def multilabel(draw):
  """Targets and scores (example, class), with what makes ranking hard."""
  n = draw(st.sampled_from([1, 2, 3, 5, 10, 40, 300]))
  shape = n, draw(st.integers(1, 3))
  rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
  share = draw(st.sampled_from([0, 0.03, 0.3, 0.5, 0.9, 1]))
  targets = rng.random(shape) < share
  scores = rng.standard_normal(shape) + draw(st.integers(0, 2)) * targets
  scores *= 10.0 ** draw(st.sampled_from([-42, -6, 0, 0, 0, 3, 37]))
  dtype = draw(st.sampled_from(['float16', 'float32', 'float64']))
  with np.errstate(over='ignore'):
    scores = scores.astype(dtype)
    if draw(st.booleans()):  # Ties, -0.0 with 0.0 among them.
      scores = scores.round(draw(st.integers(0, 2)))
  infinite = rng.random(shape) < draw(st.sampled_from([0, 0, 0.2]))
  scores[infinite] = rng.choice([-np.inf, np.inf], infinite.sum())
  return targets.astype(draw(st.sampled_from([bool, int, float]))), scores


def reference(function, targets, scores):
  """scikit-learn's value for one class, from ranks: it refuses infinities."""
  _, ranks = np.unique(scores, return_inverse=True)
  with sklearn.config_context(
    skip_parameter_validation=True, assume_finite=True
  ):
    return function(targets, ranks.astype(float))


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(multilabel())
def test_ap_and_auc_are_scikit_learns(data):
  targets, scores = data
  ap, auc = metrics.ap_and_auc(targets, scores)
  for k, (target, score) in enumerate(zip(targets.T, scores.T, strict=True)):
    if not target.any():
      assert np.isnan(ap[k])
    else:
      expected = reference(average_precision_score, target, score)
      assert ap[k] == pytest.approx(expected, abs=1e-12)
    if target.all() or not target.any():
      assert np.isnan(auc[k])
    else:
      expected = reference(roc_auc_score, target, score)
      assert auc[k] == pytest.approx(expected, abs=1e-12)


def test_many_classes_and_examples():
  rng = np.random.default_rng(0)
  targets = rng.random((3000, 50)) < rng.random(50) ** 3
  targets[:2] = [[True], [False]]
  logits = (rng.standard_normal(targets.shape) + targets).astype(np.float32)
  for scores in (logits, 1 / (1 + np.exp(8 - 3 * logits)), logits.round(1)):
    for order in 'CF':
      ap, auc = metrics.ap_and_auc(targets, np.asarray(scores, order=order))
      expected = average_precision_score(targets, scores, average=None)
      np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-12)
      expected = roc_auc_score(targets, scores, average=None)
      np.testing.assert_allclose(auc, expected, rtol=0, atol=1e-12)


def test_average_precision_of_table_2():
  targets = np.array([[1, 0, 1, 1, 0, 1]]).T
  scores = np.linspace(1, 0, 6)[:, None]
  assert metrics.average_precision(targets, scores).round(2) == [0.77]


def test_float64_scores_that_float32_would_tie():
  scores = 1 + np.array([[0, 1e-12]]).T
  targets = np.array([[0, 1]]).T
  assert metrics.roc_auc(targets, scores) == [1]
  assert metrics.roc_auc(targets, scores.astype(np.float32)) == [0.5]


def test_signed_zeros_tie():
  scores = np.array([[0.0, -0.0]], np.float32).T
  assert metrics.roc_auc([[1], [0]], scores) == [0.5]
  assert metrics.average_precision([[1], [0]], scores) == [0.5]


@pytest.mark.parametrize('model', TABLE_10)
def test_d_prime_of_table_10(model):
  auc, expected = TABLE_10[model]
  # The printed AUC is rounded, and d' spreads that rounding.
  low, high = metrics.d_prime(np.array([auc - 0.0005, auc + 0.0005]))
  assert low - 0.0005 <= expected <= high + 0.0005


def test_d_prime_at_the_ends():
  values = metrics.d_prime([0, 0.5, 1, np.nan])
  np.testing.assert_array_equal(values, [-np.inf, 0, np.inf, np.nan])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(multilabel())
def test_lwlrap_is_scikit_learns_weighted_by_labels(data):
  targets, scores = data
  labels = np.sum(targets > 0, 1)
  found = metrics.lwlrap(targets, scores)
  if not labels.any():
    assert np.isnan(found)
    return
  # From ranks, as scikit-learn refuses infinities.
  _, ranks = np.unique(scores, return_inverse=True)
  expected = label_ranking_average_precision_score(
    targets > 0, ranks.reshape(scores.shape).astype(float), sample_weight=labels
  )
  assert found == pytest.approx(expected, abs=1e-12)


def test_lwlrap_of_more_labels_than_a_block_of_rows(monkeypatch):
  rng = np.random.default_rng(0)
  targets, scores = rng.random((50, 7)) < 0.3, rng.random((50, 7))
  whole = metrics.lwlrap(targets, scores)
  monkeypatch.setattr(metrics, '_ROWS', 8)
  assert metrics.lwlrap(targets, scores) == pytest.approx(whole, rel=1e-12)


def plain_reciprocal_rank(true_class, scores, k):
  guesses = sorted(range(len(scores)), key=lambda c: -scores[c])  # stable
  for rank, guess in enumerate(guesses[:k], start=1):
    if guess == true_class:
      return 1 / rank
  return 0.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
  seed=st.integers(0, 2**32 - 1),
  n=st.integers(1, 20),
  n_classes=st.integers(1, 8),
  k=st.integers(1, 9),
  decimals=st.integers(0, 3),
)
def test_map_at_k_is_the_plain_loops(seed, n, n_classes, k, decimals):
  rng = np.random.default_rng(seed)
  scores = rng.random((n, n_classes)).round(decimals)
  targets = rng.integers(n_classes, size=n)
  expected = np.array(
    [
      plain_reciprocal_rank(*pair, k)
      for pair in zip(targets, scores, strict=True)
    ]
  )
  one_hot = np.eye(n_classes)[targets]
  for form in (targets, one_hot):
    ranks = metrics.reciprocal_rank(form, scores, k)
    np.testing.assert_array_equal(ranks, expected)
    assert metrics.map_at_k(form, scores, k) == pytest.approx(expected.mean())
    for c, ap in enumerate(metrics.ap_at_k(form, scores, k)):
      clips = expected[targets == c]
      assert ap == pytest.approx(clips.mean()) if clips.size else np.isnan(ap)


def test_map_at_3_of_known_ranks():
  scores = np.tile([0.4, 0.3, 0.2, 0.1], (4, 1))
  assert metrics.map_at_k([0, 1, 2, 3], scores) == pytest.approx(
    (1 + 1 / 2 + 1 / 3) / 4
  )


@pytest.mark.parametrize('n', [2, 3, 41, 527])
def test_paired_t_test_is_scipys(n):
  rng = np.random.default_rng(n)
  a, b = rng.random((2, n + 3))
  b += rng.choice([-0.1, 0.1])
  a[0] = b[1] = a[2] = b[2] = np.nan
  result = metrics.paired_t_test(a, b)
  expected = scipy.stats.ttest_rel(a, b, nan_policy='omit')
  assert result.t == pytest.approx(expected.statistic, rel=1e-10)
  assert result.p_two_sided == pytest.approx(expected.pvalue, rel=1e-10)
  side = 'greater' if result.t > 0 else 'less'
  one_sided = scipy.stats.ttest_rel(
    a, b, nan_policy='omit', alternative=side
  ).pvalue
  assert result.p_one_sided == pytest.approx(one_sided, rel=1e-10)
  assert result.p_one_sided <= 0.5


def test_paired_t_test_of_equal_differences():
  values = np.array([0.25, 0.5, np.nan, 0.75])
  with warnings.catch_warnings(action='error'):
    assert metrics.paired_t_test(values, values) == (0, 0.5, 1)
    assert metrics.paired_t_test(values, values - 1) == (np.inf, 0, 0)
    assert metrics.paired_t_test(values - 1, values) == (-np.inf, 0, 0)


GOOD_TARGETS = np.array([[1, 0], [0, 1], [1, 1]])
GOOD_SCORES = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


@pytest.mark.parametrize(
  ('targets', 'scores', 'message'),
  [
    (GOOD_TARGETS, GOOD_SCORES[:2], 'differ in shape'),
    (GOOD_TARGETS[:, 0], GOOD_SCORES[:, 0], 'example, class'),
    (GOOD_TARGETS[:0], GOOD_SCORES[:0], 'non-empty'),
    (GOOD_TARGETS[:, :0], GOOD_SCORES[:, :0], 'non-empty'),
    (2 * GOOD_TARGETS, GOOD_SCORES, '0 or 1'),
    (GOOD_TARGETS * np.nan, GOOD_SCORES, '0 or 1'),
    (GOOD_TARGETS - 0.5, GOOD_SCORES, '0 or 1'),
    (GOOD_TARGETS, np.where(GOOD_TARGETS, np.nan, 0.5), 'NaN'),
    (GOOD_TARGETS, np.where(GOOD_TARGETS, 0.5, np.nan), 'NaN'),
    (GOOD_TARGETS, GOOD_SCORES > 0.5, 'float16, float32 or float64'),
    (GOOD_TARGETS, GOOD_SCORES.astype(str), 'float16, float32 or'),
  ],
)
def test_bad_multilabel_input(targets, scores, message):
  for function in (metrics.average_precision, metrics.roc_auc, metrics.lwlrap):
    with pytest.raises(ValueError, match=message) as error:
      function(targets, scores)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('targets', 'scores', 'k', 'message'),
  [
    ([0, 1], GOOD_SCORES, 3, 'do not fit'),
    ([0, 1, 2], GOOD_SCORES, 3, r'class id 2 is outside 0\.\.1'),
    ([0, 1, -1], GOOD_SCORES, 3, 'class id -1'),
    ([0.0, 1.0, 1.0], GOOD_SCORES, 3, 'integers'),
    (GOOD_TARGETS, GOOD_SCORES, 3, 'one-hot'),
    ([0, 1, 1], GOOD_SCORES * np.nan, 3, 'NaN'),
    ([0, 1, 1], GOOD_SCORES, 0, 'k must be'),
    ([], GOOD_SCORES[:0], 3, 'non-empty'),
  ],
)
def test_bad_single_label_input(targets, scores, k, message):
  for function in (metrics.map_at_k, metrics.ap_at_k):
    with pytest.raises(ValueError, match=message):
      function(targets, scores, k)


@pytest.mark.parametrize(
  ('a', 'b', 'message'),
  [
    ([1.0, 2.0], [1.0], 'class'),
    ([1.0, np.nan], [2.0, 3.0], 'two pairs or more, got 1'),
    ([1.0, np.inf], [2.0, 3.0], 'infinite'),
  ],
)
def test_bad_t_test_input(a, b, message):
  with pytest.raises(ValueError, match=message):
    metrics.paired_t_test(a, b)
