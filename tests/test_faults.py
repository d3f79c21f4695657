"""A few of the faults of `tests.faults`, which has many more of them."""

import pytest

from tests import faults


@pytest.fixture(scope='module')
def audioset(tmp_path_factory):
  folder = tmp_path_factory.mktemp('faults')
  return faults.experiments(folder, tasks=('audioset',))[0], folder


def test_killed_experiments_end_as_unbroken_ones(audioset):
  experiment, folder = audioset
  rows = list(faults.killed([experiment], folder, kills=3, seed=1))
  assert len(rows) >= 4
  assert [loss for *_, loss in rows if loss] == []


def test_a_second_run_is_refused_and_names_the_first(audioset):
  assert 'in use by' in faults.two_at_once(*audioset)


def test_programs_cut_off_are_compiled_again(audioset):
  assert faults.torn_programs(*audioset)
