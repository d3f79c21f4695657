"""What earlier runs have left of how long things take."""

import pytest

from aec_jax.run import rates


def said(*arguments):
  return rates.words(rates.expected(*arguments))


def test_what_was_left_is_said(tmp_path):
  assert said(tmp_path, 'embed', ['vggish'], 10) == 'time unknown'
  rates.leave(tmp_path, 'embed', ['vggish'], seconds=300, units=100)
  rates.leave(tmp_path, 'train', ['dnn'], seconds=5, units=49)
  assert said(tmp_path, 'embed', ['vggish'], 40) == 'about 2 min'
  assert said(tmp_path, 'embed', ['other'], 40) == 'time unknown'
  assert said(tmp_path, 'train', ['dnn'], 40) == 'time unknown'
  assert rates.expected(tmp_path, 'train', ['dnn'], 0) == 0.0


def test_a_damaged_file_is_as_none(tmp_path):
  (tmp_path / 'rates.json').write_text('{')
  assert rates.expected(tmp_path, 'embed', 1, 10) is None
  rates.leave(tmp_path, 'embed', 1, 100, 100)
  assert said(tmp_path, 'embed', 1, 10) == 'about 10 s'


def test_what_fails_leaves_nothing(tmp_path):
  with pytest.raises(ValueError), rates.timed(tmp_path, 'prepare', 1, 100):
    raise ValueError
  assert rates.expected(tmp_path, 'prepare', 1, 10) is None
