"""The report of an experiment: which sections it has, and when it has none."""

import collections
import types

import finished_runs
import pytest
from report_text import written

from aec_jax import experiment, report
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


def test_a_lost_page_of_damaged_results_is_one_line(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  results['data']['clips'].pop('train')  # whose lengths are there
  source = types.SimpleNamespace(show=finished_runs.show, embedded=None)
  with pytest.raises(UserError, match=r'no page .*results\.json \(KeyError'):
    experiment._write_page_again(tmp_path / 'run', results, source)


def test_a_bug_of_a_lost_page_is_not_laid_to_its_results(tmp_path, monkeypatch):
  """Which of the two it is cannot be known, and neither is claimed."""

  def write(*_):
    raise ValueError('operands could not be\n  broadcast')

  monkeypatch.setattr(report, 'write', write)
  source = types.SimpleNamespace(show=None, embedded=None)
  with pytest.raises(UserError) as refused:
    experiment._write_page_again(tmp_path, {}, source)
  said = str(refused.value)
  assert '(ValueError: operands could not be broadcast)' in said
  assert 'damaged' not in said and 'or this is a bug' in said
  assert '\n' not in said
