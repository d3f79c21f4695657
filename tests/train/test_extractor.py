"""Fine-tuning: batches of whole clips, their padding, and the step."""

import dataclasses
import functools
import json
import types

import dcase_data
import flax.linen as nn
import jax
import numpy as np
import pytest

from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import embeddings
from aec_jax.input import augment
from aec_jax.input.folds import Job
from aec_jax.input.rooms import Rooms
from aec_jax.objective import OBJECTIVES
from aec_jax.run.devices import replicate
from aec_jax.train import example_steps, extractor, step
from aec_jax.train.start import Start, of_file

COUNTS = (1, 2, 1, 3, 1, 2, 1, 1, 5)
LABELS = (0, 1, 2, 0, 1, 2, 0, 1, 2)


def job_of(name='balanced_first', sampling='balanced'):
  return Job(name, sampling, np.arange(7), np.arange(7, 9))


@pytest.fixture(scope='module')
def tuner():
  config = dcase_data.tiny_config()
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  return extractor.FineTuner(config, clips, job_of(), of_file(config.extractor))


def stepped(tuner, table, plan):
  """The (state, losses) of the first steps on a table."""
  state, measured = tuner._steps(
    replicate(tuner.create_state()), replicate(table), plan
  )
  return jax.tree.map(np.asarray, (state, measured['loss']))


def test_a_batch_holds_its_clips_whole_and_masks_the_rest(tuner):
  planned = next(tuner.plan.dataset([(0, 2)]).as_numpy_iterator())['first']
  (plan,) = tuner.plans([(0, 2)])
  rows, mask = plan['first'], plan['mask']  # (device, step, example)
  assert rows.shape == mask.shape == (1, 2, tuner.rooms.sizes[-1])
  offsets = tuner.clips.offsets
  for i, clips in enumerate(planned):
    whole = [np.arange(offsets[c], offsets[c + 1]) for c in clips]
    expected = np.concatenate(whole)
    np.testing.assert_array_equal(rows[0, i][mask[0, i]], expected)
    assert mask[0, i].sum() == len(expected) < len(mask[0, i])
    assert set(rows[0, i][~mask[0, i]]) == {expected[0]}


def test_a_batch_grows_where_its_clips_are_too_long(tuner, monkeypatch):
  """No example is left out."""
  monkeypatch.setattr(tuner, 'rooms', Rooms((8,), 1))
  clips = np.array([8, 3, 5, 8, 2])  # of 5 + 3 + 2 + 5 + 1 examples
  plan = {'first': np.stack([clips, [6, 6, 7, 7, 0]])}

  class Planned:
    def spans(self, spans):
      return iter([plan])

  monkeypatch.setattr(tuner, 'plan', Planned())
  (found,) = tuner.plans([(0, 2)])
  assert found['mask'].shape == (1, 2, 16)  # 8 to 10, which 8 s share: 16
  assert found['mask'].sum(-1).tolist() == [[16, 5]]
  assert found['size'].tolist() == [[1, 0]]  # the second one takes 8 of them
  assert found['first'][0, 0].tolist() == [
    12, 13, 14, 15, 16, 4, 5, 6, 8, 9, 12, 13, 14, 15, 16, 3
  ]  # fmt: skip


class Linear(nn.Module):
  """What fine-tuning trains, as far as its steps ask."""

  classes: int = 3

  @nn.compact
  def __call__(self, x, mask, train):
    return nn.Dense(self.classes)(x.reshape(len(x), -1))


def test_each_step_takes_the_room_that_it_needs(tuner, monkeypatch):
  small = types.SimpleNamespace(
    model=Linear(), settings=tuner.settings, objective=tuner.objective,
    tx=tuner.tx, augments=False,
  )  # fmt: skip
  found = []
  for sizes in ((16,), (6, 16)):
    small.rooms = Rooms(sizes, 1)
    monkeypatch.setattr(tuner, 'rooms', small.rooms)
    (plan,) = tuner.plans([(0, 4)])
    assert plan['first'].shape == (1, 4, 16)
    example = np.zeros((1, 32, 16), np.float32)
    variables = small.model.init(jax.random.key(0), example, None, True)
    state = step.TrainState.start(variables, small.tx, 0)
    steps = example_steps.make_steps(small)
    found.append(steps(replicate(state), tuner.resident, plan))
  assert len(set(plan['size'][0].tolist())) == 2
  assert (plan['first'][0, plan['size'][0] == 0, 6:] == 0).all()
  assert_near = functools.partial(np.testing.assert_allclose, rtol=1e-5)
  (_, one), (_, other) = found
  jax.tree.map(assert_near, one, other)


