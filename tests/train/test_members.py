"""Classifiers trained in one run: each as if alone, each with its own stop."""

import dataclasses

import dcase_data
import jax
import numpy as np
import pytest
from train_data import (
  IDS,
  LABELS,
  classifiers,
  cut_off,
  features,
  fit,
  members,
  released,
  released_config,
  released_features,
)

from aec_jax import models
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.input import batches, pieces
from aec_jax.input.folds import Member
from aec_jax.objective import OBJECTIVES
from aec_jax.train.classifiers import Classifiers, standing
from aec_jax.train.piece_steps import over_members
from aec_jax.train.step import mean_loss

# Adam makes steps of any gradient's noise, as of a bias before a softmax.
STEADY = {'optimizer.name': 'momentum', 'optimizer.learning_rate': 0.05}


@pytest.fixture(scope='module')
def together(tmp_path_factory):
  system = classifiers(dcase_data.tiny_config(**STEADY))
  return system, *fit(system, tmp_path_factory.mktemp('together'))


def test_members_trained_together_are_those_trained_alone(together, tmp_path):
  """One alone is not vmapped."""
  system, state, history = together
  config = dcase_data.tiny_config(seed=system.settings.seed + 2, **STEADY)
  alone = classifiers(config, some=members()[2:])
  single, of_single = fit(alone, tmp_path)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[2:], b, rtol=2e-4, atol=1e-5),
    state.members.params,
    single.members.params,
  )
  for a, b in zip(history.evaluations, of_single.evaluations, strict=True):
    for name in system.objective.metrics:
      np.testing.assert_allclose(
        a['members'][name][2], b['members'][name][0], atol=1e-4
      )


def test_one_member_needs_no_vmap():
  x = {'w': np.arange(6.0).reshape(1, 2, 3)}
  y = np.float32(2)
  function = lambda x, y: (x['w'] * y, x['w'].sum())
  found = over_members(function, (0, None), 1)(x, y)
  expected = jax.vmap(function, (0, None))(x, y)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_members_differ(together):
  _, state, _ = together
  kernel = np.asarray(state.members.params['hidden1']['dense']['kernel'])
  assert not np.allclose(kernel[0], kernel[1], atol=1e-3)
  assert not np.allclose(kernel[1], kernel[2], atol=1e-3)


def test_the_best_of_each_is_what_scored_best(together):
  system, state, history = together
  best = system.standing(history).best
  clips = [member.validation for member in system.members]
  found = system.clip_values(state.best, clips)
  for m, values in enumerate(found):
    targets = Labels.of_one(LABELS[clips[m]], 3).multi_hot()
    scores = system.objective.scores(targets, values)
    np.testing.assert_allclose(scores['MAP@3'], best[m], atol=1e-6)


def test_a_run_cut_off_ends_with_the_same_bits(together, tmp_path):
  system, state, history = together
  cut_off(system, tmp_path, 3)
  resumed, again = fit(system, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, resumed, state)
  assert again.evaluations == history.evaluations


def test_early_stops_are_each_member_s_own():
  config = dcase_data.tiny_config(patience=2)
  scores = [[0.1, 0.5], [0.3, 0.4], [0.2, 0.4], [0.3, 0.9], [0.9, 0.9]]
  evaluations = [
    {'step': 10 * i, 'members': {'MAP@3': row}}
    for i, row in enumerate(scores, 1)
  ]
  found = standing(evaluations[:3], config, 2)
  assert found.stopped.tolist() == [False, True]
  found = standing(evaluations, config, 2)
  # What comes after a stop is not looked at.
  assert found.stopped.tolist() == [True, True]
  assert found.best.tolist() == [0.3, 0.5]
  assert found.at.tolist() == [20, 10]
  assert standing([], config, 2).best.tolist() == [-np.inf] * 2


