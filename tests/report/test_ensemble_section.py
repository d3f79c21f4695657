"""The report's section on learned ensembles, from made-up results."""

import json

import finished_runs
from report_text import rows_of, written

from aec_jax.run import results as results_lib

FOUND = {
  'fitted_to': 'other folds',
  'clips': 40,
  'mean': {'scores': {'MAP@3': 0.8, 'accuracy': 0.7}},
  'weights': {
    'scores': {'MAP@3': 0.81, 'accuracy': 0.7},
    'gain': 0.01,
    'gain interval': [-0.01, 0.03],
    'of': {'balanced_first': 0.75, 'original': 0.25},
  },
  'stacking': {
    'scores': {'MAP@3': 0.79, 'accuracy': 0.7},
    'gain': -0.01,
    'gain interval': [-0.02, 0.0],
  },
}


def test_the_report_says_what_they_would_give(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  assert 'Learned ensembles' not in written(tmp_path / 'run', results)
  results['learned_ensembles'] = FOUND
  path = tmp_path / 'run/results.json'
  path.write_text(json.dumps(results))
  text = written(tmp_path / 'run', results_lib.read(path.parent))
  assert 'each clip by what was fitted to the clips of other folds' in text
  assert 'Neither is surely better than the mean.' in text
  assert rows_of(text, 'Scores on the same clips') == [
    ['the plain mean', '0.8000', '0.7000', '—'],
    ['learned weights', '0.8100', '0.7000', '+0.0100 (-0.010 to 0.030)'],
    ['stacking', '0.7900', '0.7000', '-0.0100 (-0.020 to 0.000)'],
  ]
  assert rows_of(text, 'The learned weights') == [
    ['balanced\\_first', '0.750'],
    ['original', '0.250'],
  ]


def test_a_gain_beyond_its_interval_is_told(tmp_path):
  better = FOUND['stacking'] | {'gain': 0.1, 'gain interval': [0.05, 0.15]}
  results = finished_runs.dcase_run(tmp_path / 'run')
  results['learned_ensembles'] = FOUND | {
    'stacking': better, 'fitted_to': 'left out of training'
  }  # fmt: skip
  text = written(tmp_path / 'run', results)
  assert 'Better than the mean beyond its interval: stacking.' in text
  assert 'fitted to training clips' in text