def test_devices_share_what_is_real():
  rooms = Rooms((16, 32), 2)
  rows = [np.arange(1, 1 + n) for n in (11, 30)]
  found = rooms.stacked(rows)
  assert found['size'].tolist() == [0, 1]
  halves = found['first'].reshape(2, 2, 16)  # (step, device, example)
  assert halves[0, :, :8].ravel().tolist() == [*range(1, 12), *[1] * 5]
  assert not halves[0, :, 8:].any()
  assert found['mask'].sum(1).tolist() == [11, 30]
  assert rooms.up_to(16) == [16] and rooms.up_to(48) == [16, 32, 48]
  assert Rooms.of_mean(273, 1, True).sizes == (344,)
  assert Rooms.of_mean(273, 1, False).sizes == (240, 280, 320, 376)


def test_garbage_in_the_padding_changes_nothing(tuner):
  (plan,) = tuner.plans([(0, 1)])
  assert not plan['mask'].all()
  table = jax.tree.map(np.asarray, tuner.resident)
  # The padding, and nothing else, points at an example of its own.
  table = {
    'examples': np.concatenate(
      [table['examples'], np.full((1, 32, 16), 1e4, np.float16)]
    ),
    'labels': np.concatenate([table['labels'], [[255]]]).astype(np.uint8),
  }
  last = len(table['labels']) - 1
  expected = stepped(tuner, table, plan)
  plan = {**plan, 'first': np.where(plan['mask'], plan['first'], last)}
  found = stepped(tuner, table, plan)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_validation_is_over_every_example_once(tuner):
  state = tuner.create_state()
  found = tuner.evaluate(state, None)()
  rows = slice(11, 17)  # the examples of clips 7 and 8
  logits = tuner.model.apply(
    state.variables(), tuner.clips.examples[rows].astype(np.float32)
  )
  labels = np.repeat(LABELS[7:], COUNTS[7:])
  log = np.asarray(jax.nn.log_softmax(logits))[np.arange(6), labels]
  np.testing.assert_allclose(found['log_likelihood'], log.mean(), rtol=1e-5)
  right = np.mean(np.argmax(logits, 1) == labels)
  np.testing.assert_allclose(found['accuracy'], right)


def test_validation_of_several_labels_is_binary(tuner):
  labels = Labels(
    np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 2], np.int16),
    np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10]), 3,
  )  # fmt: skip
  config = dcase_data.tiny_config(objective='multi_label', metric='mAP')
  clips = dcase_data.clip_examples(COUNTS, labels)
  other = extractor.FineTuner(
    config, clips, job_of(), of_file(config.extractor)
  )
  state = tuner.create_state()
  found = other.evaluate(state, None)()
  assert set(found) == {'log_likelihood'}
  logits = np.asarray(
    tuner.model.apply(state.variables(), clips.examples[11:].astype('f4'))
  )
  targets = labels.multi_hot()[[7, 8, 8, 8, 8, 8]]
  expected = np.mean(-np.logaddexp(0, np.where(targets, -logits, logits)))
  np.testing.assert_allclose(found['log_likelihood'], expected, rtol=1e-5)
  shares = [0.5, 0.5, 0.5]
  expected = OBJECTIVES['multi_label'].chance('log_likelihood', shares)
  np.testing.assert_allclose(other.chance(), expected)


