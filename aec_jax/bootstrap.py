"""95 % confidence intervals of scores, by resampling the scored clips.

A resample draws as many clips as there are, with replacement, so each clip
enters it some number of times: its weight. The deviation of a score over the
resamples is its standard error (B. Efron, 1979), and the interval that of a
normal distribution around the score. Percentiles of the resamples would not do
for AP: a positive that is drawn twice ranks beside itself, which raises the
precision there, so that resampled mAPs lie above the mAP itself.
"""

import numpy as np
from scipy import sparse

from aec_jax import metrics

# So many give a standard error to 4 % of its size, two times in three.
RESAMPLES = 400
_HALF_WIDTH = 1.959964  # of a normal distribution's central 95 %, in deviations


def mean_interval(values: np.ndarray) -> list[float]:
  """Of the mean of values (clip,), such as reciprocal ranks: low, high."""
  resampled = values @ weights(len(values)) / len(values)
  return _interval(float(np.mean(values)), resampled)


def map_interval(targets, scores) -> list[float]:
  """Of the mean of `metrics.average_precision`, whose arguments it takes.

  The mAP of each resample is exact, as `metrics` would score its clips.
  """
  targets, scores = np.asarray(targets, bool), np.asarray(scores)
  resampled = resampled_map(targets, scores, weights(len(scores)))
  score = float(np.nanmean(metrics.average_precision(targets, scores)))
  return _interval(score, resampled)


def weights(clips: int, resamples: int = RESAMPLES, seed: int = 0):
  """How often each resample has each clip: (clip, resample) float32.

  The columns sum to `clips`. The same for the same arguments.
  """
  rng = np.random.default_rng(seed)
  out = np.empty((clips, resamples), np.float32)
  for column in range(resamples):
    drawn = rng.integers(clips, size=clips)
    out[:, column] = np.bincount(drawn, minlength=clips)
  return out


def _interval(score, resampled):
  half = _HALF_WIDTH * float(np.std(resampled, ddof=1))
  return [max(score - half, 0.0), min(score + half, 1.0)]


def resampled_map(targets, scores, drawn: np.ndarray) -> np.ndarray:
  """The mAP of each resample: means over the classes with positives in it.

  Args:
    targets: (clip, class) bool.
    scores: (clip, class), higher is more likely; no NaN.
    drawn: (clip, resample), see `weights`.

  Returns:
    (resample,), NaN for a resample without positives.
  """
  total = np.zeros(drawn.shape[1])
  count = np.zeros(drawn.shape[1])
  for k in np.flatnonzero(targets.any(0)):
    ap = _resampled_ap(targets[:, k], scores[:, k], drawn)
    there = ~np.isnan(ap)
    total[there] += ap[there]
    count += there
  with np.errstate(invalid='ignore'):
    return total / count


def _resampled_ap(targets, scores, drawn) -> np.ndarray:
  """One class's AP in each resample, NaN where it has no positive.

  Of the other clips it only matters between which positives they rank, so they
  are summed over those gaps, which are few, before anything is accumulated.
  """
  levels, level_of = np.unique(-scores[targets], return_inverse=True)
  # The first positive's level that a clip reaches; none at the end.
  gap = np.searchsorted(levels, -scores)
  reached = np.flatnonzero(gap < len(levels))
  above = np.cumsum(_sums(gap[reached], drawn[reached], len(levels)), 0)
  positives = _sums(level_of, drawn[targets], len(levels))
  hits = np.cumsum(positives, 0)  # (level, resample), as is `above`
  with np.errstate(invalid='ignore'):  # 0 / 0 where nothing was drawn
    precision = np.nan_to_num(hits / above)
    return np.sum(positives * precision, 0) / hits[-1]


def _sums(groups, rows, count) -> np.ndarray:
  """Sums of rows (row, resample) by their group (row,): (count, resample)."""
  ones = np.ones(len(groups), rows.dtype)
  where = (groups, np.arange(len(groups)))
  return sparse.csr_array((ones, where), (count, len(groups))) @ rows
