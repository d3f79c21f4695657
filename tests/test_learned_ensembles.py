"""Weights of models and stacking, beside the mean."""

import types

import finished_runs
import numpy as np
import pytest
from scipy.special import expit, log_softmax
from sklearn import linear_model

from aec_jax import evaluate, learned_ensembles
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.parts import Part, by_model, combine

CLIPS, CLASSES = 240, 4
NOTHING = np.zeros(0, int)


def clips(name, noise=(1.0, 1.0, 1.0), seed=0, count=CLIPS):
  """Targets, and what models of so much noise say of them."""
  rng = np.random.default_rng(seed)
  objective = OBJECTIVES[name]
  targets = rng.random((count, CLASSES)) < 0.3
  if objective.single:
    targets = np.eye(CLASSES, dtype=bool)[rng.integers(CLASSES, size=count)]
  logits = np.stack(
    [2.0 * targets - 1 + s * rng.normal(size=targets.shape) for s in noise]
  )
  values = log_softmax(logits, -1) if objective.single else expit(logits)
  return objective, targets, values


def log_loss(objective, targets, told):
  """Written out."""
  if objective.single:
    return -np.mean(log_softmax(told, 1)[targets])
  return -np.mean(np.where(targets, np.log(told), np.log(1 - told)))


@pytest.mark.parametrize('name', OBJECTIVES)
def test_weights_have_the_least_log_loss_of_all(name):
  objective, targets, values = clips(name, (0.5, 1.0, 1.5))
  found = learned_ensembles.weights(objective, targets, values)
  assert found.min() >= 0
  assert found.sum() == pytest.approx(1)
  least = log_loss(objective, targets, np.tensordot(found, values, 1))
  grid = np.random.default_rng(1).dirichlet(np.ones(3), 400)
  for w in [*grid, *np.eye(3), found + np.array([0.01, -0.01, 0])]:
    one = log_loss(objective, targets, np.tensordot(w, values, 1))
    assert one >= least - 1e-7


@pytest.mark.parametrize('name', OBJECTIVES)
def test_a_useless_model_gets_no_weight(name):
  objective, targets, values = clips(name, (0.7, 0.7))
  guess = np.random.default_rng(2).normal(size=targets.shape)
  useless = log_softmax(guess, 1) if objective.single else expit(guess)
  found = learned_ensembles.weights(
    objective, targets, np.append(values, useless[None], 0)
  )
  assert found[2] < 0.02
  assert found[:2].min() > 0.3


@pytest.mark.parametrize('name', OBJECTIVES)
def test_models_that_say_the_same_change_nothing(name):
  objective, targets, values = clips(name, (1.0,))
  values = np.repeat(values, 3, 0)
  fold = learned_ensembles.drawn_folds(len(targets))
  told = learned_ensembles.across(objective, targets, values, fold)
  for way in ('mean', 'weights'):
    np.testing.assert_allclose(told[way], values[0], rtol=1e-6)
  found = learned_ensembles.report(objective, targets, told)
  assert found['weights']['gain'] == pytest.approx(0)
  assert found['weights']['gain interval'] == pytest.approx([0, 0])


def test_stacking_is_the_logistic_regression_of_others():
  """A class of several labels, towards 0 in the place of the mean."""
  _, targets, values = clips('multi_label')
  odds = np.log(values / (1 - values))
  features = np.append(odds, np.ones((1, *targets.shape)), 0)
  for k in range(CLASSES):
    theirs = linear_model.LogisticRegression(
      C=0.5, fit_intercept=False, tol=1e-8
    ).fit(features[:, :, k].T, targets[:, k])
    mine = learned_ensembles.logistic_regression(
      targets[:, k], features[:, :, k], np.zeros(4), 2.0
    )
    np.testing.assert_allclose(mine, theirs.coef_[0], atol=1e-4)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_stacking_has_the_least_loss_and_ridge(name):
  objective, targets, values = clips(name)

  def total(slopes, offsets):
    x = values if objective.single else np.log(values / (1 - values))
    scores = (slopes[:, None] * x).sum(0) + offsets
    told = scores if objective.single else expit(scores)
    loss = log_loss(objective, targets, told)
    loss *= len(targets) if objective.single else targets.size
    return loss + (np.sum((slopes - 1 / 3) ** 2) + np.sum(offsets**2)) / 2

  slopes, offsets = learned_ensembles.stacking(objective, targets, values)
  least = total(slopes, offsets)
  assert least < total(np.full((3, CLASSES), 1 / 3), np.zeros(CLASSES))
  rng = np.random.default_rng(3)
  for _ in range(100):
    moved = slopes + 0.01 * rng.normal(size=slopes.shape)
    assert total(moved, offsets + 0.01 * rng.normal(size=CLASSES)) > least
  # A ridge without end leaves the mean.
  slopes, offsets = learned_ensembles.stacking(
    objective, targets, values, ridge=1e9
  )
  np.testing.assert_allclose(slopes, 1 / 3, atol=1e-4)
  np.testing.assert_allclose(offsets, 0, atol=1e-4)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_what_is_learned_has_not_seen_the_fold(name):
  """Other labels of a fold change nothing of what its clips are told."""
  objective, targets, values = clips(name)
  fold = np.arange(CLIPS) % 3
  mine = fold == 1
  told = learned_ensembles.across(objective, targets, values, fold)
  targets[mine] = np.roll(targets[mine], 1, 1)
  again = learned_ensembles.across(objective, targets, values, fold)
  for way, found in told.items():
    np.testing.assert_array_equal(again[way][mine], found[mine])
  assert (again['stacking'][~mine] != told['stacking'][~mine]).any()


