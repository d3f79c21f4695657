"""The sentences at the top of a report, and its learning curves."""

import finished_runs
from report_text import rows_of, written

from aec_jax import predictions
from aec_jax.report import learning_section, summary_section
from aec_jax.report.scored import scored_clips


def sentences(folder, results):
  scored = scored_clips(predictions.load(folder), list(results['per_class']))
  ((points,),) = [summary_section.summary(results, scored).blocks]
  return points.points


def test_it_says_what_how_good_beside_what_and_what_is_weak(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  results['per_class']['Rain']['AP@3'] = 0.1
  made, good, weak, *rest = sentences(tmp_path / 'run', results)
  assert made == (
    '2 classifiers (attention) on 2 fine-tuned extractors (vggish), 4,620,000'
    ' parameters in all, trained on fsdkaggle2018 (FSD): 1,234 clips of 5'
    ' classes; each classifier saw 800 to 900.'
  )
  assert '(95 % interval 0.600–0.900) on 40 clips' in good
  assert 'over 2 folds 0.550 ± 0.071' in good
  assert good.endswith('A guess that does not listen gets 0.367.')
  assert weak.startswith('Weakest: Rain (AP@3 0.10, 8 clips)')
  assert rest[-1].startswith('To try next: ')
  assert 'validation loss has risen since step 2' in rest[-1]


def test_a_folder_of_any_name_is_called_by_the_one_that_it_is_in():
  named = lambda path: summary_section.data_name(
    {'config': {'dataset': 'folder', 'data_dir': path}}
  )
  assert named('/data/esc10/audio') == 'folder (esc10/audio)'
  assert named('/data/esc10') == 'folder (esc10)'
  assert named('/audio') == 'folder (audio)'


def test_synthetic_data_is_called_so_and_old_results_do(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'run')
  text = ' '.join(sentences(tmp_path / 'run', results))
  assert 'a SYNTHETIC set in the form of audioset' in text
  assert '--config.data_dir=FOLDER' in text


def test_something_to_try_is_said_where_the_numbers_ask_for_nothing():
  member = {'name': 'member', 'training_clips': 9}
  results = {
    'config': {'members': 1, 'data_dir': 'DATA', 'max_steps': 9},
    'ensembles': {'10': {'evaluations': [], 'members': [member]}},
  }
  assert [*summary_section._next(results)] == [
    'To try next: several members side by side, whose mean counts,'
    ' --config.members=5.'
  ]
  results['ensembles']['10']['members'].append(member)
  (said,) = summary_section._next(results)
  assert said.startswith('To try next: another seed, --config.seed=1, and both')


def test_curves_begin_at_step_0_and_have_the_validation_loss(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  text = written(tmp_path / 'run', results)
  rows = rows_of(text, 'All evaluations')
  assert rows[0] == ['0', '—', '1.6000', '0.2000']
  assert rows[2] == ['4', '0.5000', '1.5000', '0.6000']
  rows = rows_of(text, 'Fine-tuning: all evaluations')
  assert [row[1] for row in rows] == ['0', '20', '40', '60']
  charts = [
    b.chart
    for b in learning_section.learning(results).blocks
    if b.kind == 'Figure'
  ]
  assert len(charts) == 4 and all('passes over' in c for c in charts)
  folds = rows_of(text, 'Scores of the models of each fold')
  assert [row[2] for row in folds] == ['0.5000', '0.6000', '0.5500', '0.0707']
