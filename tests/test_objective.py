"""What labels mean: losses, values, scores and chance, by other means."""

import warnings

import jax
import numpy as np
import pytest
from scipy.special import expit, log_softmax
from sklearn import metrics as sk

from aec_jax import bootstrap
from aec_jax.objective import OBJECTIVES

MULTI, SINGLE = OBJECTIVES['multi_label'], OBJECTIVES['single_label']


def single(clips=60, classes=5, seed=0):
  """One-hot targets and logits that know something."""
  rng = np.random.default_rng(seed)
  labels = rng.integers(classes, size=clips)
  targets = labels[:, None] == np.arange(classes)
  return labels, targets, rng.standard_normal(targets.shape) + targets


def several(clips=80, classes=5, seed=0):
  """Multi-hot targets, every class in some, and probabilities."""
  rng = np.random.default_rng(seed)
  targets = rng.random((clips, classes)) < 0.3
  targets[0] = True
  return targets, expit(rng.standard_normal(targets.shape) + targets)


def test_losses_are_per_example():
  logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]], np.float32)
  targets = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
  p = expit(logits)
  binary = -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p), 1)
  np.testing.assert_allclose(MULTI.loss(logits, targets), binary, rtol=1e-5)
  q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(
    SINGLE.loss(logits, targets), -np.log(q[targets > 0]), rtol=1e-5
  )


def test_the_loss_of_mixed_targets_is_the_mixed_loss():
  logits = np.array([[4.0, 0.0, 0.0]], np.float32)
  for objective in OBJECTIVES.values():
    a, b, both = (
      objective.loss(logits, np.array([t], np.float32))
      for t in ([1.0, 0, 0], [0, 1.0, 0], [0.3, 0.7, 0])
    )
    np.testing.assert_allclose(both, 0.3 * a + 0.7 * b, rtol=1e-5)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_values_and_probabilities_are_each_other_s(name):
  objective = OBJECTIVES[name]
  logits = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
  p = objective.to_probabilities(objective.values(logits))
  expected = {
    'multi_label': expit(logits),
    'single_label': jax.nn.softmax(logits),
  }
  np.testing.assert_allclose(p, expected[name], atol=1e-6)
  again = objective.to_probabilities(objective.from_probabilities(p))
  np.testing.assert_allclose(again, p, atol=1e-6)


def test_the_mean_of_single_labels_is_geometric():
  p = np.array([[0.8, 0.2], [0.2, 0.8], [0.6, 0.4]])
  mean = np.log(p).mean(0)
  geometric = np.prod(p, 0) ** (1 / 3)
  np.testing.assert_allclose(
    SINGLE.to_probabilities(mean), geometric / geometric.sum(), rtol=1e-6
  )
  np.testing.assert_allclose(MULTI.to_probabilities(p.mean(0)), p.mean(0))


@pytest.mark.parametrize('name', OBJECTIVES)
def test_examples_of_a_clip_count_by_their_probabilities(name):
  objective = OBJECTIVES[name]
  logits = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
  found = objective.example_means(logits, np.array([0, 1, 4, 6]))
  p = np.asarray(objective.to_probabilities(objective.values(logits)))
  expected = [p[:1].mean(0), p[1:4].mean(0), p[4:].mean(0)]
  np.testing.assert_allclose(
    objective.to_probabilities(found), expected, atol=1e-6
  )


def test_scores_of_several_labels_are_scikit_learns():
  targets, p = several()
  scores = MULTI.scores(targets, p)
  assert list(scores) == list(MULTI.metrics) and MULTI.main == 'mAP'
  assert scores['mAP'] == pytest.approx(
    sk.average_precision_score(targets, p, average='macro')
  )
  assert scores['AUC'] == pytest.approx(sk.roc_auc_score(targets, p))
  assert scores['lwlrap'] == pytest.approx(
    sk.label_ranking_average_precision_score(
      targets, p, sample_weight=targets.sum(1)
    )
  )
  losses = [sk.log_loss(t, q) for t, q in zip(targets.T, p.T, strict=True)]
  assert scores['log_likelihood'] == pytest.approx(-np.mean(losses))


def test_scores_of_single_labels_are_scikit_learns():
  labels, targets, logits = single()
  values = log_softmax(logits, 1)
  scores = SINGLE.scores(targets, values)
  assert list(scores) == list(SINGLE.metrics) and SINGLE.main == 'MAP@3'
  assert scores['accuracy'] == pytest.approx(
    sk.accuracy_score(labels, values.argmax(1))
  )
  top = np.argsort(-values, 1)[:, :3]
  ranks = [
    1 / (1 + row.index(k)) if k in row else 0.0
    for k, row in zip(labels, top.tolist(), strict=True)
  ]
  assert scores['MAP@3'] == pytest.approx(np.mean(ranks))
  assert scores['log_likelihood'] == pytest.approx(
    -sk.log_loss(labels, np.exp(values))
  )
  # A geometric mean adds up to less than one, before it is told.
  mean = (values + log_softmax(logits[::-1], 1)) / 2
  told = np.asarray(SINGLE.to_probabilities(mean))
  np.testing.assert_allclose(told.sum(1), 1, rtol=1e-6)
  assert SINGLE.scores(targets, mean)['log_likelihood'] == pytest.approx(
    -sk.log_loss(labels, told), rel=1e-5
  )


