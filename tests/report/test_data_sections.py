"""What an experiment was made of, from made-up results."""

import finished_runs
from report_text import written


def test_a_skipped_record_is_named(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert 'record 3' in text  # of the file that was skipped


def test_clips_of_a_few_milliseconds_have_a_length_of_nothing(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  seconds = results['data']['seconds']
  results['data']['seconds'] = {name: [0.0] * 5 for name in seconds}
  assert '0.0 · 0.0' in written(tmp_path / 'run', results)
