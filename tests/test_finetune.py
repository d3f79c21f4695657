"""Fine-tuning: batches of whole clips, their padding, and the step."""

import copy
import dataclasses

import dcase_data
import jax
import numpy as np
import pytest

from aec_jax.errors import UserError
from aec_jax.input import batches
from aec_jax.train import extractor, step

COUNTS = (1, 2, 1, 3, 1, 2, 1, 1, 5)
LABELS = (0, 1, 2, 0, 1, 2, 0, 1, 2)


@pytest.fixture(scope='module')
def tuner():
  config = dcase_data.tiny_config()
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  job = extractor.Job(
    'balanced_first', 'balanced', np.arange(7), np.arange(7, 9)
  )
  return extractor.FineTuner(config, clips, job)


def stepped(tuner, table, plan):
  """The (state, losses) of the first steps on a table."""
  state, losses = tuner.steps(
    step.replicate(tuner.create_state()), step.replicate(table), plan
  )
  return jax.tree.map(np.asarray, (state, losses))


def test_a_batch_holds_its_clips_whole_and_masks_the_rest(tuner):
  rows, mask = tuner._fill(np.array([3, 0, 5]), 0)
  assert len(rows) == len(mask) == tuner.budget
  assert rows[mask].tolist() == [4, 5, 6, 0, 8, 9]
  assert set(rows[~mask]) == {4}


def test_what_is_too_many_is_left_out_by_seed_and_step(tuner):
  clips = np.tile([8, 3, 5], 3)
  (a, mask), (b, _), (c, _) = (tuner._fill(clips, s) for s in (1, 1, 2))
  assert mask.all()
  np.testing.assert_array_equal(a, b)
  assert (a != c).any()
  assert set(a) <= {4, 5, 6, 8, 9, 12, 13, 14, 15, 16}


def test_garbage_in_the_padding_changes_nothing(tuner):
  (plan,) = tuner._plans([(0, 1)])
  assert not plan['mask'].all()
  expected = stepped(tuner, tuner.table, plan)
  # The padding, and nothing else, points at an example of its own.
  table = {
    'examples': np.concatenate(
      [tuner.table['examples'], np.full((1, 32, 16), 1e4, np.float16)]
    ),
    'labels': np.append(tuner.table['labels'], np.int32(2)),
  }
  last = len(table['labels']) - 1
  plan = {**plan, 'first': np.where(plan['mask'], plan['first'], last)}
  found = stepped(tuner, table, plan)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_validation_is_over_every_example_once(tuner):
  state = tuner.create_state()
  found = tuner.validate(state)
  rows = slice(11, 17)  # the examples of clips 7 and 8
  logits = tuner.model.apply(
    state.variables(), tuner.table['examples'][rows].astype(np.float32)
  )
  labels = tuner.table['labels'][rows]
  log = np.asarray(jax.nn.log_softmax(logits))[np.arange(6), labels]
  np.testing.assert_allclose(found['log_likelihood'], log.mean(), rtol=1e-5)
  right = np.mean(np.argmax(logits, 1) == labels)
  np.testing.assert_allclose(found['accuracy'], right)


def test_a_run_cut_off_ends_with_the_same_weights(tmp_path, monkeypatch):
  config = dcase_data.tiny_config()
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  job = extractor.Job('a', 'unbalanced', np.arange(7), np.arange(7, 9))
  whole = extractor.extractor(config, clips, job, tmp_path / 'whole')

  class Cut(Exception):
    pass

  class Failing(extractor.FineTuner):
    def validate(self, state):
      if int(state.step) == 4:
        raise Cut
      return super().validate(state)

  with monkeypatch.context() as patch:
    patch.setattr(extractor, 'FineTuner', Failing)
    with pytest.raises(Cut):
      extractor.extractor(config, clips, job, tmp_path / 'cut')
  started = []

  class Resumed(extractor.FineTuner):
    def _plans(self, todo):
      started.extend(todo)
      return super()._plans(todo)

  monkeypatch.setattr(extractor, 'FineTuner', Resumed)
  again = extractor.extractor(config, clips, job, tmp_path / 'cut')
  assert started[0] == (3, 4)
  assert again.name == whole.name
  with (
    np.load(whole / 'variables.npz') as a,
    np.load(again / 'variables.npz') as b,
  ):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])
  assert [p.name for p in (tmp_path / 'cut').iterdir()] == [again.name]


def test_an_extractor_that_is_gone_is_not_trained_to_evaluate(tmp_path):
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  job = extractor.Job('a', 'none', np.arange(7), np.arange(7, 9))
  config = dcase_data.tiny_config()
  with pytest.raises(UserError, match='is gone'):
    extractor.extractor(config, clips, job, tmp_path, may_train=False)


def test_wrong_initial_weights_are_refused(tuner, tmp_path):
  config = dcase_data.tiny_config(**{'extractor.init': str(tmp_path / 'no')})
  with pytest.raises(UserError, match=r'config\.extractor\.init'):
    extractor.extractor(config, tuner.clips, tuner.job, tmp_path)


def test_the_balanced_plan_takes_one_clip_of_every_class(tuner):
  plan = dataclasses.replace(tuner.plan, batch_size=3)
  (steps,) = plan.dataset([(0, 4)]).as_numpy_iterator()
  classes = np.array(LABELS)[steps['first']]
  assert (np.sort(classes, 1) == [0, 1, 2]).all()
  assert (steps['first'] < 7).all()


def test_examples_on_the_host_are_the_same_rows(tuner):
  config = dcase_data.tiny_config(**{'extractor.examples_on': 'host'})
  other = extractor.FineTuner(config, tuner.clips, tuner.job)
  (ours,), (theirs,) = tuner._plans([(0, 2)]), other._plans([(0, 2)])
  taken = batches.take(tuner.table, ours['first'])
  for name, array in taken.items():
    np.testing.assert_array_equal(theirs['first'][name], array)


def test_augmented_examples_train_and_their_losses_are_mixed(tuner):
  config = tuner.config.copy_and_resolve_references()
  config.augment.update(
    {'time_shift': True, 'mixup_alpha': 0.4, 'mask_frames': 9, 'mask_bands': 4}
  )
  config.cosine_steps = 4
  other = copy.copy(tuner)
  other.config, other.tx = config, step.optimizer(config.optimizer, 4)
  other.steps = extractor.make_steps(tuner.model, other.tx, config)
  (plan,) = other._plans([(0, 4)])
  state, losses = stepped(other, other.table, plan)
  assert np.isfinite(losses).all()
  logits = np.eye(3)[[0, 1]] * 4.0
  batch = {
    'first': {'labels': np.array([0, 1])},
    'second': {'labels': np.array([0, 2])},
    'weight': np.array([0.3, 0.7]),
  }
  log = np.asarray(jax.nn.log_softmax(logits))
  wanted = [-log[0, 0], -0.7 * log[1, 1] - 0.3 * log[1, 2]]
  found = extractor._cross_entropy(logits, batch)
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  # The rate is 0 after the last step of the cosine.
  still, _ = other.steps(step.replicate(state), other.table, plan)
  jax.tree.map(np.testing.assert_array_equal, state.params, still.params)