def test_of_the_last_step_no_score_chooses():
  config = dcase_data.tiny_config(patience=2, keep='last')
  scores = [[0.3, 0.5], [0.2, 0.4], [0.1, None]]
  evaluations = [
    {'step': 10 * i, 'members': {'MAP@3': row}}
    for i, row in enumerate(scores, 1)
  ]
  found = standing(evaluations, config, 2)
  assert not found.stopped.any()
  # None: the second has diverged.
  assert found.best.tolist() == [0.1, 0.4]
  assert found.at.tolist() == [30, 20]


def test_an_lstm_does_not_hear_what_follows_a_clip():
  config = dcase_data.tiny_config(
    'dcase_lstm', **{'model.hidden': (8,), 'segments': (0,)}
  )
  objective = OBJECTIVES[config.objective]
  whole = features(0)
  system = Classifiers(config, objective, whole, members())
  variables = system.create_state().best
  clips = [np.arange(12)] * 3
  expected = system.clip_values(variables, clips)
  # Padding points at a segment that is not a number.
  x = np.concatenate([whole.embeddings, np.full((2, 1, 16), np.nan)], 1)
  cut = whole.pieces
  segments = cut.segments.copy()
  after = np.arange(segments.shape[1]) >= cut.n_segments[:, None]
  segments[after] = x.shape[1] - 1
  cut = pieces.Pieces(segments, cut.n_segments, cut.clips, cut.own)
  spoilt = batches.Features(x.astype(np.float32), cut, IDS, whole.labels)
  found = Classifiers(config, objective, spoilt, members()).clip_values(
    variables, clips
  )
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('sampling', ['balanced', 'unbalanced'])
def test_who_is_only_scored_needs_nothing_to_train_on(sampling, monkeypatch):
  monkeypatch.setattr(models.classifiers, '_KEPT', 2)
  config = dcase_data.tiny_config(
    'dcase_lstm', **{'model.hidden': (8,), 'segments': (0,)}, sampling=sampling
  )
  nothing, scored = np.zeros(0, int), np.arange(12)
  member = Member('0', 0, nothing, nothing, scored)
  system = classifiers(config, 0, [member])
  # Steps would be cut by lengths.
  assert system.model.starts(system.features.example_shape[0])


def test_members_draw_only_their_training_clips():
  system = classifiers(dcase_data.tiny_config())
  (plan,) = system.plans([(0, 6)])
  assert plan['first'].shape == (1, 6, 3, 8)  # device, step, member, example
  clips = system.features.pieces.clips[plan['first']]
  second = system.features.pieces.clips[plan['second']]
  for drawn in (clips, second):
    assert (drawn[:, :, :2] % 2 == 0).all()
    assert (drawn[:, :, 2] % 2 == 1).all()
  weight = plan['weight'][0]
  assert (weight[..., ::2] == 1).all()
  assert (weight[..., 1::2] < 1).mean() > 0.5


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  config = dcase_data.tiny_config(
    **{'optimizer.name': 'sgd', 'optimizer.learning_rate': 1e38}
  )
  with pytest.raises(UserError, match=r'at step \d+'):
    fit(classifiers(config, some=members()[:1]), tmp_path)


@pytest.mark.parametrize('place', ['device', 'host'])
@pytest.mark.parametrize('count', [1, 7, 8, 21])
def test_every_clip_is_predicted_once_in_order(count, place):
  config = released_config(examples_on=place)
  system = released(config, released_features())
  variables = system.create_state().members.variables()
  (found,) = system.clip_values(variables, [np.arange(count)])
  table = released_features().table()
  batch = batches.decode(batches.gather(table, 0, np.arange(count)), 3)
  logits = models.classifier(config.model, 3).apply(
    jax.tree.map(lambda x: x[0], variables), batch['embeddings'], batch['mask']
  )
  assert found.shape == (count, 3)
  np.testing.assert_allclose(found, jax.nn.sigmoid(logits), atol=1e-6)


