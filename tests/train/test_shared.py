"""Members that were trained for another row are not trained again."""

import contextlib
from types import SimpleNamespace

import dcase_data
import numpy as np
import pytest
from train_data import assert_equal_trees

from aec_jax.errors import UserError
from aec_jax.train import shared
from aec_jax.train.checkpoint import Checkpoints
from aec_jax.train.classifiers import MembersState
from aec_jax.train.step import TrainState


def depends_of(name, length=2, **fields):
  config = dcase_data.tiny_config(name, **fields)
  return shared.depends(config, length, 'data', ['one', 'two'])


def test_rows_of_the_thesis_share_what_they_train():
  all_four = depends_of('dcase_extractor_ensemble_all', 1, segments=(1,))
  assert depends_of('dcase_l1', 1, segments=(1,)) == all_four
  six = depends_of('dcase_l6', 6, segments=(6,))
  assert depends_of('dcase_l_all', 6, segments=(1, 6)) == six
  for other in (
    depends_of('dcase_l_all', 1, segments=(1, 6)),
    depends_of('dcase_l6_mixup01', 6, segments=(6,)),
    depends_of('dcase_l6_level12', 6, segments=(6,)),
    depends_of('dcase_l6', 6, segments=(6,), max_steps=7),
    depends_of('dcase_l6', 6, segments=(6,), seed=1),
  ):
    assert other != six
  how = depends_of('dcase_l6', 6, data_dir='moved', checkpoint_every=9)
  assert how == six


def test_members_of_before_a_field_of_the_model_are_those_of_its_default():
  six = depends_of('dcase_l6', 6)
  assert 'model.levels' in six and 'model.heads' not in six
  assert depends_of('dcase_l6', 6, **{'model.heads': 2})['model.heads'] == 2


def test_members_of_the_default_before_auto_are_those_of_auto():
  six = depends_of('dcase_l6', 6)
  assert six['model.dtype'] == 'float32' and 'extractor.dtype' not in six
  # What is asked for is not what 'auto' has trained on an accelerator.
  for dtype in ('float32', 'bfloat16'):
    assert depends_of('dcase_l6', 6, **{'model.dtype': dtype}) != six


def state_of(step):
  """Of two members with a parameter each."""
  return TrainState(
    step=np.full(2, step, np.int32), params={'w': np.arange(2.0) + step},
    batch_stats={}, opt_state=(), average={},
  )  # fmt: skip


def test_an_ended_training_is_taken_and_one_that_has_begun_is_not(tmp_path):
  fresh = MembersState(state_of(0), {'w': np.zeros(2)})
  ended = MembersState(state_of(8), {'w': np.ones(2)})
  system = SimpleNamespace(create_state=lambda: fresh)
  cache_dir, depends = tmp_path / 'cache', depends_of('dcase_l6')
  with contextlib.closing(Checkpoints(tmp_path / 'own')) as own:
    assert not shared.take(own, system, cache_dir, depends)
    shared.keep(ended, {'evaluations': [{'step': 8}]}, cache_dir, depends)
    assert not shared.take(own, system, cache_dir, depends_of('dcase_l1'))
    assert shared.take(own, system, cache_dir, depends)
    found, history = own.restore(fresh)
    assert_equal_trees(found, ended)
    assert history == {'evaluations': [{'step': 8}]}
    assert not shared.take(own, system, cache_dir, depends)
    # What was damaged since is not taken.
    (folder,) = cache_dir.glob('members-*')
    path = max(folder.rglob('*'), key=lambda p: p.stat().st_size * p.is_file())
    path.write_bytes(path.read_bytes()[::-1])
  with contextlib.closing(Checkpoints(tmp_path / 'third')) as third:
    with pytest.raises(UserError, match='is damaged: delete'):
      shared.take(third, system, cache_dir, depends)
    assert third.restore(fresh) is None
