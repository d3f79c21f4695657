"""Calibration and thresholds, against plain statements of them."""

import json

import numpy as np
import pytest
from scipy.special import expit

from aec_jax.bundle import decisions
from aec_jax.errors import UserError


@pytest.fixture(scope='module')
def overconfident():
  """Targets and probabilities whose log-odds are three times too large."""
  rng = np.random.default_rng(0)
  odds = rng.normal(-1, 1.5, (1500, 4))
  targets = rng.random(odds.shape) < expit(odds)
  targets[:, 3] = False
  targets[:5, 3] = True  # too few for a calibration of its own
  return targets, expit(3 * odds + 1)


@pytest.fixture(scope='module')
def found(overconfident):
  return decisions.fit(*overconfident)


def test_calibration_undoes_what_was_done(overconfident, found):
  how = found['calibration']
  assert how['own'] == [True] * 3 + [False]
  np.testing.assert_allclose(how['slope'][:3], 1 / 3, atol=0.06)
  np.testing.assert_allclose(how['offset'][:3], -1 / 3, atol=0.2)
  assert found['ECE']['after'] < 0.5 * found['ECE']['before']
  after = decisions.calibrated(found, overconfident[1])
  assert decisions.ece(overconfident[0][:, :3], after[:, :3]) < 0.03
  order = np.argsort(overconfident[1][:, 0])
  assert (np.diff(after[order, 0]) >= 0).all()  # no order is changed


def test_thresholds_of_the_best_f1_are_the_best(overconfident, found):
  targets, probabilities = overconfident
  after = decisions.calibrated(found, probabilities)
  point = found['points'][decisions.BEST]
  chosen = decisions.thresholds(found, None)
  for k in range(4):
    f1 = {
      t: 2 * np.sum(targets[:, k] & (after[:, k] >= t))
      / (np.sum(after[:, k] >= t) + np.sum(targets[:, k]))
      for t in (*after[targets[:, k], k], chosen[k])
    }  # fmt: skip
    assert f1[chosen[k]] == pytest.approx(max(f1.values()))
    assert point['F1'][k] == pytest.approx(max(f1.values()), abs=1e-4)
    low, high = point['F1 interval'][k]
    assert low <= point['F1'][k] <= high


def test_thresholds_of_a_wished_precision_have_it(overconfident, found):
  targets, probabilities = overconfident
  after = decisions.calibrated(found, probabilities)
  chosen = decisions.thresholds(found, 0.7)
  for k in np.flatnonzero(~np.isnan(chosen)):
    told = after[:, k] >= chosen[k]
    assert targets[told, k].mean() >= 0.7
    # With one more there is no such precision.
    lower = np.sort(after[targets[:, k] & ~told, k])[::-1]
    assert all(targets[after[:, k] >= t, k].mean() < 0.7 for t in lower)
  with pytest.raises(UserError, match='--precision is 0.77; the bundle has'):
    decisions.thresholds(found, 0.77)


def test_intervals_hold_what_they_are_of(overconfident, found):
  """Thresholds lie between scores, and so do those of the resamples."""
  after = decisions.calibrated(found, overconfident[1])
  for point in found['points'].values():
    for k, threshold in enumerate(point['threshold']):
      if threshold is not None:
        low, high = point['threshold interval'][k]
        assert low - 1e-5 <= threshold <= high + 1e-5
  levels = np.unique(after[:, 0])
  middles = decisions._below(levels, after[:, 0])
  np.testing.assert_allclose(middles[1:], (levels[1:] + levels[:-1]) / 2)
  assert middles[0] == levels[0]


def test_a_resample_that_cannot_say_is_left_out():
  """Of two clips, one in four resamples has no positive."""
  targets, scores = np.array([True, False]), np.array([0.9, 0.1])
  drawn = np.array([[1, 0, 2], [1, 2, 0]], np.float32)
  found = decisions._points_of(targets, scores, drawn)[decisions.BEST]
  for key in ('precision', 'recall', 'F1'):
    assert found[key] == 1 and found[f'{key} interval'] == [1, 1]
  assert found['threshold'] == 0.5 and found['threshold interval'] == [0.5, 0.5]
  nothing = decisions._points_of(targets, scores, drawn[:, 1:2])
  assert nothing[decisions.BEST]['F1 interval'] is None


def test_a_class_without_positives_is_never_decided():
  rng = np.random.default_rng(0)
  targets = rng.random((100, 2)) < 0.5
  targets[:, 1] = False
  found = decisions.fit(targets, rng.random((100, 2)))
  assert np.isnan(decisions.thresholds(found, None)).tolist() == [False, True]
  decisions.check(json.loads(json.dumps(found)), 2)


def test_what_diverged_has_no_decisions():
  targets = np.ones((3, 2), bool)
  assert decisions.fit(targets, np.full((3, 2), np.nan)) is None


@pytest.mark.parametrize(
  'break_it',
  [
    lambda d: d['calibration'].update(slope=[1.0]),
    lambda d: d['calibration'].update(offset=[float('nan')] * 4),
    lambda d: d['points'].pop(decisions.BEST),
    lambda d: d['points']['0.9'].update(threshold=[0.5]),
    lambda d: d['points']['0.9'].update(threshold='1234'),
    lambda d: d['points']['0.9'].update(threshold=dict.fromkeys('abcd', 1)),
    lambda d: d['points'][decisions.BEST].update(threshold=[[1]] * 4),
    lambda d: d['points'].update(x=3),
    lambda d: d['calibration'].update(slope=['1'] * 4),
    lambda d: d['calibration'].update(slope=[None] * 4),
    lambda d: d['calibration'].update(offset=[True] * 4),
    lambda d: d['calibration'].update(offset='1234'),
    lambda d: d['calibration']['slope'].__setitem__(2, 10**400),
    lambda d: d['calibration']['slope'].__setitem__(2, '123'),
    lambda d: d['points'][decisions.BEST]['threshold'].__setitem__(0, 10**30),
  ],
)
def test_what_was_not_fitted_is_refused(found, break_it):
  broken = json.loads(json.dumps(found))
  decisions.check(broken, 4)
  break_it(broken)
  with pytest.raises((AttributeError, TypeError, ValueError)):
    decisions.check(broken, 4)


def test_whole_numbers_are_numbers(found):
  """JSON of other makers has 1 for 1.0, and thresholds lie between 0 and 1."""
  whole = json.loads(json.dumps(found))
  whole['calibration'].update(slope=[1] * 4, offset=[0] * 4)
  whole['points']['0.9'].update(threshold=[1, None, 0, 1])
  decisions.check(whole, 4)
  np.testing.assert_allclose(decisions.calibrated(whole, np.full(4, 0.3)), 0.3)
  told = decisions.thresholds(whole, 0.9)
  np.testing.assert_array_equal(told, [1, np.nan, 0, 1])
