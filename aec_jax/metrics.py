"""Scores of a classifier: AP, AUC, d', MAP@k, lwlrap, t-tests (thesis §4.3).

Per-class results are float64 (class,), with NaN where a class has no value;
means are over the other classes, and say how many those are. Only the order of
the scores matters, so logits and probabilities do equally well.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Classes transposed at once: 16 float32 columns are a cache line, and their
# rows stay in the cache.
_BLOCK = 16
# Few scores share one of so many buckets, and their counts stay in the cache.
_BUCKETS = 8192
# Labels whose clips' scores are compared at once, in `lwlrap`.
_ROWS = 4096


class TTest(NamedTuple):
  """A paired t-test: the statistic, and its p values."""

  t: float
  p_one_sided: float
  p_two_sided: float


def average_precision(targets, scores) -> np.ndarray:
  """Average precision of each class, as scikit-learn defines it.

  The mean, over a class's positives, of the precision among the examples that
  score at least as high as the positive; tied examples thus enter together.

  Args:
    targets: (example, class), bool or 0 and 1.
    scores: (example, class), higher is more likely; no NaN.

  Returns:
    (class,) in 0..1, NaN for a class without positives.

  Raises:
    ValueError: shapes differ or are empty, a target is neither 0 nor 1, scores
      are not floats of 2, 4 or 8 bytes, or contain NaN.
  """
  return ap_and_auc(targets, scores)[0]


def roc_auc(targets, scores) -> np.ndarray:
  """Area under each class's ROC curve; arguments and errors as for AP.

  The share of pairs (positive, negative) that are in the right order, a tied
  pair counting half.

  Returns:
    (class,) in 0..1, NaN for a class without positives or without negatives.
  """
  return ap_and_auc(targets, scores)[1]


def ap_and_auc(targets, scores) -> tuple[np.ndarray, np.ndarray]:
  """`average_precision` and `roc_auc` for the price of one."""
  targets, scores = _check_multilabel(targets, scores)
  n_classes = targets.shape[1]
  examples, classes = np.divmod(np.flatnonzero(targets), n_classes)
  # By class, so that each class's positives lie side by side.
  examples = examples[np.argsort(classes, kind='stable')]
  ends = np.cumsum(np.bincount(classes, minlength=n_classes))
  rows_of_positives = np.split(examples, ends[:-1])
  results = []  # (class, 2)
  for first in range(0, n_classes, _BLOCK):
    block = slice(first, first + _BLOCK)
    columns = scores[:, block].T.copy()  # contiguous (class, example)
    if np.isnan(columns).any():
      raise ValueError('scores contain NaN')
    for column, rows in zip(columns, rows_of_positives[block], strict=True):
      results.append(_ap_and_auc_of_class(column, rows))
  ap, auc = np.array(results).T
  return ap, auc


def d_prime(auc):
  """sqrt(2) * inverse normal CDF of the AUC: 0 at chance, infinite at 1."""
  from scipy import special  # a fifth of a second, which tagging does without

  return np.sqrt(2.0) * special.ndtri(auc)


def lwlrap(targets, scores) -> float:
  """Label-weighted label-ranking average precision (FSDKaggle2019's metric).

  For each label of each clip the share of the clip's own labels among the
  classes that score at least as high; the mean over all labels of all clips
  (Howard et al., DCASE 2019 Task 2). Ties count as in scikit-learn's
  `label_ranking_average_precision_score`, weighted by the clips' labels.

  Args:
    targets, scores: as `average_precision` takes them.

  Returns:
    In 0..1, NaN where no clip has a label.

  Raises:
    ValueError: as `average_precision` does.
  """
  sums, labels = label_precisions(targets, scores)
  total = np.sum(labels)
  return float(np.sum(sums) / total) if total else float('nan')


def label_precisions(targets, scores) -> tuple[np.ndarray, np.ndarray]:
  """What `lwlrap` is the mean of, summed over the labels of each clip.

  Args:
    targets, scores: as `average_precision` takes them.

  Returns:
    (clip,) the sums, and how many labels each clip has.

  Raises:
    ValueError: as `average_precision` does.
  """
  targets, scores = _check_multilabel(targets, scores)
  if np.isnan(scores).any():
    raise ValueError('scores contain NaN')
  rows, columns = np.nonzero(targets)
  sums = np.zeros(len(targets))
  for first in range(0, len(rows), _ROWS):
    some = rows[first : first + _ROWS]
    own = scores[some, columns[first : first + _ROWS]][:, None]
    ahead = scores[some] >= own  # (label, class)
    hits = np.count_nonzero(ahead & targets[some], 1)
    np.add.at(sums, some, hits / np.count_nonzero(ahead, 1))
  return sums, np.bincount(rows, minlength=len(targets))


def precision_recall_f1(targets, decisions) -> tuple[np.ndarray, ...]:
  """Of yes-or-no decisions, class by class.

  Args:
    targets, decisions: (example, class) bool.

  Returns:
    Precision, NaN for a class that is never decided on; recall, NaN for one
    without positives; F1, their harmonic mean, NaN where neither is defined:
    (class,) each.
  """
  targets, decisions = np.asarray(targets, bool), np.asarray(decisions, bool)
  hits = np.sum(targets & decisions, 0)
  said, are = decisions.sum(0), targets.sum(0)

  def share(part, whole):
    out = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=out, where=whole > 0)

  return share(hits, said), share(hits, are), share(2 * hits, said + are)


def reciprocal_rank(targets, scores, k: int = 3) -> np.ndarray:
  """1/rank of each clip's true class if among its first k guesses, else 0.

  Classes with equal scores rank in class order, as a stable sort puts them.

  Args:
    targets: (example,) class ids, or one-hot (example, class).
    scores: (example, class), higher is more likely; no NaN.
    k: number of guesses, 1 or more.

  Returns:
    (example,) float64.

  Raises:
    ValueError: shapes don't fit or are empty, an id is no class, a row is not
      one-hot, scores are as `average_precision` refuses them, k < 1.
  """
  true_class, scores = _check_single_label(targets, scores)
  if k < 1:
    raise ValueError(f'k must be 1 or more, got {k}')
  true_score = np.take_along_axis(scores, true_class[:, None], axis=1)
  before = np.arange(scores.shape[1]) < true_class[:, None]
  ahead = (scores > true_score) | ((scores == true_score) & before)
  rank = 1 + np.count_nonzero(ahead, axis=1)  # (example,)
  return np.where(rank <= k, 1.0 / rank, 0.0)


def map_at_k(targets, scores, k: int = 3) -> float:
  """Mean of `reciprocal_rank`, whose arguments it takes, over the clips."""
  return float(np.mean(reciprocal_rank(targets, scores, k)))


def ap_at_k(targets, scores, k: int = 3) -> np.ndarray:
  """Mean of `reciprocal_rank`, whose arguments it takes, over a class's clips.

  Returns:
    (class,), NaN for a class without clips.
  """
  true_class, scores = _check_single_label(targets, scores)
  ranks = reciprocal_rank(true_class, scores, k)
  n_classes = scores.shape[1]
  total = np.bincount(true_class, ranks, n_classes)
  clips = np.bincount(true_class, minlength=n_classes)
  nan = np.full(n_classes, np.nan)
  return np.divide(total, clips, out=nan, where=clips > 0)


def paired_t_test(a, b) -> TTest:
  """Tests whether two models' per-class values differ in the mean.

  Args:
    a, b: (class,). A class that is NaN in either is left out.

  Returns:
    `TTest`: t is positive where a is better. The one-sided p is for the
    direction that the sign of t shows, so it never exceeds 0.5, as in the
    thesis's Tables 11, 14 and 15. Equal inputs give t = 0.

  Raises:
    ValueError: shapes differ, values are infinite, fewer than two pairs remain.
  """
  from scipy import special

  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.shape != b.shape or a.ndim != 1:
    raise ValueError(
      f'a and b must both be (class,), got {a.shape} and {b.shape}'
    )
  if np.isinf(a).any() or np.isinf(b).any():
    raise ValueError('a paired t-test needs finite values, got infinite ones')
  difference = a - b
  difference = difference[~np.isnan(difference)]
  n = difference.size
  if n < 2:
    raise ValueError(f'a paired t-test needs two pairs or more, got {n}')
  mean = difference.mean()
  error = np.sqrt(difference.var(ddof=1) / n)
  with np.errstate(divide='ignore'):  # Equal differences: t is infinite, or 0.
    t = mean / error if mean else 0.0
  p = special.stdtr(n - 1, -abs(t))
  return TTest(float(t), float(p), float(2 * p))


def holm(p_values: Sequence[float]) -> np.ndarray:
  """p values of several tests, corrected so that they hold together.

  S. Holm, 1979: the least of n is multiplied by n, the next by n − 1, and so
  on; none becomes less than one that was before it, or more than 1.

  Args:
    p_values: (test,).

  Returns:
    (test,), in the same order.
  """
  p = np.asarray(p_values, np.float64)
  order = np.argsort(p, kind='stable')
  steps = p[order] * np.arange(len(p), 0, -1)
  out = np.empty(len(p))
  out[order] = np.minimum(np.maximum.accumulate(steps), 1)
  return out


def _ap_and_auc_of_class(scores, rows) -> tuple[float, float]:
  """AP and AUC of one class.

  Args:
    scores: (example,).
    rows: (positive,) where the class is present.
  """
  n, n_positive = scores.size, rows.size
  n_negative = n - n_positive
  if not n_positive:
    return np.nan, np.nan
  positives = np.sort(scores[rows])
  below, up_to = _count_below(scores, positives)
  positives_below = np.searchsorted(positives, positives, 'left')
  ap = np.mean((n_positive - positives_below) / (n - below))
  if not n_negative:
    return ap, np.nan
  # A positive wins a pair with those below it, and half a pair with those it
  # ties with: (below + up_to) / 2. That counts pairs of positives too, of which
  # n_positive**2 / 2 are won. Integers until the end: exact.
  half_pairs = np.sum(below + up_to) - n_positive**2
  return ap, half_pairs / (2 * n_positive * n_negative)


def _count_below(scores, positives) -> tuple[np.ndarray, np.ndarray]:
  """How many scores are less than each positive's, and how many at most equal.

  Sorting all scores would tell, but positives are few. So the scores go into
  buckets, and only those that share a bucket with a positive are sorted; of
  the others, each bucket's number is enough.

  Args:
    scores: (example,).
    positives: (positive,) those of the positives, ascending.
  """
  low, high = positives[0], positives[-1]
  of_scores = _buckets(scores, low, high)
  of_positives = _buckets(positives, low, high)
  counts = np.bincount(of_scores)
  shared = np.zeros(counts.size, bool)
  shared[of_positives] = True
  nearby = np.sort(scores[shared[of_scores]])
  counts[shared] = 0
  elsewhere = np.cumsum(counts)[of_positives]
  below = elsewhere + np.searchsorted(nearby, positives, 'left')
  up_to = elsewhere + np.searchsorted(nearby, positives, 'right')
  return below, up_to


def _buckets(scores, low, high) -> np.ndarray:
  """Puts each score in one of equal buckets from `low` to `high`.

  Rounding may move a score to a neighbour, but never past another score, as
  each operation here is monotone.

  Returns:
    (example,) integers: 0 for what is far below `low`, the largest for what is
    far above `high`.
  """
  with np.errstate(all='ignore'):
    per_unit = _BUCKETS / (high - low)
    if not 0 < per_unit < np.inf:  # Infinite scores, or all but equal ones.
      return np.zeros(scores.size, np.intp)
    position = (scores - low) * per_unit
  return np.clip(position, -1, _BUCKETS + 1).astype(np.intp) + 1


def _check_multilabel(targets, scores) -> tuple[np.ndarray, np.ndarray]:
  targets, scores = np.asarray(targets), _check_scores(scores)
  if targets.shape != scores.shape:
    raise ValueError(
      f'targets {targets.shape} and scores {scores.shape} differ in shape'
    )
  return _check_binary(targets), scores


def _check_single_label(targets, scores) -> tuple[np.ndarray, np.ndarray]:
  """Returns class ids (example,) and scores (example, class)."""
  targets, scores = np.asarray(targets), _check_scores(scores)
  if targets.shape not in (scores.shape, scores.shape[:1]):
    raise ValueError(
      f'targets {targets.shape} and scores {scores.shape} do not fit: expected'
      ' class ids (example,) or one-hot rows (example, class)'
    )
  if np.isnan(scores).any():
    raise ValueError('scores contain NaN')
  if targets.ndim == 2:
    targets = _check_binary(targets)
    if (np.count_nonzero(targets, axis=1) != 1).any():
      raise ValueError('targets must be one-hot: one class in every row')
    return np.argmax(targets, axis=1), scores
  if targets.dtype.kind not in 'iu':
    raise ValueError(f'class ids must be integers, got {targets.dtype}')
  n_classes = scores.shape[1]
  wrong = targets[(targets < 0) | (targets >= n_classes)]
  if wrong.size:
    raise ValueError(f'class id {wrong[0]} is outside 0..{n_classes - 1}')
  return targets.astype(np.intp), scores


def _check_binary(targets) -> np.ndarray:
  """Returns the targets as bools."""
  if targets.dtype == bool:
    return targets
  present = targets == 1
  # A NaN counts as non-zero too.
  if np.count_nonzero(targets) != np.count_nonzero(present):
    raise ValueError('targets must be 0 or 1')
  return present


def _check_scores(scores) -> np.ndarray:
  scores = np.asarray(scores)
  if scores.ndim != 2 or not scores.size:
    raise ValueError(
      f'scores must be a non-empty (example, class), got {scores.shape}'
    )
  if scores.dtype not in (np.float16, np.float32, np.float64):
    raise ValueError(
      f'scores must be float16, float32 or float64, got {scores.dtype}'
    )
  # Exact, and few machines compare float16 natively.
  return scores.astype(np.float32) if scores.dtype == np.float16 else scores
