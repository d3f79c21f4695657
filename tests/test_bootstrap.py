"""Bootstrap intervals against resampling written out."""

import numpy as np
import pytest

from aec_jax import bootstrap, metrics


def sample(clips=80, classes=4, seed=0):
  rng = np.random.default_rng(seed)
  targets = rng.random((clips, classes)) < 0.1
  targets[0] = True
  scores = targets + rng.normal(size=targets.shape)
  return targets, scores.round(1)  # with many ties


def test_a_resampled_map_is_that_of_the_repeated_clips():
  targets, scores = sample()
  drawn = bootstrap.weights(len(targets), resamples=20)
  assert (drawn.sum(0) == len(targets)).all()
  expected = []
  for column in drawn.T.astype(int):
    clips = np.repeat(np.arange(len(targets)), column)
    ap = metrics.average_precision(targets[clips], scores[clips])
    expected.append(np.nanmean(ap))
  found = bootstrap.resampled_map(targets, scores, drawn)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_class_without_positives_in_a_resample_is_left_out():
  targets = np.array([[1, 0], [0, 1], [0, 0]], bool)
  scores = np.array([[0.1, 0.9], [0.5, 0.2], [0.3, 0.3]])
  drawn = np.array([[0, 3, 0], [1, 0, 0], [2, 0, 3]], np.float32)
  found = bootstrap.resampled_map(targets, scores, drawn)
  # Only class 1, whose positive is last of three; only class 0; none.
  np.testing.assert_allclose(found, [1 / 3, 1, np.nan])


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
  values = np.random.default_rng(2).random(500)
  low, high = bootstrap.mean_interval(values)
  assert (low + high) / 2 == pytest.approx(values.mean())
  error = values.std(ddof=1) / np.sqrt(500)
  assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_the_interval_of_a_map_is_around_it_and_always_the_same():
  targets, scores = sample(clips=300)
  low, high = bootstrap.map_interval(targets, scores)
  m_ap = np.nanmean(metrics.average_precision(targets, scores))
  assert (low + high) / 2 == pytest.approx(m_ap)
  assert 0.02 < high - low < 0.4
  assert bootstrap.map_interval(targets, scores) == [low, high]


def test_a_gain_is_told_more_closely_than_the_scores_are():
  """Both maps are of the same resamples, whose luck they share."""
  rng = np.random.default_rng(5)
  targets = rng.random((120, 3)) < 0.3
  scores = targets + rng.normal(size=targets.shape)
  than = scores + 0.1 * rng.normal(size=targets.shape)
  low, high = bootstrap.map_gain_interval(targets, scores, than)
  gain = np.subtract(
    *(
      np.nanmean(metrics.average_precision(targets, one))
      for one in (scores, than)
    )
  )
  assert (low + high) / 2 == pytest.approx(gain)
  alone = bootstrap.map_interval(targets, scores)
  assert 0 < high - low < 0.5 * (alone[1] - alone[0])
  assert bootstrap.map_gain_interval(targets, than, scores) == pytest.approx(
    [-high, -low]
  )


def test_an_interval_stays_between_0_and_1():
  low, high = bootstrap.mean_interval(np.array([1.0, 1.0, 1.0, 0.5]))
  assert 0 < low < 0.875 and high == 1
  assert bootstrap.mean_interval(np.ones(5)) == [1, 1]


def test_an_auc_s_interval_is_that_of_its_resamples():
  targets, scores = sample(clips=400)
  low, high = bootstrap.auc_interval(targets, scores)
  auc = np.nanmean(metrics.roc_auc(targets, scores))
  assert (low + high) / 2 == pytest.approx(auc)
  found = []
  for column in bootstrap.weights(400, resamples=300).T.astype(int):
    clips = np.repeat(np.arange(400), column)
    found.append(np.nanmean(metrics.roc_auc(targets[clips], scores[clips])))
  assert high - low == pytest.approx(2 * 1.96 * np.std(found), rel=0.15)


def test_a_mean_over_labels_has_the_interval_of_its_resamples():
  targets, scores = sample(clips=400)
  sums, counts = metrics.label_precisions(targets, scores)
  low, high = bootstrap.ratio_interval(sums, counts)
  assert (low + high) / 2 == pytest.approx(metrics.lwlrap(targets, scores))
  drawn = bootstrap.weights(400, resamples=1000)
  found = (sums @ drawn) / (counts @ drawn)
  assert high - low == pytest.approx(2 * 1.96 * np.std(found), rel=0.15)


def test_where_there_is_nothing_there_is_no_interval():
  nothing = np.zeros((3, 2), bool)
  assert np.isnan(bootstrap.auc_interval(nothing, np.ones((3, 2)))).all()
  assert np.isnan(bootstrap.ratio_interval(np.zeros(3), np.zeros(3))).all()
