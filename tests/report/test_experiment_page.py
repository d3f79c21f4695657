"""The report of an experiment: which sections it has, and when it has none."""

import collections

import finished_runs
import pytest
from report_text import written

from aec_jax import report
from aec_jax.errors import UserError


def test_a_multi_label_experiment_has_no_confusions(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert 'Confusions' not in text


def test_a_clip_is_looked_at_once(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  looked = collections.Counter()

  def show(clip_id):
    looked[clip_id] += 1
    return finished_runs.show(clip_id)

  report.write(tmp_path / 'run', results, show)
  assert set(looked.values()) == {1}


def test_a_folder_without_predictions_is_refused(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  (tmp_path / 'run/predictions.npz').unlink()
  with pytest.raises(UserError, match='holds no finished experiment'):
    report.write(tmp_path / 'run', results, finished_runs.show)
  assert not (tmp_path / 'run/report').exists()
