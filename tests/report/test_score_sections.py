"""Scores beside the thesis's, from made-up results."""

import finished_runs
from report_text import rows_of, written

from aec_jax.report import score_sections


def test_scores_stand_beside_the_thesis(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  rows = rows_of(written(tmp_path / 'run', results), 'Scores beside')
  scores = results['metrics']
  assert [
    'MAP@3, all clips',
    f'{scores["MAP@3"]:.4f}',
    '0.600–0.900',
    '—',
  ] in rows
  public = f'{scores["MAP@3_public"]:.4f}'
  assert ['MAP@3, public part', public, '0.500–0.950', '0.936'] in rows


def test_a_narrow_interval_has_two_ends():
  assert score_sections.interval_text([-0.01605, -0.01578]) == (
    '-0.01605 to -0.01578'
  )
  assert score_sections.interval_text([0.8, 0.9]) == '0.800–0.900'
  assert score_sections.interval_text([1, 1]) == '1.000–1.000'


def test_a_score_without_an_interval_has_a_dash(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  assert 'intervals' not in results
  rows = rows_of(written(tmp_path / 'run', results), 'Scores beside')
  scores = results['metrics']
  assert rows[0] == ['mAP', f'{scores["mAP"]:.4f}', '—', '0.347']


def test_it_says_how_many_clips_it_was_trained_on(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert '| 1,234 |' not in text and 'trained on 1,234' in text
