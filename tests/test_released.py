"""Who trains on AudioSet's embeddings, stops by what, and is scored."""

import numpy as np
import pytest

from aec_jax import presets, sources
from aec_jax.errors import UserError
from configs import audioset_bal_ensemble, audioset_level3


def members(config, data_dir, cache):
  """The members of a config, and how many clips train or are held out."""
  config.data_dir = str(data_dir)
  source = sources.Released(presets.resolve(config), cache)
  return source.members(), source.n_train


def test_the_thesis_stops_by_what_is_scored(audioset_dir, tmp_path):
  config = audioset_level3.get_config()
  (member,), count = members(config, audioset_dir, tmp_path)
  assert count == 210
  np.testing.assert_array_equal(member.training, np.arange(210))
  np.testing.assert_array_equal(member.scored, np.arange(210, 280))
  assert member.validation is member.scored and not member.watched


def test_of_a_fixed_schedule_all_clips_train(audioset_dir, tmp_path):
  config = audioset_bal_ensemble.get_config()
  found, count = members(config, audioset_dir, tmp_path)
  for member in found:
    np.testing.assert_array_equal(member.training, np.arange(count))
    # They are watched, and choose nothing.
    assert member.validation is member.scored and member.watched


def test_what_is_held_out_is_the_same_for_all(audioset_dir, tmp_path):
  config = audioset_bal_ensemble.get_config()
  config.keep, config.holdout = 'best', 0.1
  found, count = members(config, audioset_dir, tmp_path)
  assert [m.name for m in found] == [f'released_{i}' for i in range(6)]
  config.seed = 5
  others, _ = members(config, audioset_dir, tmp_path)
  for member in (*found, *others):
    np.testing.assert_array_equal(member.validation, found[0].validation)
    both = np.sort(np.concatenate([member.training, member.validation]))
    np.testing.assert_array_equal(both, np.arange(count))
    np.testing.assert_array_equal(member.scored, np.arange(count, count + 70))
    assert len(member.validation) == count // 10 and member.watched


def test_a_share_of_nothing_is_refused(audioset_dir, tmp_path):
  config = audioset_bal_ensemble.get_config()
  config.holdout = 0.001
  config.data_dir = str(audioset_dir)
  # As soon as it is opened: the work folder is not claimed yet.
  with pytest.raises(UserError, match=r'config\.holdout is 0\.001, and of 90'):
    sources.Released(presets.resolve(config), tmp_path)


def test_scoring_alone_holds_nothing_out(audioset_dir, tmp_path):
  config = audioset_bal_ensemble.get_config()
  config.data_dir = str(audioset_dir)
  config = presets.resolve(config)
  source = sources.Released(config, tmp_path, scoring=True)
  assert {m.name: len(m.scored) for m in source.members()} == {
    f'released_{i}': 70 for i in range(6)
  }