def test_a_clip_s_values_are_the_mean_of_its_pieces_by_their_segments():
  config = dcase_data.tiny_config()
  objective = OBJECTIVES[config.objective]
  cut = features(3, last='mask')
  system = Classifiers(config, objective, cut, members()[:1])
  variables = system.create_state().best
  (found,) = system.clip_values(variables, [np.array([3, 7])])
  rows = cut.pieces.of_clips([3, 7])  # four segments each: 3 + 1
  batch = batches.decode(batches.gather(cut.table(), 0, rows), 3)
  logits = models.classifier(config.model, 3).apply(
    jax.tree.map(lambda x: x[0], variables), batch['embeddings'], batch['mask']
  )
  of_pieces = np.asarray(jax.nn.log_softmax(logits))
  expected = (3 * of_pieces[[0, 2]] + of_pieces[[1, 3]]) / 4
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mixup_is_equation_27():
  some = released_features(8)
  first, second = np.array([0, 1, 2]), np.array([3, 5, 7])
  weight = np.array([1.0, 0.25, 0.6], np.float32)
  step = {'first': first, 'second': second, 'weight': weight}
  batch = batches.assemble(batches.gather_step(some.table(), 0, step), 3)
  x = some.embeddings.reshape(-1, 4, 16) * (4 / 255) - 2.0
  valid = np.arange(4) < some.pieces.n_segments[:, None]
  x = np.where(valid[..., None], x, 0.0)
  scale = weight[:, None, None]
  np.testing.assert_allclose(
    batch['embeddings'], scale * x[first] + (1 - scale) * x[second], atol=1e-6
  )
  y = some.labels.multi_hot()
  np.testing.assert_allclose(
    batch['targets'],
    weight[:, None] * y[first] + (1 - weight[:, None]) * y[second],
    atol=1e-6,
  )
  expected = valid[first] | valid[second]
  expected[0] = valid[0]  # λ = 1: the partner is not heard
  np.testing.assert_array_equal(batch['mask'], expected)


def test_what_nobody_verified_counts_less_and_mixup_mixes_that():
  weights = batches.loss_weights(np.array([True, False, True]), 0.2)
  np.testing.assert_allclose(weights, [1, 0.2, 1])
  assert batches.loss_weights(np.array([True, False]), 1.0) is None
  assert batches.loss_weights(np.array([True, True]), 0.2) is None
  weights = np.where(np.arange(48) % 2, 0.2, 1).astype(np.float32)
  some = dataclasses.replace(released_features(), loss_weights=weights)
  step = {
    'first': np.array([0, 1, 2]),
    'second': np.array([5, 6, 7]),
    'weight': np.array([1.0, 0.25, 0.5], np.float32),
  }
  batch = batches.assemble(batches.gather_step(some.table(), 0, step), 3)
  expected = [1, 0.25 * 0.2 + 0.75, 0.5 + 0.5 * 0.2]
  np.testing.assert_allclose(batch['loss_weight'], expected, rtol=1e-6)
  losses = np.array([1.0, 2.0], np.float32)
  found = mean_loss(losses, None, np.array([0.5, 1.0], np.float32))
  np.testing.assert_allclose(found, (0.5 + 2) / 2)


def test_a_clip_whose_loss_counts_nothing_changes_nothing():
  config = released_config(batch_size=24, sampling='unbalanced')
  one, other = (released_features() for _ in range(2))
  weights = np.where(np.arange(48) < 4, 0, 1).astype(np.float32)
  labels = np.tile(np.arange(24) % 3, 2)
  labels[:4] = (labels[:4] + 1) % 3  # wrong, and of no weight
  found = []
  for features_, of in ((one, one.labels), (other, Labels.of_one(labels, 3))):
    some = dataclasses.replace(features_, labels=of, loss_weights=weights)
    system = released(config, some)
    (plan,) = system.plans([(0, 1)])
    _, measured = system.steps(system.create_state(), plan)
    found.append(float(measured['loss'][0, 0]))
  assert found[0] == found[1]