def test_noise_does_not_pay():
  """Of models as good as one another a gain's interval holds 0."""
  objective, targets, values = clips('multi_label', seed=4)
  fold = learned_ensembles.drawn_folds(CLIPS)
  told = learned_ensembles.across(objective, targets, values, fold)
  low, high = learned_ensembles.report(objective, targets, told)['weights'][
    'gain interval'
  ]
  assert low < 0 < high


def experiment(name, scored_on):
  """A config, a source, and what two extractors' members say, in three folds:
  the second extractor knows nothing.
  """
  _, targets, values = clips(name, (0.7, 8.0))
  labels = Labels(
    np.nonzero(targets)[1].astype(np.int16),
    np.append(0, np.cumsum(targets.sum(1))),
    CLASSES,
  )
  config = types.SimpleNamespace(objective=name, segments=(6,))
  source = types.SimpleNamespace(
    scored_on=scored_on, ids=np.arange(CLIPS), labels=labels
  )
  members, found = [], []
  for i, extractor in enumerate(('balanced_first', 'original')):
    for fold in range(3):
      scored = np.flatnonzero(np.arange(CLIPS) % 3 == fold)
      members.append(Member(f'{extractor}/{fold}', i, NOTHING, NOTHING, scored))
      found.append(values[i, scored])
  return config, source, Part(members, found)


def test_extractors_are_weighed_out_of_fold():
  config, source, part = experiment('single_label', 'out-of-fold')
  found = learned_ensembles.found(config, source, [part], [part])
  about = found['learned_ensembles']
  assert about['fitted_to'] == 'other folds'
  assert about['clips'] == CLIPS
  of = about['weights']['of']
  assert list(of) == ['balanced_first', 'original']
  assert of['original'] < 0.05
  assert about['weights']['gain interval'][0] > 0
  objective = OBJECTIVES['single_label']
  targets = source.labels.multi_hot()
  plain = objective.scores(targets, combine(CLIPS, [part]))
  assert about['mean']['scores']['MAP@3'] == pytest.approx(plain['MAP@3'])


def test_a_model_that_lacks_a_fold_is_left_out():
  config, source, part = experiment('single_label', 'out-of-fold')
  some = part.only([True] * 5 + [False])
  assert learned_ensembles.found(config, source, [some], [some]) == {}
  assert learned_ensembles.found(config, source, [part], [])  # needs it not


def test_test_clips_are_scored_by_what_was_fitted_to_others():
  config, source, part = experiment('multi_label', 'test')
  tests = [
    Member(m.name, m.extractor, NOTHING, NOTHING, np.arange(100, 180))
    for m in part.members
  ]
  values = by_model([6], CLIPS, [part])
  scored = Part(tests, [values[m.name[:-2]][100:180] for m in tests])
  assert not learned_ensembles.found(config, source, [scored], [])
  # Clips that are scored are no clips to fit to.
  assert not learned_ensembles.found(config, source, [scored], [scored])
  assert not learned_ensembles.found(config, source, [scored], [part])
  rest = [np.setdiff1d(m.scored, tests[0].scored) for m in part.members]
  unseen = Part(
    [
      Member(m.name, m.extractor, NOTHING, NOTHING, clips)
      for m, clips in zip(part.members, rest, strict=True)
    ],
    [
      values[m.name[:-2]][clips]
      for m, clips in zip(part.members, rest, strict=True)
    ],
  )
  found = learned_ensembles.found(config, source, [scored], [unseen])
  about = found['learned_ensembles']
  assert about['fitted_to'] == 'left out of training'
  assert about['clips'] == CLIPS - 80
  assert about['weights']['of']['original'] < 0.05


def test_lengths_are_models_too():
  _, _, part = experiment('single_label', 'out-of-fold')
  found = by_model([1, 0], CLIPS, [part, part])
  assert list(found) == [
    'balanced_first, 1 segments', 'original, 1 segments',
    'balanced_first, whole clips', 'original, whole clips',
  ]  # fmt: skip
  np.testing.assert_allclose(
    np.mean([*found.values()], 0), combine(CLIPS, [part, part])
  )


@pytest.mark.parametrize('make', ['audioset_run', 'dcase_run'])
def test_finished_experiments_are_weighed(make, tmp_path, capsys):
  folders = [str(tmp_path / name) for name in 'ab']
  for seed, folder in enumerate(folders):
    getattr(finished_runs, make)(tmp_path / folder, seed=seed)
  assert evaluate.main(['--learned', *folders]) == 0
  out = capsys.readouterr().out
  rows = [line for line in out.splitlines() if line.startswith('learned')]
  assert 'mean of 2' in out
  assert len(rows) == 1 and f'  {folders[0]}' in out
  assert ('geometric mean' in out) == (make == 'dcase_run')
  with pytest.raises(UserError, match='two finished experiments'):
    evaluate.main(['--learned', folders[0]])