def test_classes_without_positives_or_negatives_are_left_out():
  # Class 1 has no positives, class 2 no negatives.
  targets = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]], bool)
  values = np.array([[0.9, 0.1, 0.3], [0.8, 0.2, 0.2], [0.7, 0.3, 0.1]])
  scores = MULTI.scores(targets, values)
  assert scores['mAP'] == pytest.approx((5 / 6 + 1) / 2)
  assert (scores['AUC'], scores['d_prime']) == (0.5, 0.0)
  columns = MULTI.per_class(targets, values)
  assert np.isnan(columns['AP']).tolist() == [False, True, False]
  assert np.isnan(columns['AUC']).tolist() == [False, True, True]


def test_scores_without_any_class_are_nan_without_warnings():
  with warnings.catch_warnings(action='error'):
    scores = MULTI.scores(np.zeros((1, 2), bool), np.array([[0.5, 0.1]]))
  for name in ('mAP', 'AUC', 'd_prime', 'lwlrap'):
    assert np.isnan(scores[name])


@pytest.mark.parametrize('name', OBJECTIVES)
def test_values_that_are_nan_score_nan(name):
  objective = OBJECTIVES[name]
  scores = objective.scores(np.eye(3, dtype=bool), np.full((3, 3), np.nan))
  assert list(scores) == list(objective.metrics)
  assert np.isnan(list(scores.values())).all()


def test_certainty_that_is_wrong_has_a_finite_likelihood():
  targets = np.array([[True, False]])
  scores = MULTI.scores(targets, np.array([[0.0, 1.0]]))
  assert -20 < scores['log_likelihood'] < -10


def test_intervals_are_the_bootstrap_s_around_the_score():
  targets, p = several()
  intervals = MULTI.intervals(targets, p)
  assert list(intervals) == list(MULTI.metrics)
  assert intervals['mAP'] == bootstrap.map_interval(targets, p)
  for name, score in MULTI.scores(targets, p).items():
    low, high = intervals[name]
    assert low < score < high
  _, targets, logits = single()
  values = log_softmax(logits, 1)
  intervals, scores = (
    SINGLE.intervals(targets, values),
    SINGLE.scores(targets, values),
  )
  assert list(intervals) == ['MAP@3', 'accuracy', 'log_likelihood']
  for name, (low, high) in intervals.items():
    assert low < scores[name] < high


def test_the_mean_over_classes_is_the_score():
  targets, p = several()
  columns, scores = MULTI.per_class(targets, p), MULTI.scores(targets, p)
  np.testing.assert_allclose(columns['AP'].mean(), scores['mAP'])
  np.testing.assert_allclose(columns['AUC'].mean(), scores['AUC'])
  labels, targets, logits = single()
  column = SINGLE.per_class(targets, logits)['AP@3']
  counts = np.bincount(labels, minlength=5)
  np.testing.assert_allclose(
    np.sum(column * counts) / counts.sum(),
    SINGLE.scores(targets, logits)['MAP@3'],
  )


def test_chance_is_what_a_constant_guess_gets():
  rng = np.random.default_rng(0)
  labels = rng.choice(4, 4000, p=[0.1, 0.4, 0.3, 0.2])
  targets = labels[:, None] == np.arange(4)
  shares = targets.mean(0)
  guess = np.tile(np.log(shares), (len(labels), 1))
  scores = SINGLE.scores(targets, guess)
  for name, score in scores.items():
    np.testing.assert_allclose(SINGLE.chance(name, shares), score)
  targets = rng.random((4000, 4)) < shares
  shares = targets.mean(0)
  constant = MULTI.scores(targets, np.zeros(targets.shape))
  for name in ('mAP', 'AUC', 'd_prime'):
    np.testing.assert_allclose(
      MULTI.chance(name, shares), constant[name], atol=1e-12
    )
  constant = MULTI.scores(targets, np.tile(shares, (4000, 1)))
  np.testing.assert_allclose(
    MULTI.chance('log_likelihood', shares), constant['log_likelihood']
  )


def test_chance_of_lwlrap_is_what_a_guess_by_the_shares_gets():
  rng = np.random.default_rng(0)
  targets = rng.random((20_000, 5)) < [0.05, 0.6, 0.3, 0.1, 0.2]
  shares = targets.mean(0)
  constant = MULTI.scores(targets, np.tile(shares, (len(targets), 1)))
  assert MULTI.chance('lwlrap', shares) == pytest.approx(
    constant['lwlrap'], abs=0.005
  )