def test_a_run_cut_off_ends_with_the_same_weights(tmp_path, monkeypatch):
  config = dcase_data.tiny_config()
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  job = job_of('a', 'unbalanced')
  whole = extractor.trained(config, clips, job, Start(), tmp_path / 'whole')

  class Cut(Exception):
    pass

  class Failing(extractor.FineTuner):
    def evaluate(self, state, history):
      if int(state.step) == 4:
        raise Cut
      return super().evaluate(state, history)

  with monkeypatch.context() as patch:
    patch.setattr(extractor, 'FineTuner', Failing)
    with pytest.raises(Cut):
      extractor.trained(config, clips, job, Start(), tmp_path / 'cut')
  started = []

  class Resumed(extractor.FineTuner):
    def plans(self, spans):
      started.extend(spans)
      return super().plans(spans)

  monkeypatch.setattr(extractor, 'FineTuner', Resumed)
  again = extractor.trained(config, clips, job, Start(), tmp_path / 'cut')
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


@pytest.mark.parametrize('keep', ['best', 'last'])
def test_the_last_step_may_be_kept_whatever_its_score(
  tmp_path, monkeypatch, keep
):
  config = dcase_data.tiny_config(**{
    'extractor.keep': keep, 'extractor.patience': 1,
    'extractor.max_steps': 6, 'extractor.eval_every': 2,
  })  # fmt: skip
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  seen = {}

  class Worse(extractor.FineTuner):
    def evaluate(self, state, history):
      seen[int(state.step)] = jax.tree.map(np.asarray, state.params)
      return lambda: {'log_likelihood': -float(state.step), 'accuracy': 0.0}

  monkeypatch.setattr(extractor, 'FineTuner', Worse)
  folder = extractor.trained(
    config, clips, job_of('a', 'unbalanced'), Start(), tmp_path
  )
  # The first is the best: a patience of one has no third.
  step = {'best': 2, 'last': 6}[keep]
  assert max(seen) == {'best': 4, 'last': 6}[keep]
  with np.load(folder / 'variables.npz') as found:
    kernel = next(name for name in found if name.endswith('kernel'))
    *_, of_step = [
      value
      for path, value in jax.tree.flatten_with_path(seen[step])[0]
      if '/'.join(k.key for k in path) in kernel
    ]
    np.testing.assert_array_equal(found[kernel], of_step)


def test_an_extractor_that_is_not_trained_is_as_initialised(tuner, tmp_path):
  folder = extractor.trained(
    dcase_data.tiny_config(),
    tuner.clips,
    job_of('original', 'none'),
    Start(),
    tmp_path,
  )
  assert json.loads((folder / 'history.json').read_text()) == {
    'evaluations': []
  }
  found = embeddings.load_variables(folder)
  jax.tree.map(
    np.testing.assert_array_equal,
    found,
    {k: v for k, v in tuner.create_state().variables().items() if v},
  )


def test_wrong_initial_weights_are_refused(tmp_path):
  config = dcase_data.tiny_config(**{'extractor.init': str(tmp_path / 'no')})
  with pytest.raises(UserError, match=r'config\.extractor\.init'):
    of_file(config.extractor)


def test_the_balanced_plan_takes_one_clip_of_every_class(tuner):
  plan = dataclasses.replace(tuner.plan, batch_size=3)
  (steps,) = plan.dataset([(0, 4)]).as_numpy_iterator()
  classes = np.array(LABELS)[steps['first']]
  assert (np.sort(classes, 1) == [0, 1, 2]).all()
  assert (steps['first'] < 7).all()


def test_examples_on_the_host_are_the_same_rows(tuner):
  config = dcase_data.tiny_config(**{'extractor.examples_on': 'host'})
  other = extractor.FineTuner(config, tuner.clips, tuner.job, tuner.start)
  (ours,), (theirs,) = tuner.plans([(0, 2)]), other.plans([(0, 2)])
  assert not other.resident
  for name, array in tuner.resident.items():
    taken = np.asarray(array)[ours['first']]
    np.testing.assert_array_equal(theirs['first'][name], taken)


def drawn(tuner, plan):
  """(step, example, …) of a plan of one device, from step 0 on."""
  rows, mask = plan['first'][0], plan['mask'][0]
  return tuner._draws(tuner.known, rows, mask, np.arange(len(rows)))


