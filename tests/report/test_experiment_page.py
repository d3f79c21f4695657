"""The report of an experiment: what it says, from made-up results."""

import importlib
import re

import finished_runs
import numpy as np
import pytest

from aec_jax import report
from aec_jax.errors import UserError

page = importlib.import_module('aec_jax.report.experiment_page')


def rows_of(markdown, caption):
  """The rows below a caption, cell by cell."""
  _, _, rest = markdown.partition(f'**{caption}')
  block = rest.split('\n\n')[1]
  lines = [re.split(r' (?<!\\)\| ', line[2:-2]) for line in block.splitlines()]
  return lines[2:]


def written(folder, results):
  report.write(folder, results, finished_runs.show)
  return (folder / 'report/index.md').read_text()


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


def test_classes_are_sorted_by_their_score(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  name, first = next(iter(results['per_class'].items()))
  first['AP@3'] = None
  text = written(tmp_path / 'run', results)
  rows = rows_of(text, 'AP@3 of each class')
  values = [float(row[1]) for row in rows[:-1]]
  assert values == sorted(values, reverse=True)
  assert rows[-1][1] == '—'
  assert 'Classes without a scored clip' in text and 'Bark' in name


def test_many_classes_are_shown_by_their_ends(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  results['per_class'] = {
    f'class {i}': {'AP': i / 100, 'AUC': 0.5} for i in range(100)
  }
  name, ap = page._ap(results)
  assert name == 'AP' and ap[3] == 0.03
  scored = page._Scored(
    [], np.ones((2, 100), bool), None, list(results['per_class'])
  )
  results['data'] = {}
  best, worst, every = page._classes(results, scored).blocks
  assert [row[0] for row in best.rows] == [
    f'class {i}' for i in range(99, 84, -1)
  ]
  assert [row[0] for row in worst.rows] == [f'class {i}' for i in range(15)]
  assert len(every.rows) == 100 and every.folded


def test_table_16_has_what_more_than_5_percent_are_taken_for():
  counts = np.array([
      [37, 2, 1, 0],  # exactly 5 % are taken for 1
      [0, 9, 3, 8],
      [0, 1, 19, 0],
      [0, 0, 0, 0],  # no clips
  ])  # fmt: skip
  assert page.confused(counts) == [[], [3, 2], [], []]
  counts[0] = [36, 3, 1, 0]
  assert page.confused(counts)[0] == [1]


def test_confusions_are_those_of_the_predictions(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  found = page.evaluate.load_predictions(tmp_path / 'run')
  guess = found['probabilities'].argmax(1)
  rows = rows_of(text, 'Confusion matrix')
  for k, row in enumerate(rows):
    mine = guess[found['label_ids'] == k]
    assert [int(n or 0) for n in row[1:]] == np.bincount(
      mine, minlength=5
    ).tolist()
  taken = {row[0]: row[2] for row in rows_of(text, 'Classes that more')}
  for k, name in enumerate(('Rain', 'Wind'), 3):
    mine = guess[found['label_ids'] == k]
    others = {CLASS for CLASS in mine[mine != k]}
    assert taken.get(name, '').count('%') == len(others)  # 8 clips: 12 % each


def test_a_multi_label_experiment_has_no_confusions(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  assert 'Confusions' not in text
  assert 'record 3' in text  # of the file that was skipped
  assert '| 1,234 |' not in text and 'trained on 1,234' in text


def test_operating_points_are_those_of_the_definition():
  targets = np.array([1, 0, 1, 1, 0, 0], bool)
  scores = np.array([0.9, 0.8, 0.7, 0.7, 0.7, 0.1])
  hits, false = page._operating_points(targets, scores)
  assert hits.tolist() == [1, 3] and false.tolist() == [0, 2]


def test_chosen_classes_are_best_middle_and_worst():
  ap = np.array([0.1, 0.9, np.nan, 0.5, 0.7, 0.3, 0.2, 0.8])
  assert page._chosen(ap).tolist() == [1, 7, 3, 5, 6, 0]
  assert page._chosen(np.array([0.2, 0.4])).tolist() == [1, 0]


def test_hardest_and_surest_clips(tmp_path):
  probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.01, 0.99]])
  targets = np.eye(2, dtype=bool)[[0, 0, 0, 1]]
  scored = page._Scored(list('wxyz'), targets, probabilities, ['a', 'b'])
  shown = []

  def show(clip_id):
    shown.append(clip_id)
    return page.Shown(np.eye(3), 'log-mel')

  section = page._clips(scored, True, show)
  hardest, surest = section.blocks[1:]
  assert [clip.name for clip in hardest.clips] == ['y', 'x']
  assert [clip.name for clip in surest.clips] == ['z', 'w']
  assert shown == list('yxzw')
  assert dict(hardest.clips[0].facts) == {
    'labels': 'a', 'guesses': 'b 0.80; a 0.20', 'sureness': '0.2',
  }  # fmt: skip


def test_a_folder_without_predictions_is_refused(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  (tmp_path / 'run/predictions.npz').unlink()
  with pytest.raises(UserError, match='holds no finished experiment'):
    report.write(tmp_path / 'run', results, finished_runs.show)
  assert not (tmp_path / 'run/report').exists()
