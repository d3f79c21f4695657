"""What an experiment was made of, from made-up results."""

import finished_runs
from report_text import written


def test_a_skipped_record_is_named(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert 'record 3' in text  # of the file that was skipped
