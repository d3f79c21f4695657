"""The table over finished experiments and their mean."""

import json

import finished_runs
import numpy as np
import pytest

from aec_jax import compare, evaluate, predictions
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.objective import OBJECTIVES


def finish(
  folder, probabilities, ids=b'abcd', label_ids=(0, 1, 2, 0, 2), **found
):
  """Makes the folder of a finished experiment on four clips, three classes."""
  folder.mkdir()
  labels = Labels(np.array(label_ids, np.int16), np.array([0, 1, 2, 3, 5]), 3)
  predictions.save(
    folder / 'predictions.npz', np.array([bytes([i]) for i in ids]), labels,
    probabilities.astype(np.float32),
  )  # fmt: skip
  targets = labels.multi_hot()
  results = {
    'experiment': folder.name,
    'metrics': found or _scores(targets, probabilities),
    'best_step': 1500,
    'seconds': {'train': 61.2},
  }
  (folder / 'results.json').write_text(json.dumps(results))
  return targets


def _scores(targets, probabilities):
  return OBJECTIVES['multi_label'].scores(targets, probabilities)


def test_the_mean_of_probabilities_is_scored(tmp_path):
  rng = np.random.default_rng(3)
  one, other = rng.uniform(size=(2, 4, 3))
  targets = finish(tmp_path / 'one', one)
  finish(tmp_path / 'other', other)
  lines = evaluate.compare([tmp_path / 'one', tmp_path / 'other']).splitlines()
  assert lines[0].split()[:3] == ['experiment', 'mAP', 'AUC']
  expected = _scores(targets, (one + other) / 2)
  assert lines[-1].split()[:5] == [
    'mean', 'of', '2', f'{expected["mAP"]:.4f}', f'{expected["AUC"]:.4f}',
  ]  # fmt: skip
  assert lines[2].split()[-2:] == ['1,500', '61']


def test_what_cannot_be_compared_is_refused(tmp_path):
  scores = np.eye(4, 3)
  finish(tmp_path / 'one', scores)
  finish(tmp_path / 'clips', scores, ids=b'abce')
  with pytest.raises(UserError, match='other examples'):
    evaluate.compare([tmp_path / 'one', tmp_path / 'clips'])
  # The same clips, whose classes are in another order.
  finish(tmp_path / 'order', scores, label_ids=(1, 0, 2, 1, 2))
  with pytest.raises(UserError, match='order was scored by other labels'):
    evaluate.compare([tmp_path / 'one', tmp_path / 'order'])
  with pytest.raises(UserError, match='no finished experiment'):
    evaluate.compare([tmp_path / 'absent'])


def test_of_all_that_runs_holds_experiments_alone_are_taken(tmp_path, capsys):
  for name in ('a', 'b'):
    finished_runs.audioset_run(tmp_path / name)
  (tmp_path / 'cache').mkdir()
  folders = [str(tmp_path / name) for name in ('a', 'b', 'cache')]
  assert evaluate.main(folders) == 0
  out, err = capsys.readouterr()
  assert 'mean of 2' in out
  assert err == f'passed over: {folders[2]}: no finished experiment\n'
  with pytest.raises(UserError, match='no finished experiment'):
    evaluate.main(folders[2:])


@pytest.mark.parametrize('value', [np.nan, np.inf, -1.0, 2.0])
def test_what_is_no_probability_is_refused(tmp_path, value):
  def spoil(found):
    found['probabilities'][0, 0] = value

  with pytest.raises(UserError, match='cannot read predictions.npz'):
    evaluate.compare([_changed(tmp_path, spoil)], learned=True)


def test_single_labels_that_are_not_there_are_refused(tmp_path):
  def spoil(found):
    found['label_offsets'][:] = 0
    found['label_ids'] = found['label_ids'][:0]

  folder = _changed(tmp_path, spoil)
  for use in (
    lambda: evaluate.compare([folder]),
    lambda: compare.compare(tmp_path / 'page.html', [folder]),
  ):
    with pytest.raises(UserError, match='have none or several'):
      use()


def _changed(folder, change):
  """A finished experiment with other predictions."""
  finished_runs.dcase_run(folder / 'run')
  path = folder / 'run' / 'predictions.npz'
  with np.load(path) as file:
    found = dict(file)
  change(found)
  np.savez(path, **found)
  return str(folder / 'run')
