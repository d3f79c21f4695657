"""What a kind of label means: its loss, its probabilities, its scores.

`multi_label`: any number of classes in a clip, each decided by itself, as in
AudioSet (thesis §5.1). `single_label`: one class a clip, as in FSDKaggle2018
(§5.2). A loss or a score is added here and nowhere else.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from aec_jax import bootstrap, metrics

_TINY = 1e-7  # the least probability whose logarithm is taken


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
  """Clips with their labels and what was predicted; scores share its parts.

  Attributes:
    targets: (clip, class) bool.
    values: (clip, class) float, what `Objective.values` makes of logits,
      averaged over pieces and members.
  """

  targets: np.ndarray
  values: np.ndarray

  @functools.cached_property
  def ap_and_auc(self) -> tuple[np.ndarray, np.ndarray]:
    return metrics.ap_and_auc(self.targets, self.values)

  @functools.cached_property
  def auc_interval(self) -> list[float]:
    return bootstrap.auc_interval(self.targets, self.values)

  def ranks(self, k: int) -> np.ndarray:
    """(clip,) reciprocal ranks of the one label among k guesses."""
    return metrics.reciprocal_rank(self.targets, self.values, k)


@dataclasses.dataclass(frozen=True)
class Metric:
  """A score of which more is better.

  Attributes:
    value: of the scored clips.
    chance: what a guess gets that knows the classes' shares (class,),
      descending, but does not listen.
    interval: its 95 % interval, [low, high]; None where none is computed.
    by_class: (class,) values of which `value` is the mean, and their name.
  """

  value: Callable[[Scored], float]
  chance: Callable[[np.ndarray], float]
  interval: Callable[[Scored], list[float]] | None = None
  by_class: tuple[str, Callable[[Scored], np.ndarray]] | None = None


@dataclasses.dataclass(frozen=True)
class Objective:
  """A kind of label.

  Attributes:
    name: its key in `OBJECTIVES`.
    loss: of logits and targets (example, class), to (example,).
    values: of logits (…, class), to what means over pieces and members are
      taken of: probabilities, or log-probabilities for a geometric mean.
    to_probabilities: of such means; from_probabilities: the other way round.
    metrics: by name; the first is the main one.
  """

  name: str
  loss: Callable[[jax.Array, jax.Array], jax.Array]
  values: Callable[[jax.Array], jax.Array]
  to_probabilities: Callable
  from_probabilities: Callable
  metrics: Mapping[str, Metric]

  @property
  def single(self) -> bool:
    return self.name == 'single_label'

  @property
  def main(self) -> str:
    return next(iter(self.metrics))

  def scores(self, targets: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """All scores of clips; NaN where a value is.

    Args:
      targets: (clip, class) bool.
      values: (clip, class).
    """
    if np.isnan(values).any():
      return dict.fromkeys(self.metrics, float('nan'))
    scored = Scored(targets, values)
    return {name: m.value(scored) for name, m in self.metrics.items()}

  def intervals(self, targets, values) -> dict[str, list[float]]:
    """95 % intervals, [low, high], of the scores that have one."""
    scored = Scored(targets, values)
    return {
      name: m.interval(scored) for name, m in self.metrics.items() if m.interval
    }

  def per_class(self, targets, values) -> dict[str, np.ndarray]:
    """{'AP': (class,), …}, NaN where a class has none."""
    scored = Scored(targets, values)
    columns = [m.by_class for m in self.metrics.values() if m.by_class]
    return {name: of(scored) for name, of in columns}

  def example_means(self, logits, offsets: np.ndarray) -> np.ndarray:
    """Values of clips whose examples' probabilities are averaged.

    Args:
      logits: (example, class).
      offsets: (clip + 1,) of the examples.

    Returns:
      (clip, class).
    """
    found = np.asarray(self.to_probabilities(self.values(logits)))
    sums = np.add.reduceat(found, offsets[:-1])
    means = sums / np.diff(offsets)[:, None]
    return np.asarray(self.from_probabilities(means))

  def chance(self, metric: str, shares: np.ndarray) -> float:
    """What a guess gets that doesn't listen; see `Metric.chance`."""
    return self.metrics[metric].chance(np.sort(np.asarray(shares, float))[::-1])


def _mean(values: np.ndarray) -> float:
  """Of what is not NaN; NaN, without a warning, where nothing is."""
  values = values[~np.isnan(values)]
  return float(values.mean()) if values.size else float('nan')


def _clip_mean(of_clips: Callable[[Scored], np.ndarray]) -> dict:
  """The value and the interval of a mean over clips."""
  return {
    'value': lambda s: float(np.mean(of_clips(s))),
    'interval': lambda s: bootstrap.mean_interval(of_clips(s)),
  }


