"""Ensembles that are learned: weights of the models, and stacking.

They stand beside the plain mean, which scores and bundles are of. What they are
fitted to, no model has trained on, and what they are scored on, they have not
seen.

- Weights are not negative and sum to one; the mean that they weigh is the
  objective's: of log-probabilities where clips have one label, of probabilities
  where they have several.
- Stacking (D. Wolpert, 1992) is a logistic regression on what the models say: a
  class's score is a sum of its own log-probabilities or log-odds by each model
  (StackingC; A. Seewald, 2002), times a slope of each model and class, plus an
  offset. Softmax, or each class by itself, makes probabilities of the scores.

Both minimise the log loss. A ridge draws stacking towards the plain mean:
slopes that are all alike, and no offsets.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, logit

from aec_jax import bootstrap
from aec_jax.input.folds import fold_of_name
from aec_jax.objective import OBJECTIVES, Objective, Scored
from aec_jax.parts import Part, by_model

RIDGE = 1.0  # half the squared deviations, beside the sum of the clips' losses
FOLDS = 5  # that `drawn_folds` draws
_TINY = 1e-7  # the least probability whose log-odds are taken, as `objective`
_LOG_TINY = -69.0  # and logarithm: of 1e-30


class Learned(NamedTuple):
  """What was fitted.

  Attributes:
    weights: (model,).
    slopes: (model, class) of stacking.
    offsets: (class,) of stacking.
  """

  weights: np.ndarray
  slopes: np.ndarray
  offsets: np.ndarray


def found(
  config, source, parts: Sequence[Part], unseen: Sequence[Part]
) -> dict[str, dict]:
  """What results.json says of an experiment's extractors and lengths.

  Clips that are scored out of fold are each told by what was fitted to the
  other folds'. Other scored clips are told by what was fitted to those that the
  classifiers' training left out; extractors may have seen these.

  Args:
    config, source: of the experiment.
    parts: what members say of the scored clips.
    unseen: the same of clips with labels that their training left out.

  Returns:
    {} where there are not several models, or no clips to fit to. A model that
    lacks a scored clip, as it has diverged in a fold, is left out.
  """
  objective = OBJECTIVES[config.objective]
  scored, models = _told_of(config, source, parts)
  whole = {n: v for n, v in models.items() if not np.isnan(v).any()}
  if len(whole) < 2:
    return {}
  targets, values = _targets(source, scored), np.stack([*whole.values()])
  if source.scored_on == 'out-of-fold':
    fold = _folds(len(source.ids), parts)[scored]
    if len(np.unique(fold)) < 2:
      return {}
    clips, learned = scored, fit(objective, targets, values)
    told = across(objective, targets, values, fold)
  else:
    clips, others = _told_of(config, source, unseen)
    if not len(clips):
      return {}
    seen = np.stack([others[name] for name in whole])
    there = ~np.isnan(seen).any((0, 2))
    clips, seen = clips[there], seen[:, there]
    if not len(clips) or np.isin(clips, scored).any():
      return {}
    learned = fit(objective, _targets(source, clips), seen)
    told = tell(objective, learned, values)
  ways = report(objective, targets, told)
  ways['weights']['of'] = {
    name: round(float(w), 4)
    for name, w in zip(whole, learned.weights, strict=True)
  }
  how = 'other folds' if clips is scored else 'left out of training'
  about = {'fitted_to': how, 'clips': len(clips), **ways}
  return {'learned_ensembles': about}


def _told_of(config, source, parts) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """The clips that some member scores, and what each model says of them."""
  if not parts:
    return np.zeros(0, int), {}
  clips = np.unique(np.concatenate([part.clips for part in parts]))
  found = by_model(config.segments, len(source.ids), parts)
  return clips, {name: values[clips] for name, values in found.items()}


def _targets(source, clips) -> np.ndarray:
  return source.labels.select(clips).multi_hot()


def _folds(clips: int, parts: Sequence[Part]) -> np.ndarray:
  """(clip,) the fold whose members score it."""
  out = np.full(clips, -1)
  for member in parts[0].members:
    out[member.scored] = int(fold_of_name(member.name))
  return out


def fit(
  objective: Objective, targets: np.ndarray, values: np.ndarray
) -> Learned:
  """Learns both of clips that the models have not trained on.

  Args:
    objective: what labels mean.
    targets: (clip, class) bool.
    values: (model, clip, class), as of `Objective.values`; no NaN.
  """
  slopes, offsets = stacking(objective, targets, values)
  return Learned(weights(objective, targets, values), slopes, offsets)


def tell(
  objective: Objective, learned: Learned, values: np.ndarray
) -> dict[str, np.ndarray]:
  """Of 'mean', 'weights' and 'stacking' (clip, class) values of the objective.

  Log-probabilities are those of probabilities that sum to one.
  """
  models = len(values)
  scores = np.einsum('mk,mnk->nk', learned.slopes, _features(objective, values))
  scores += learned.offsets
  return {
    'mean': _weighted(objective, np.full(models, 1 / models), values),
    'weights': _weighted(objective, learned.weights, values),
    'stacking': log_softmax(scores, 1) if objective.single else expit(scores),
  }


def across(
  objective: Objective, targets, values, fold: np.ndarray
) -> dict[str, np.ndarray]:
  """As `tell`, each clip by what was fitted to the clips of other folds.

  What models of the other folds say of theirs may come of training on this
  clip, as is usual in stacking: what is fitted never has its label.

  Args:
    objective, targets, values: as of `fit`.
    fold: (clip,); there are at least two.
  """
  out: dict[str, np.ndarray] = {}
  for one in np.unique(fold):
    mine = fold == one
    learned = fit(objective, targets[~mine], values[:, ~mine])
    for name, found in tell(objective, learned, values[:, mine]).items():
      out.setdefault(name, np.zeros(targets.shape))[mine] = found
  return out


def drawn_folds(clips: int) -> np.ndarray:
  """(clip,) one of `FOLDS`; the same for as many clips."""
  return np.random.default_rng(0).permutation(clips) % FOLDS


def report(
  objective: Objective, targets, told: Mapping[str, np.ndarray]
) -> dict[str, dict]:
  """What results.json says of 'mean', 'weights' and 'stacking'.

  Returns:
    By name 'scores'; of the learned ones also 'gain', how much better the main
    score is than the mean's, and 'gain interval', the 95 % interval of that
    over the scored clips: paired, as both score the same.
  """
  scores = {name: objective.scores(targets, v) for name, v in told.items()}
  out: dict[str, dict] = {name: {'scores': s} for name, s in scores.items()}
  main = objective.main
  for name in ('weights', 'stacking'):
    out[name]['gain'] = scores[name][main] - scores['mean'][main]
    out[name]['gain interval'] = _gain_interval(
      objective, targets, told[name], told['mean']
    )
  return out


def _gain_interval(objective, targets, values, than) -> list[float]:
  if not objective.single:
    return bootstrap.map_gain_interval(targets, values, than)
  ranks = [Scored(targets, v).ranks(3) for v in (values, than)]
  gains = ranks[0] - ranks[1]
  return bootstrap.ratio_interval(gains, np.ones(len(gains)), (-1.0, 1.0))


def weights(objective: Objective, targets, values) -> np.ndarray:
  """(model,) the likeliest weights; arguments as of `fit`.

  The log loss is convex in them: of log-probabilities a log-sum-exp less a
  linear function, of probabilities logarithms of linear functions.
  """
  from scipy import optimize  # which training begins without

  models = len(values)
  values = _floored(objective, values)
  if not objective.single:
    values = np.clip(values, _TINY, 1 - _TINY)
  loss = _single_loss if objective.single else _multi_loss
  found = optimize.minimize(
    loss, np.full(models, 1 / models), (targets, values), 'SLSQP', jac=True,
    bounds=[(0, 1)] * models, options={'ftol': 1e-9, 'maxiter': 300},
    constraints={
      'type': 'eq',
      'fun': lambda w: w.sum() - 1,
      'jac': lambda w: np.ones(models),
    },
  )  # fmt: skip
  w = np.maximum(found.x, 0)
  return w / w.sum()


def _single_loss(w, targets, values):
  """The mean log loss of weighted log-probabilities, and its gradient."""
  log_p = log_softmax(np.tensordot(w, values, 1), 1)
  moves = (np.exp(log_p) - targets) / len(targets)
  return -np.mean(log_p[targets]), np.tensordot(values, moves, 2)


def _multi_loss(w, targets, values):
  """The mean log loss of weighted probabilities, and its gradient."""
  p = np.tensordot(w, values, 1)
  loss = -np.mean(np.where(targets, np.log(p), np.log1p(-p)))
  moves = np.where(targets, -1 / p, 1 / (1 - p)) / targets.size
  return loss, np.tensordot(values, moves, 2)


def stacking(
  objective: Objective, targets, values, ridge: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
  """The likeliest slopes (model, class) and offsets (class,).

  Args:
    objective, targets, values: as of `fit`.
    ridge: times half the squared deviations from the plain mean.
  """
  models, clips, classes = values.shape
  x = np.append(_features(objective, values), np.ones((1, clips, classes)), 0)
  centre = np.append(np.full((models, classes), 1 / models), [[0] * classes], 0)
  if objective.single:
    found = softmax_regression(targets, x, centre, ridge)
  else:  # classes are independent
    found = np.stack(
      [
        logistic_regression(
          targets[:, k], np.ascontiguousarray(x[:, :, k]), centre[:, k], ridge
        )
        for k in range(classes)
      ],
      1,
    )
  return found[:-1], found[-1]


def softmax_regression(targets, x, centre, ridge) -> np.ndarray:
  """(feature, class) of the least log loss and ridge, of one label a clip.

  Args:
    targets: (clip, class).
    x: (feature, clip, class).
    centre: (feature, class), what the ridge draws to.
    ridge: times half the squared distance from there.
  """

  from scipy import optimize

  def loss(flat):
    theta = flat.reshape(centre.shape)
    log_p = log_softmax(np.einsum('fk,fnk->nk', theta, x), 1)
    away = theta - centre
    gradient = np.einsum('fnk,nk->fk', x, np.exp(log_p) - targets)
    total = -np.sum(log_p[targets]) + ridge * np.sum(away**2) / 2
    return total, (gradient + ridge * away).ravel()

  found = optimize.minimize(
    loss, centre.ravel(), method='L-BFGS-B', jac=True,
    options={'maxiter': 1000, 'maxfun': 2000, 'gtol': 1e-5},
  )  # fmt: skip
  return found.x.reshape(centre.shape)


def logistic_regression(targets, x, centre, ridge) -> np.ndarray:
  """The same of a class by itself: (feature,).

  Args:
    targets: (clip,).
    x: (feature, clip); few features, so that second derivatives are cheap, and
      with them a tenth of the steps do.
    centre: (feature,).
    ridge: as of `softmax_regression`.
  """

  from scipy import optimize

  def loss(theta):
    scores, away = theta @ x, theta - centre
    total = np.sum(np.logaddexp(0, scores)) - np.sum(scores[targets])
    gradient = x @ (expit(scores) - targets) + ridge * away
    return total + ridge * np.sum(away**2) / 2, gradient

  def curvature(theta):
    p = expit(theta @ x)
    return (x * (p * (1 - p))) @ x.T + ridge * np.eye(len(x))

  found = optimize.minimize(
    loss, centre, method='trust-exact', jac=True, hess=curvature,
    options={'gtol': 1e-4},
  )  # fmt: skip
  return found.x


def _weighted(objective, w, values) -> np.ndarray:
  mean = np.tensordot(w, _floored(objective, values), 1)
  return log_softmax(mean, 1) if objective.single else mean


def _floored(objective, values) -> np.ndarray:
  """Values whose sums are finite."""
  values = np.asarray(values, np.float64)
  return np.maximum(values, _LOG_TINY) if objective.single else values


def _features(objective, values) -> np.ndarray:
  """What stacking takes: log-probabilities, or log-odds."""
  values = _floored(objective, values)
  if objective.single:
    return values
  return logit(np.clip(values, _TINY, 1 - _TINY))
