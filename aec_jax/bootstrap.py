"""95 % confidence intervals of scores, by resampling the scored clips.

A resample draws as many clips as there are, with replacement, so each clip
enters it some number of times: its weight. The deviation of a score over the
resamples is its standard error (B. Efron, 1979), and the interval that of a
normal distribution around the score. Percentiles of the resamples would not do
for AP: a positive that is drawn twice ranks beside itself, which raises the
precision there, so that resampled mAPs lie above the mAP itself.

Of an AUC and of a ratio of sums that error is known without drawing any
resample, from how much each clip moves the score (the infinitesimal jackknife;
B. Efron and R. Tibshirani, 1993, §21).
"""

import numpy as np

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


def map_gain_interval(targets, scores, than) -> list[float]:
  """Of how much better one mAP is than another on the same clips.

  Args:
    targets, scores: as of `map_interval`.
    than: (clip, class), the other one's scores.
  """
  drawn = weights(len(scores))
  one, other = (
    resampled_map(targets, values, drawn) for values in (scores, than)
  )
  mine, theirs = (
    float(np.nanmean(metrics.average_precision(targets, values)))
    for values in (scores, than)
  )
  half = _HALF_WIDTH * float(np.std(one - other, ddof=1))
  return [mine - theirs - half, mine - theirs + half]


def auc_interval(targets, scores) -> list[float]:
  """Of the mean of `metrics.roc_auc`, whose arguments it takes."""
  targets, scores = np.asarray(targets, bool), np.asarray(scores)
  moves, found = np.zeros(len(targets)), []
  for k in range(targets.shape[1]):
    has = targets[:, k]
    if has.any() and not has.all():
      auc, move = _auc_moves(has, scores[:, k])
      found.append(auc)
      moves += move
  if not found:
    return [float('nan')] * 2
  return _moved(float(np.mean(found)), moves / len(found), (0.0, 1.0))


def _auc_moves(has, scores) -> tuple[float, np.ndarray]:
  """One class's AUC, and how much each clip (clip,) moves it."""
  from scipy import stats  # half a second, which tagging does without

  positives, negatives = int(has.sum()), int(np.sum(~has))
  ranks = stats.rankdata(scores)
  # Of each positive the share of negatives below it, ties counting half; of
  # each negative that of positives above it.
  share = np.empty(len(has))
  share[has] = (ranks[has] - stats.rankdata(scores[has])) / negatives
  below = ranks[~has] - stats.rankdata(scores[~has])
  share[~has] = 1 - below / positives
  auc = float(share[has].mean())
  return auc, (share - auc) / np.where(has, positives, negatives)


def ratio_interval(
  sums: np.ndarray, counts: np.ndarray, limits=(0.0, 1.0)
) -> list[float]:
  """Of a ratio of two sums over the clips, such as a mean over labels.

  Args:
    sums: (clip,), the numerator's.
    counts: (clip,), the denominator's; of a mean over clips ones.
    limits: that the ratio cannot pass.
  """
  total = float(np.sum(counts))
  if not total:
    return [float('nan')] * 2
  ratio = float(np.sum(sums)) / total
  return _moved(ratio, (sums - ratio * counts) / total, limits)


def _moved(score, moves, limits) -> list[float]:
  half = _HALF_WIDTH * float(np.sqrt(np.sum(moves**2)))
  return [max(score - half, limits[0]), min(score + half, limits[1])]


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
  """One class's AP in each resample, NaN where it has no positive."""
  _, positives, hits, above = ranked(targets, scores, drawn)
  with np.errstate(invalid='ignore'):  # 0 / 0 where nothing was drawn
    precision = np.nan_to_num(hits / above)
    return np.sum(positives * precision, 0) / hits[-1]


def ranked(targets, scores, drawn):
  """What each resample has among the clips above each positive's score.

  Of the other clips it only matters between which positives they rank, so they
  are summed over those gaps, which are few, before anything is accumulated.

  Args:
    targets: (clip,) bool, at least one of them true.
    scores: (clip,), higher is more likely; no NaN.
    drawn: (clip, resample), see `weights`.

  Returns:
    (level,) the positives' scores, descending; (level, resample) the positives
    of each, those of it and all above, and likewise all clips.
  """
  levels, level_of = np.unique(-scores[targets], return_inverse=True)
  # The first positive's level that a clip reaches; none at the end.
  gap = np.searchsorted(levels, -scores)
  reached = np.flatnonzero(gap < len(levels))
  above = np.cumsum(_sums(gap[reached], drawn[reached], len(levels)), 0)
  positives = _sums(level_of, drawn[targets], len(levels))
  hits = np.cumsum(positives, 0)  # (level, resample), as is `above`
  return -levels, positives, hits, above


def _sums(groups, rows, count) -> np.ndarray:
  """Sums of rows (row, resample) by their group (row,): (count, resample)."""
  from scipy import sparse

  ones = np.ones(len(groups), rows.dtype)
  where = (groups, np.arange(len(groups)))
  return sparse.csr_array((ones, where), (count, len(groups))) @ rows
