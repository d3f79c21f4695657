"""Scores beside the thesis's, from made-up results."""

import finished_runs
from report_text import rows_of, written


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


def test_an_older_run_gets_its_interval(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  assert 'intervals' not in results
  rows = rows_of(written(tmp_path / 'run', results), 'Scores beside')
  low, high = map(float, rows[0][2].split('–'))
  assert rows[0][0] == 'mAP' and rows[0][3] == '0.347'
  assert low < results['metrics']['mAP'] < high


def test_it_says_how_many_clips_it_was_trained_on(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert '| 1,234 |' not in text and 'trained on 1,234' in text
