"""A results.json with a field that nobody wrote so is refused by its name."""

import json

import finished_runs
import pytest

from aec_jax import compare, evaluate
from aec_jax.errors import UserError
from aec_jax.run import results

SCORES = {'MAP@3': 0.5, 'accuracy': 0.25}
LEARNED = {
  'fitted_to': 'other folds',
  'clips': 40,
  'mean': {'scores': SCORES},
  'weights': {
    'scores': SCORES, 'gain': 0.0, 'gain interval': [-0.1, 0.1],
    'of': {'a': 0.25, 'b': 0.75},
  },
  'stacking': {'scores': SCORES, 'gain': 0.0, 'gain interval': [-0.1, 0.1]},
}  # fmt: skip
FAULTS = {
  'learned_ensembles': 'x',
  'learned_ensembles.fitted_to': 'x',
  'learned_ensembles.weights.of': ['a'],
  'learned_ensembles.weights.gain interval': [0.1],
  'learned_ensembles.stacking': None,
  'config.test_shifts': 'x',
  'config.keep': ['last'],
  'ensembles.6.start': 'x',
  'ensembles.6.start.step': {'x': 'y'},
  'ensembles.6.start.MAP@3': 'x',
  'ensembles.6.start.log_likelihood': 10**400,
  'ensembles.6.evaluations.0.MAP@3': ['x'],
  'ensembles.6.evaluations.0.members': [0.5],
  'ensembles.6.members.0.training_clips': '800',
  'fine_tuning.balanced_first.start.step': 'x',
  'fine_tuning.balanced_first.evaluations.0.accuracy': 'x',
  'folds.0.MAP@3': 'x',
}


@pytest.fixture
def run(tmp_path):
  """A finished run, and a function that puts another value at a place."""
  folder = tmp_path / 'run'
  whole = finished_runs.dcase_run(folder) | {'learned_ensembles': LEARNED}

  def put(place='', value=None):
    found = json.loads(json.dumps(whole))
    *above, last = place.split('.')
    inside = found
    for key in above:
      inside = inside[int(key) if isinstance(inside, list) else key]
    if place:
      inside[int(last) if isinstance(inside, list) else last] = value
    (folder / 'results.json').write_text(json.dumps(found))
    return folder

  return put


def test_what_was_written_is_read(run, tmp_path):
  found = results.read(run())
  assert found['learned_ensembles'] == LEARNED
  compare.compare(tmp_path / 'page.html', [tmp_path / 'run'])
  # Training that an older version began says nothing of step 0.
  assert results.read(run('ensembles.6.start', {}))['ensembles']['6']


@pytest.mark.parametrize('place', FAULTS)
def test_a_fault_is_named(run, tmp_path, place):
  folder = run(place, FAULTS[place])
  for use in (
    lambda: evaluate.compare([folder]),
    lambda: compare.compare(tmp_path / 'page.html', [folder]),
  ):
    with pytest.raises(UserError) as refused:
      use()
    assert 'is damaged' in str(refused.value)
    assert place.rpartition('.')[0] in str(refused.value)
    assert '\n' not in str(refused.value)


def test_results_without_decisions_are_sound():
  """Of probabilities that are NaN none are fitted."""
  assert results.complaint({'decisions': None}, ()) == ''
  said = results.complaint({'decisions': {'ECE': None}}, ())
  assert said == 'decisions.ECE is not an object'