def _log_likelihood_mean(of_clips: Callable[[Scored], np.ndarray]) -> dict:
  """As `_clip_mean`, of what is at most 0."""
  return {
    'value': lambda s: float(np.mean(of_clips(s))),
    'interval': lambda s: bootstrap.ratio_interval(
      of_clips(s), np.ones(len(s.targets)), (-np.inf, 0.0)
    ),
  }


def _by_rank(k: int) -> Callable[[np.ndarray], float]:
  """Chance of a mean reciprocal rank among k guesses."""
  return lambda shares: float(
    np.sum(shares[:k] / (1 + np.arange(len(shares[:k]))))
  )


def _categorical_log_likelihood(scored: Scored) -> np.ndarray:
  """(clip,), of the label. A geometric mean is first made to add up to one."""
  from scipy import special  # which tagging does without

  whole = special.logsumexp(scored.values, 1)
  return scored.values[scored.targets] - whole


def _binary_log_likelihood(scored: Scored) -> np.ndarray:
  """(clip,) means over the classes."""
  p = np.clip(np.asarray(scored.values, np.float64), _TINY, 1 - _TINY)
  return np.mean(np.where(scored.targets, np.log(p), np.log1p(-p)), 1)


def _binary_chance(shares) -> float:
  p = np.clip(shares, _TINY, 1 - _TINY)
  return float(np.mean(shares * np.log(p) + (1 - shares) * np.log1p(-p)))


def _ranking_chance(shares) -> float:
  """Of a guess that has the classes in order, were they independent."""
  ahead = np.cumsum(shares) - shares  # a clip's labels of commoner classes
  precision = (1 + ahead) / (1 + np.arange(len(shares)))
  return float(np.sum(shares * precision) / max(np.sum(shares), _TINY))


_MULTI_LABEL = {
  'mAP': Metric(
    value=lambda s: _mean(s.ap_and_auc[0]),
    chance=lambda shares: float(shares.mean()),
    interval=lambda s: bootstrap.map_interval(s.targets, s.values),
    by_class=('AP', lambda s: s.ap_and_auc[0]),
  ),
  'AUC': Metric(
    value=lambda s: _mean(s.ap_and_auc[1]),
    chance=lambda shares: 0.5,
    interval=lambda s: s.auc_interval,
    by_class=('AUC', lambda s: s.ap_and_auc[1]),
  ),
  'd_prime': Metric(
    value=lambda s: float(metrics.d_prime(_mean(s.ap_and_auc[1]))),
    chance=lambda shares: 0.0,
    interval=lambda s: metrics.d_prime(s.auc_interval).tolist(),
  ),
  'lwlrap': Metric(
    value=lambda s: metrics.lwlrap(s.targets, s.values),
    chance=_ranking_chance,
    interval=lambda s: bootstrap.ratio_interval(
      *metrics.label_precisions(s.targets, s.values)
    ),
  ),
  'log_likelihood': Metric(
    **_log_likelihood_mean(_binary_log_likelihood), chance=_binary_chance
  ),
}

_SINGLE_LABEL = {
  'MAP@3': Metric(
    **_clip_mean(lambda s: s.ranks(3)),
    chance=_by_rank(3),
    by_class=('AP@3', lambda s: metrics.ap_at_k(s.targets, s.values, 3)),
  ),
  'accuracy': Metric(**_clip_mean(lambda s: s.ranks(1)), chance=_by_rank(1)),
  'log_likelihood': Metric(
    **_log_likelihood_mean(_categorical_log_likelihood),
    chance=lambda shares: float(
      np.sum(shares * np.log(np.maximum(shares, 1e-30)))
    ),
  ),
}


def _binary_cross_entropy(logits, targets) -> jax.Array:
  import optax  # which prediction does without

  return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, targets), -1)


def _cross_entropy(logits, targets) -> jax.Array:
  import optax

  return optax.softmax_cross_entropy(logits, targets)


OBJECTIVES = {
  'multi_label': Objective(
    'multi_label',
    loss=_binary_cross_entropy,
    values=jax.nn.sigmoid,
    to_probabilities=lambda values: values,
    from_probabilities=lambda p: p,
    metrics=_MULTI_LABEL,
  ),
  'single_label': Objective(
    'single_label',
    loss=_cross_entropy,
    values=jax.nn.log_softmax,
    to_probabilities=jax.nn.softmax,
    from_probabilities=jnp.log,
    metrics=_SINGLE_LABEL,
  ),
}
