"""Members trained in one run: each as if alone, each with its own stop."""

import dcase_data
import jax
import numpy as np
import pytest

from aec_jax.input import pieces
from aec_jax.train import classifiers, step
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import Ensemble, Features, Member

LABELS = np.arange(12) % 3
COUNTS = 1 + np.arange(12) % 4
IDS = np.array([f'{i}.wav' for i in range(12)])


def features(length, extractors=2):
  """Embeddings that hold their class, in pieces of `length`."""
  rng = np.random.default_rng(0)
  offsets = np.concatenate([[0], np.cumsum(COUNTS)])
  of = np.repeat(LABELS, COUNTS)
  x = rng.standard_normal((extractors, len(of), 16)) + of[:, None]
  return Features(
    x.astype(np.float32), pieces.cut(offsets, length), IDS, LABELS, 3
  )


def members():
  even, odd = np.arange(0, 12, 2), np.arange(1, 12, 2)
  return [
    Member('a/0', 0, even, odd, odd),
    Member('b/0', 1, even, odd, odd),
    Member('b/1', 1, odd, even, even),
  ]


class Writer:
  def write_scalars(self, step, scalars):
    pass


def fit(run, folder):
  checkpoints = Checkpoints(folder)
  history = run.fit(run.validate, checkpoints, Writer())
  state, _ = checkpoints.restore(run.create_state())
  checkpoints.close()
  return state, history


@pytest.fixture(scope='module')
def together(tmp_path_factory):
  config = dcase_data.tiny_config()
  run = Ensemble(config, features(2), members())
  return run, *fit(run, tmp_path_factory.mktemp('together'))


def test_members_trained_together_are_those_trained_alone(together, tmp_path):
  run, state, history = together
  alone = Ensemble(
    dcase_data.tiny_config(seed=run.config.seed + 2), features(2), members()[2:]
  )
  single, of_single = fit(alone, tmp_path)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[2:], b, rtol=2e-4, atol=1e-5),
    state.members.params,
    single.members.params,
  )
  for a, b in zip(history.evaluations, of_single.evaluations, strict=True):
    for name in classifiers.METRICS:
      np.testing.assert_allclose(
        a['members'][name][2], b['members'][name][0], atol=1e-4
      )


def test_members_differ(together):
  _, state, _ = together
  kernel = np.asarray(state.members.params['hidden1']['dense']['kernel'])
  assert not np.allclose(kernel[0], kernel[1], atol=1e-3)
  assert not np.allclose(kernel[1], kernel[2], atol=1e-3)


def test_the_best_of_each_is_what_scored_best(together):
  run, state, history = together
  standing = run.standing(history)
  clips = [member.validation for member in run.members]
  found = run.clip_log_probabilities(state.best, clips)
  for m, log_probabilities in enumerate(found):
    scores = classifiers.score(LABELS[clips[m]], log_probabilities)
    np.testing.assert_allclose(scores['MAP@3'], standing.best[m], atol=1e-6)


def test_a_run_cut_off_ends_with_the_same_bits(together, tmp_path):
  run, state, history = together
  steps, validate = run.steps, run.validate

  class Cut(Exception):
    pass

  def failing(now, table, plan):
    if int(now.step) >= 3:
      raise Cut
    return steps(now, table, plan)

  run.steps = failing
  checkpoints = Checkpoints(tmp_path)
  with pytest.raises(Cut):
    run.fit(validate, checkpoints, Writer())
  checkpoints.close()
  run.steps = steps
  resumed, again = fit(run, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, resumed, state)
  assert again.evaluations == history.evaluations


def test_early_stops_are_each_member_s_own():
  config = dcase_data.tiny_config(patience=2)
  scores = [[0.1, 0.5], [0.3, 0.4], [0.2, 0.4], [0.3, 0.9], [0.9, 0.9]]
  evaluations = [
    {'step': 10 * i, 'members': {'MAP@3': row}}
    for i, row in enumerate(scores, 1)
  ]
  found = classifiers.standing(evaluations[:3], config, 2)
  assert found.stopped.tolist() == [False, True]
  found = classifiers.standing(evaluations, config, 2)
  # What comes after a stop is not looked at.
  assert found.stopped.tolist() == [True, True]
  assert found.best.tolist() == [0.3, 0.5]
  assert found.at.tolist() == [20, 10]
  assert classifiers.standing([], config, 2).best.tolist() == [-np.inf] * 2


def test_a_clip_is_the_mean_of_its_pieces():
  rows = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
  found = classifiers._mean_runs(rows, np.array([4, 4, 7]))
  np.testing.assert_allclose(found, [[2.0, 3.0], [5.0, 6.0]])


def test_an_lstm_does_not_hear_what_follows_a_clip():
  config = dcase_data.tiny_config(
    'dcase_lstm', **{'model.hidden': (8,), 'segments': (0,)}
  )
  whole = features(0)
  run = Ensemble(config, whole, members())
  variables = run.create_state().best
  clips = [np.arange(12)] * 3
  expected = run.clip_log_probabilities(variables, clips)
  # Padding points at a segment that is not a number.
  x = np.concatenate([whole.embeddings, np.full((2, 1, 16), np.nan)], 1)
  segments = whole.pieces.segments.copy()
  after = np.arange(segments.shape[1]) >= whole.pieces.n_segments[:, None]
  segments[after] = x.shape[1] - 1
  cut = pieces.Pieces(segments, whole.pieces.n_segments, whole.pieces.clips)
  spoilt = Features(x.astype(np.float32), cut, IDS, LABELS, 3)
  found = Ensemble(config, spoilt, members()).clip_log_probabilities(
    variables, clips
  )
  np.testing.assert_array_equal(found, expected)


def test_members_draw_only_their_training_clips():
  config = dcase_data.tiny_config()
  run = Ensemble(config, features(2), members())
  (plan,) = run._plans([(0, 6)])
  assert plan['first'].shape == (1, 6, 3, 8)  # device, step, member, example
  clips = run.features.pieces.clips[plan['first']]
  second = run.features.pieces.clips[plan['second']]
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
  run = Ensemble(config, features(2), members()[:1])
  with pytest.raises(step.UserError, match=r'at step \d+'):
    fit(run, tmp_path)
