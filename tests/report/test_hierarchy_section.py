"""The report's section on the ontology, from made-up results."""

import json

import finished_runs
import pytest
from report_text import rows_of, written

from aec_jax.errors import UserError
from aec_jax.run import results as results_lib

FOUND = {
  'by_branch': {
    'Music': {'classes': 3, 'clips': 40, 'mAP': 0.25, 'AUC': 0.9},
    'Animal': {'classes': 2, 'clips': 20, 'mAP': 0.5, 'AUC': 0.95},
  },
  'by_depth': {'1': {'classes': 5, 'clips': 60, 'mAP': 0.35, 'AUC': 0.925}},
  'passed_up': {'mAP': 0.3125, 'AUC': 0.9},
  'unknown': 2,
}


def test_the_report_has_branches_and_depths(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  assert 'By the ontology' not in written(tmp_path / 'run', results)
  results['hierarchy'] = FOUND
  results['data']['without_class_above'] = {'bal_train': 0.643, 'eval': 0.667}
  results['config']['pass_up'] = True
  path = tmp_path / 'run/results.json'
  path.write_text(json.dumps(results))
  text = written(tmp_path / 'run', results_lib.read(path.parent))
  assert '64% of bal\\_train and 67% of eval' in text
  assert 'every class above their labels, mAP would be 0.3125' in text
  assert 'Training clips had every class above theirs.' in text
  assert '2 classes are not in the ontology' in text
  assert rows_of(text, 'Scores by branch') == [
    ['Animal', '0.500', '0.950', '2', '20'],
    ['Music', '0.250', '0.900', '3', '40'],
  ]
  assert rows_of(text, 'Scores by depth') == [
    ['1', '0.350', '0.925', '5', '60']
  ]


@pytest.mark.parametrize(
  ('place', 'value'),
  [
    ('by_branch', {}),
    ('by_branch', {'Music': {'classes': 3, 'clips': 40, 'mAP': 0.25}}),
    ('by_depth', {'1': {**FOUND['by_depth']['1'], 'mAP': None}}),
    ('passed_up', [0.3]),
    ('unknown', '2'),
  ],
)
def test_a_fault_is_named(tmp_path, place, value):
  results = finished_runs.audioset_run(tmp_path / 'run')
  results['hierarchy'] = FOUND | {place: value}
  path = tmp_path / 'run/results.json'
  path.write_text(json.dumps(results))
  with pytest.raises(UserError, match=f'is damaged: hierarchy.{place}'):
    results_lib.read(path.parent)
