"""Scores, curves and confusions of classes, from made-up results."""

import finished_runs
import numpy as np
from report_text import rows_of, written

from aec_jax import predictions
from aec_jax.report import class_sections, confusion_section
from aec_jax.report.scored import Scored, scored_clips


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
  name, ap = class_sections.class_scores(results)
  assert name == 'AP' and ap[3] == 0.03
  every = np.ones((2, 100), bool)
  scored = Scored([], every, every, list(results['per_class']))
  results['data'] = {}
  best, worst, every = class_sections.classes(results, scored).blocks
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
  assert confusion_section.confused(counts) == [[], [3, 2], [], []]
  counts[0] = [36, 3, 1, 0]
  assert confusion_section.confused(counts)[0] == [1]


def test_confusions_are_those_of_the_predictions(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  found = predictions.load(tmp_path / 'run')
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


def test_a_cell_leads_to_the_clips_behind_it(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  found = predictions.load(tmp_path / 'run')
  scored = scored_clips(found, list(results['per_class']))
  section = confusion_section.confusions(results, scored, finished_runs.show)
  matrix = next(b for b in section.blocks if getattr(b, 'dense', False))
  links = {
    cell.link for row in matrix.rows for cell in row[1:] if cell and cell.link
  }
  behind = {f'#{b.anchor}': b for b in section.blocks if b.kind == 'Clips'}
  assert links == set(behind) and links
  true, guess = found['label_ids'], found['probabilities'].argmax(1)
  ids = [i.decode() for i in found['ids']]
  for link, block in behind.items():
    a, b = (int(x) - 1 for x in link.split('-')[1:])
    for clip in block.clips:
      i = ids.index(clip.name)
      assert (true[i], guess[i]) == (a, b) and clip.sound
  # Every cell off the diagonal does, and every mistaken clip has its name.
  cells = {
    f'#taken-{a + 1}-{b + 1}'
    for a, b in zip(true, guess, strict=True)
    if a != b
  }
  assert links == cells
  named = next(b for b in section.blocks if b.kind == 'Table' and b.folded)
  assert named.caption.startswith('All mistaken clips')
  assert sorted(row[0] for row in named.rows) == sorted(
    name for name, a, b in zip(ids, true, guess, strict=True) if a != b
  )


def test_each_cell_has_a_clip_to_hear_before_any_has_a_second(monkeypatch):
  assert confusion_section._shared_out([9, 2, 1]) == [3, 2, 1]
  monkeypatch.setattr(confusion_section, '_OF_ALL', 4)
  assert confusion_section._shared_out([9, 2, 1]) == [2, 1, 1]
  assert confusion_section._shared_out([]) == []
  assert sum(confusion_section._shared_out([1] * 9)) == 4


def test_precision_recall_and_f1_are_those_of_the_decisions(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  scored = scored_clips(
    predictions.load(tmp_path / 'run'), list(results['per_class'])
  )
  (table,) = class_sections.classes(results, scored).blocks
  row = next(row for row in table.rows if row[0] == 'Wind')
  mine, guess = scored.targets[:, 4], scored.probabilities.argmax(1) == 4
  recall = f'{np.mean(guess[mine]):.3f}'
  assert row[table.header.index('recall')] == recall
  results['decisions'] = {'points': {'best F1': {'F1': [0.25] * 4 + [None]}}}
  (table,) = class_sections.classes(results, scored).blocks
  assert 'thresholds' in table.caption and 'recall' not in table.header
  found = {row[0]: row[table.header.index('F1')] for row in table.rows}
  assert (found['Rain'], found['Wind']) == ('0.250', '—')


def test_operating_points_are_those_of_the_definition():
  targets = np.array([1, 0, 1, 1, 0, 0], bool)
  scores = np.array([0.9, 0.8, 0.7, 0.7, 0.7, 0.1])
  hits, false = class_sections._operating_points(targets, scores)
  assert hits.tolist() == [1, 3] and false.tolist() == [0, 2]


def test_chosen_classes_are_best_middle_and_worst():
  ap = np.array([0.1, 0.9, np.nan, 0.5, 0.7, 0.3, 0.2, 0.8])
  assert class_sections._chosen(ap).tolist() == [1, 7, 3, 5, 6, 0]
  assert class_sections._chosen(np.array([0.2, 0.4])).tolist() == [1, 0]


def test_table_16_has_the_thesis_s_beside_on_its_own_classes():
  names = ['Squeak', 'Oboe', 'Chime']
  targets = np.eye(3, dtype=bool)[[0, 0, 1, 2]]
  guesses = np.eye(3)[[1, 0, 1, 2]]
  scored = Scored(['a', 'b', 'c', 'd'], targets, guesses, names)
  results = {
    'per_class': {
      n: {'AP@3': x} for n, x in zip(names, (0.7, 1, 1), strict=True)
    },
    'config': {'dataset': 'fsdkaggle2018', 'data_dir': 'FSD'},
    'expected': {'MAP@3_public': 0.936},
  }
  taken = confusion_section.confusions(
    results, scored, finished_runs.show
  ).blocks[0]
  assert taken.header[3:] == ['thesis, AP@3', 'thesis, taken for']
  assert taken.rows == [
    ['Squeak', '0.700', 'Oboe (50%)', '0.391', 'Oboe, Fart'],
    ['Chime', '1.000', '—', '0.856', 'Glockenspiel'],
  ]
  results['config']['data_dir'] = ''  # synthetic sounds
  taken = confusion_section.confusions(
    results, scored, finished_runs.show
  ).blocks[0]
  assert taken.rows == [['Squeak', '0.700', 'Oboe (50%)']]