def test_what_the_host_draws_for_its_examples_is_the_same(tuner):
  fields = {
    'time_shift': True, 'mixup_alpha': 0.4, 'speed': 1.25, 'gain': 6.0,
    'mask_frames': 9, 'mask_bands': 4,
  }  # fmt: skip
  fields = {f'extractor.augment.{k}': v for k, v in fields.items()}
  # Adam makes steps of what is noise.
  fields['extractor.optimizer.name'] = 'momentum'
  found = []
  for place in ('device', 'host'):
    fields['extractor.examples_on'] = place
    config = dcase_data.tiny_config(**fields)
    other = extractor.FineTuner(config, tuner.clips, tuner.job, tuner.start)
    (plan,) = other.plans([(0, 2)])
    found.append(stepped(other, other.resident, plan))
  assert not other.resident
  rows = [name for name in plan if name in augment.ROWS]
  assert set(rows) == set(augment.ROWS)
  near = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4)
  jax.tree.map(near, *found)


def test_augmented_examples_train_and_their_rate_falls(tuner):
  config = dcase_data.tiny_config(
    **{
      'extractor.augment.time_shift': True,
      'extractor.augment.mixup_alpha': 0.4,
      'extractor.augment.mask_frames': 9,
      'extractor.augment.mask_bands': 4,
      'extractor.optimizer.cosine_steps': 4,
    }
  )
  other = extractor.FineTuner(config, tuner.clips, tuner.job, tuner.start)
  (plan,) = other.plans([(0, 4)])
  now = drawn(other, plan)
  assert ((now['weight'] > 0) & (now['weight'] < 1)).any()
  state, losses = stepped(other, other.resident, plan)
  assert np.isfinite(losses).all()
  # The rate is 0 after the last step of the cosine.
  still, _ = other.steps(replicate(state), plan)
  jax.tree.map(np.testing.assert_array_equal, state.params, still.params)


def test_sounds_are_mixed_with_those_of_other_labels(tuner):
  fields = {'extractor.augment.between_classes': True}
  config = dcase_data.tiny_config(**fields)
  clips = dcase_data.clip_examples(
    COUNTS, Labels(np.array([0, 0, 1, 1, 2, 0, 1, 0, 1, 0, 2, 1, 2], np.int16),
                   np.array([0, 1, 3, 4, 5, 7, 8, 9, 11, 13]), 3)
  )  # fmt: skip
  other = extractor.FineTuner(config, clips, job_of(), tuner.start)
  (plan,) = other.plans([(0, 8)])
  labels, now = np.asarray(other.resident['labels']), drawn(other, plan)
  for first, second, real in zip(
    plan['first'][0], now['second'], plan['mask'][0], strict=True
  ):
    sets, theirs = (labels[rows[real]][:, 0] for rows in (first, second))
    most = np.unique(sets, return_counts=True)[1].max()
    assert np.sum(sets == theirs) == max(2 * most - len(sets), 0)
  # An extractor that was mixed otherwise is not taken for this one.
  depends = extractor._depends(config, clips, job_of(), tuner.start)
  assert depends['draws'] == 'by JAX'
  plain = extractor._depends(
    dcase_data.tiny_config(), clips, job_of(), tuner.start
  )
  assert 'draws' not in plain


def test_examples_of_clips_that_nobody_verified_count_less(tmp_path):
  clips = dcase_data.clip_examples(COUNTS, LABELS)
  verified = np.arange(len(COUNTS)) % 2 == 0
  clips = dataclasses.replace(clips, verified=verified)
  plain, less = (
    dcase_data.tiny_config(unverified_weight=w) for w in (1.0, 0.25)
  )
  found = extractor.FineTuner(less, clips, job_of(), Start()).resident[
    'loss_weight'
  ]
  expected = np.repeat(np.where(verified, 1, 0.25), COUNTS)
  np.testing.assert_allclose(found, expected)
  tuner = extractor.FineTuner(plain, clips, job_of(), Start())
  assert 'loss_weight' not in tuner.resident
  # They are other extractors; that of weight 1 is the one that it was before.
  folders = [
    extractor.folder_of(config, clips, job_of(), Start(), tmp_path)
    for config in (plain, less, dcase_data.tiny_config())
  ]
  assert folders[0] == folders[2] != folders[1]
