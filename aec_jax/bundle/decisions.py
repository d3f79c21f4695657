"""From probabilities to decisions: calibration and thresholds by class.

They are fitted to scored clips, which no model has trained on: out of fold, or
held out. A class with enough positives has a calibration of its own, a logistic
function of its log-odds (Platt scaling; J. Platt, 1999); the others share one.
Of a single label each class is decided by itself, too, so that a sound may be
none of them. Thresholds are of calibrated probabilities.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from aec_jax import bootstrap
from aec_jax.errors import UserError

# Wished precisions whose thresholds are kept.
PRECISIONS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
BEST = 'best F1'
# Positives, and negatives, from which on a class is calibrated by itself.
ENOUGH = 20
_RESAMPLES = 200
_FOLDS = 5  # of which each is calibrated by the others, to measure it
_BINS = 10
_PAIRS = 2_000_000  # of a clip and a class, which the shared one is fitted to
_TINY = 1e-6
# Beyond which nothing is fitted; what is made of it stays finite.
_LARGEST = 1e9
_MEASURES = ('precision', 'recall', 'F1')
# Of a point, each by class and with an interval.
COLUMNS = ('threshold', *_MEASURES)


def fit(targets: np.ndarray, probabilities: np.ndarray) -> dict | None:
  """Calibrates classes and chooses their thresholds.

  Args:
    targets: (clip, class) bool.
    probabilities: (clip, class), of models that haven't trained on the clips.

  Returns:
    For JSON: 'calibration' with 'slope', 'offset' and 'own' by class; 'clips';
    'ECE' and 'reliability', 'before' and 'after'; 'points', by name thresholds
    with what they gave, by class, each with a 95 % interval, None where there
    is no such threshold. None of all that where a probability is NaN.
  """
  probabilities = np.asarray(probabilities, np.float64)
  if np.isnan(probabilities).any():
    return None
  slope, offset, own = _calibration(targets, probabilities)
  after = _apply(slope, offset, probabilities)
  told = _told_by_others(targets, probabilities)
  return {
    'clips': len(targets),
    'calibration': {
      'slope': _short(slope), 'offset': _short(offset), 'own': own.tolist()
    },
    'ECE': {
      'before': round(ece(targets, probabilities), 5),
      'after': round(ece(targets, told), 5),
    },
    'reliability': {
      'before': _reliability(targets, probabilities),
      'after': _reliability(targets, told),
    },
    'points': _points(targets, after),
  }  # fmt: skip


def calibrated(found: Mapping, probabilities: np.ndarray) -> np.ndarray:
  """Probabilities (…, class) as the scored clips bear them out."""
  how = found['calibration']
  slope, offset = (np.asarray(how[x], np.float64) for x in ('slope', 'offset'))
  return _apply(slope, offset, probabilities)


def thresholds(found: Mapping, precision: float | None) -> np.ndarray:
  """(class,) of calibrated probabilities; NaN where a class is never decided.

  Args:
    found: of `fit`.
    precision: that is wished; None for the best F1.

  Raises:
    UserError: no thresholds are kept of that precision.
  """
  name = BEST if precision is None else f'{precision:g}'
  if name not in found['points']:
    known = ', '.join(k for k in found['points'] if k != BEST)
    raise UserError(f'--precision is {name}; the bundle has {known:.200}')
  return np.asarray(found['points'][name]['threshold'], np.float64)


def check(found: object, classes: int) -> None:
  """Raises `ValueError` for what `fit` never returns; None is well."""
  if found is None:
    return
  if not isinstance(found, dict):
    raise ValueError(f'decisions are {found!r:.80}')
  if BEST not in found['points']:
    raise ValueError(f'decisions lack {BEST}')
  for name in ('slope', 'offset'):
    _check_column(name, found['calibration'][name], classes)
  for name, point in found['points'].items():
    _check_column(name, point['threshold'], classes, lacking=True)


def _check_column(name, column, classes, lacking=False):
  """Raises `ValueError` unless it is a number of each class, or lacks some."""
  where = f'decisions: {name:.80}'
  if not isinstance(column, list) or len(column) != classes:
    raise ValueError(f'{where} is no list of {classes} numbers')
  for x in column:
    if x is None and lacking:
      continue
    # A bool is none; NaN is neither larger nor less.
    if type(x) not in (int, float) or not abs(x) <= _LARGEST:
      raise ValueError(f'{where} has {x!r:.80}, no number in bounds')


def ece(targets: np.ndarray, probabilities: np.ndarray) -> float:
  """Expected calibration error, the mean over the classes (class-wise).

  The mean distance of a bin's share of positives from its mean probability, by
  the number of its clips; ten bins of equal width.
  """
  errors = []
  for k in range(targets.shape[1]):
    bins = _reliability(targets[:, k : k + 1], probabilities[:, k : k + 1])
    gap = np.abs(np.array(bins['share']) - np.array(bins['probability']))
    errors.append(np.sum(gap * np.array(bins['count'])) / len(targets))
  return float(np.mean(errors))


def _reliability(targets, probabilities) -> dict[str, list]:
  """Of each bin that isn't empty the mean probability, the share of positives,
  and the pairs of a clip and a class in it.
  """
  bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1).ravel()
  count = np.bincount(bins, minlength=_BINS)
  there = count > 0
  sums = [
    np.bincount(bins, np.ravel(x).astype(float), _BINS)[there] / count[there]
    for x in (probabilities, targets)
  ]
  return {
    'probability': _short(sums[0]),
    'share': _short(sums[1]),
    'count': count[there].tolist(),
  }


def _told_by_others(targets, probabilities) -> np.ndarray:
  """Each clip calibrated by what was fitted to other clips."""
  fold = np.random.default_rng(0).permutation(len(targets)) % _FOLDS
  told = probabilities.copy()
  for i in range(min(_FOLDS, len(targets))):
    mine, others = fold == i, fold != i
    if others.any():
      slope, offset, _ = _calibration(targets[others], probabilities[others])
      told[mine] = _apply(slope, offset, probabilities[mine])
  return told


def _calibration(targets, probabilities):
  """Slopes, offsets, and whether they are a class's own: (class,) each."""
  odds = _log_odds(probabilities)
  step = -(-targets.size // _PAIRS)
  shared = _logistic(odds[::step].ravel(), targets[::step].ravel())
  shared = shared or (1.0, 0.0)
  positives = targets.sum(0)
  enough = np.minimum(positives, len(targets) - positives) >= ENOUGH
  found = [
    _logistic(odds[:, k], targets[:, k]) if enough[k] else None
    for k in range(targets.shape[1])
  ]
  slope, offset = np.array([pair or shared for pair in found]).T
  return slope, offset, np.array([pair is not None for pair in found])


def _logistic(odds, targets) -> tuple[float, float] | None:
  """(slope, offset) of the likeliest logistic function, by Newton's method.

  Targets are drawn in by a positive and a negative more, as Platt's are. None
  where the higher odds are not the likelier ones.
  """
  from scipy import special

  n = np.count_nonzero(targets)
  aims = np.where(targets, (n + 1) / (n + 2), 1 / (len(targets) - n + 2))
  x = np.stack([odds, np.ones(len(odds))])
  w = np.array([1.0, 0.0])
  for _ in range(50):
    p = special.expit(w @ x)
    hessian = (x * (p * (1 - p))) @ x.T + 1e-9 * np.eye(2)
    step = np.linalg.solve(hessian, x @ (p - aims))
    w = w - step * min(1.0, 2.0 / np.abs(step).max())  # never far at once
    if np.abs(step).max() < 1e-7:
      break
  return (float(w[0]), float(w[1])) if w[0] > 0 else None


def _log_odds(probabilities) -> np.ndarray:
  from scipy import special

  return special.logit(np.clip(probabilities, _TINY, 1 - _TINY))


def _apply(slope, offset, probabilities) -> np.ndarray:
  from scipy import special  # a fifth of a second, which plain tags do without

  return special.expit(slope * _log_odds(probabilities) + offset)


def _points(targets, probabilities) -> dict[str, dict]:
  """By name, columns of thresholds and what they give."""
  names = [BEST, *(f'{p:g}' for p in PRECISIONS)]
  drawn = bootstrap.weights(len(targets), _RESAMPLES)
  rows: dict[str, list] = {name: [] for name in names}
  for k in range(targets.shape[1]):
    of_class = _points_of(targets[:, k], probabilities[:, k], drawn)
    for name in names:
      rows[name].append(of_class.get(name))
  keys = [*COLUMNS, *(f'{key} interval' for key in COLUMNS)]
  return {
    name: {key: [row and row[key] for row in found] for key in keys}
    for name, found in rows.items()
  }


def _points_of(targets, scores, drawn) -> dict[str, dict]:
  """One class's thresholds, by name, those that there are."""
  if not targets.any():
    return {}
  once = np.ones((len(scores), 1), drawn.dtype)
  levels, _, *whole = bootstrap.ranked(targets, scores, once)
  _, _, *resampled = bootstrap.ranked(targets, scores, drawn)
  here, there = _measures(*whole), _measures(*resampled)
  told = _below(levels, scores)
  found = {}
  for name in (BEST, *(f'{p:g}' for p in PRECISIONS)):
    level = int(_chosen(name, here)[0])
    if level < 0:
      continue
    others = _chosen(name, there)
    point = {
      'threshold': float(told[level]),
      'threshold interval': _interval(told[others[others >= 0]]),
    }
    for key in _MEASURES:
      point[key] = round(float(here[key][level, 0]), 4)
      point[f'{key} interval'] = _interval(there[key][level])
    found[name] = point
  return found


def _measures(hits, above) -> dict[str, np.ndarray]:
  """Precision, recall and F1 at each level: (level, resample) each.

  NaN where a resample can't say: without positives, or of precision with
  nothing above a level.
  """
  with np.errstate(invalid='ignore', divide='ignore'):
    recall = hits / hits[-1]
    f1 = np.where(hits[-1] > 0, 2 * hits / (above + hits[-1]), np.nan)
    return dict(zip(_MEASURES, (hits / above, recall, f1), strict=True))


def _chosen(name, measures) -> np.ndarray:
  """(resample,) the level of the threshold, -1 where there is none."""
  if name == BEST:
    f1 = measures['F1']
    best = np.argmax(np.nan_to_num(f1, nan=-1), 0)
    return np.where(np.isnan(f1).all(0), -1, best)
  good = measures['precision'] >= float(name) - 1e-6
  last = len(good) - 1 - np.argmax(good[::-1], 0)  # of the highest recall
  return np.where(good.any(0), last, -1)


def _below(levels, scores) -> np.ndarray:
  """(level,) half way from each score to the next one below it."""
  ordered = np.unique(scores)
  lower = np.searchsorted(ordered, levels) - 1
  return np.where(lower < 0, levels, (levels + ordered[lower]) / 2)


def _interval(values) -> list[float] | None:
  """Of what resamples say, those that say something."""
  values = values[~np.isnan(values)]
  if not len(values):
    return None
  return _short(np.percentile(values, [2.5, 97.5]))


def _short(values: Sequence[float] | np.ndarray) -> list[float]:
  return [round(float(x), 5) for x in values]
