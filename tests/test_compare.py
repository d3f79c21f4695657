"""The comparison page: the thesis's tables, ours beside."""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import finished_runs
import numpy as np
import pytest
from scipy import stats

from aec_jax import compare, metrics
from aec_jax.errors import UserError
from aec_jax.report import runs, thesis
from aec_jax.run import console

ROOT = Path(__file__).parents[1]


def table(text, caption):
  """The rows of a Markdown table, by their heading."""
  block = text.partition(f'**{caption}')[2].split('\n\n')[1]
  rows = [line[2:-2].split(' | ') for line in block.splitlines()]
  return rows[0], {row[0]: row[1:] for row in rows[2:]}


def compared(tmp_path, folders):
  compare.compare(tmp_path / 'page.html', folders)
  assert (tmp_path / 'page.html').exists()
  return (tmp_path / 'page.md').read_text()


def test_all_rows_of_a_table_ours_beside_the_thesis(tmp_path):
  results = finished_runs.audioset_run(tmp_path / 'l3')
  text = compared(tmp_path, [tmp_path / 'l3'])
  header, rows = table(text, 'Table 10')
  assert header == [
    'model', 'mAP', 'thesis', 'AUC', 'thesis', "d'", 'thesis', 'run',
  ]  # fmt: skip
  assert list(rows) == [label for label, _ in thesis.ROWS['Table 10']]
  ours = results['metrics']
  mine = rows['level-3']
  assert mine[0].startswith(f'{ours["mAP"]:.4f}<br>')
  assert [cell.partition('<br>')[0] for cell in mine[1:6]] == [
    '0.347', f'{ours["AUC"]:.4f}', '0.963', f'{ours["d_prime"]:.4f}', '2.520',
  ]  # fmt: skip
  assert rows['DNN-1'] == ['—', '0.253', '—', '0.934', '—', '2.133', '—']
  commands = re.search(r'```\n(.*?)\n```', text, re.S)[1].splitlines()
  assert len(commands) == 9
  assert commands[0] == (
    'python -m aec_jax.main --config=configs/audioset_dnn1.py'
    f' --workdir={tmp_path}/audioset_dnn1'
  )
  assert 'Table 13' not in text  # none of its runs is given


def test_commands_repeat_what_the_runs_were_told(tmp_path):
  folder = tmp_path / 'dcase_l6'
  finished_runs.dcase_run(folder)
  path = folder / 'results.json'
  results = json.loads(path.read_text())
  results['cache_dir'] = '/elsewhere/a cache'
  config = results['config']
  config['extractor'] |= {'init': 'vggish.npz', 'max_steps': 7}
  config |= {'data_dir': '/my data', 'max_steps': 9, 'classes': ['a', 'b']}
  config['model'] |= {'hidden': [8, 8, 8]}
  path.write_text(json.dumps(results))
  text = compared(tmp_path, [folder])
  commands = re.findall('python -m aec_jax.main .*', text)
  found = {re.search(r'configs/(\w+)', c).group(1): c for c in commands}
  said = shlex.split(found['dcase_l6_plain'])[3:]
  assert said == [
    '--config=configs/dcase_l6_plain.py',
    f'--workdir={tmp_path}/dcase_l6_plain',
    '--cache_dir=/elsewhere/a cache',
    '--config.data_dir=/my data',
    '--config.classes=a,b',
    '--config.extractor.init=vggish.npz',
    '--config.extractor.max_steps=7',
    '--config.max_steps=9',
    '--config.model.hidden=(8,8,8,)',
  ]
  # An LSTM has one layer.
  assert 'hidden' not in found['dcase_lstm']
  assert '--config.max_steps=9' in found['dcase_lstm']


def test_a_run_on_other_data_is_no_row_of_the_thesis(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  results['config'] |= {'dataset': 'folder', 'data_dir': '/my data'}
  (tmp_path / 'run/results.json').write_text(json.dumps(results))
  text = compared(tmp_path, [tmp_path / 'run'])
  assert '## Scores and cost' in text and 'Table 1' not in text


def test_every_row_is_a_config_with_the_number_of_the_thesis():
  for rows in thesis.ROWS.values():
    for _, names in rows:
      assert len({str(thesis.SCORES[name]) for name in names}) == 1
      assert thesis.SCORES[names[0]]
  for name, p_values in thesis.P_VALUES.items():
    assert [len(row) for row in p_values] == [6, 5, 4, 3, 2, 1], name
  assert thesis.p_value('Table 11', 2, 1) == '0.21'
  assert thesis.p_value('Table 15', 3, 6) == '0.494'


def test_the_scores_of_the_thesis_are_those_that_configs_expect():
  expected = {}
  for path in sorted((ROOT / 'configs').glob('*.py')):
    module = importlib.import_module(f'configs.{path.stem}')
    if hasattr(module, 'get_config'):
      expected[path.stem] = module.get_config().expected.to_dict()
  assert {k: v for k, v in expected.items() if v} == thesis.SCORES


def test_p_values_are_scipys_and_marked(tmp_path):
  for name in ('1', '2', '3'):
    finished_runs.audioset_run(
      tmp_path / name, f'audioset_level{name}', seed=int(name)
    )
  path = tmp_path / '2/results.json'
  results = json.loads(path.read_text())
  for entry in results['per_class'].values():
    entry['AP'] -= 0.3 + 0.01 * entry['AP']
  path.write_text(json.dumps(results))
  text = compared(tmp_path, [tmp_path / n for n in '123'])
  _, rows = table(text, 'Table 11')
  ap = {
    n: [entry['AP'] for entry in json.loads(
      (tmp_path / n / 'results.json').read_text())['per_class'].values()]
    for n in '123'
  }  # fmt: skip
  for a, b, theirs in (('1', '2', '0'), ('1', '3', '0'), ('2', '3', '0.21')):
    p = stats.ttest_rel(ap[a], ap[b]).pvalue
    cell = rows[f'level-{a}'][int(b) - 1]
    assert cell.startswith('**') == (p / 2 > 0.05)
    one, two, printed = cell.strip('*').split('<br>')
    np.testing.assert_allclose([float(one), float(two)], [p / 2, p], atol=6e-4)
    assert printed == theirs
    assert rows[f'level-{b}'][int(a) - 1] == cell
  assert rows['level-1'][0] == '' and rows['level-12'][0] == '—<br>—<br>3.9e-4'
  assert '**' in rows['level-1'][2]  # two draws of the same


def test_one_row_alone_is_tested_against_nothing(tmp_path):
  finished_runs.audioset_run(tmp_path / '1', 'audioset_level1')
  text = compared(tmp_path, [tmp_path / '1'])
  assert 'Table 10. ' in text and 'Table 11: ' not in text


def test_a_run_fills_each_row_that_it_is(tmp_path):
  finished_runs.dcase_run(tmp_path / 'f')
  text = compared(tmp_path, [tmp_path / 'f'])
  for name, row in (
    ('Table 13', 'F: D + mixup, α 0.2'), ('Table 14', 'level-123'),
    ('Table 15', '6'),
  ):  # fmt: skip
    _, rows = table(text, name)
    assert rows[row][0].endswith('<br>0.500–0.950')
    assert rows[row][1] == '0.936'
  _, rows = table(text, 'Figure 39')
  assert len(rows) == 5  # classes: no more are there
  assert 'What differs' not in text  # alone, it differs from none


def test_the_classes_of_figure_40_are_the_best_and_the_worst(tmp_path):
  config = 'dcase_l6'
  results = finished_runs.dcase_run(tmp_path / 'f', config)
  classes = [f'c{i}' for i in range(12)]
  results['per_class'] = {
    name: {'AP@3': (7 * i % 12) / 12} for i, name in enumerate(classes)
  }
  (tmp_path / 'f/results.json').write_text(json.dumps(results))
  _, rows = table(compared(tmp_path, [tmp_path / 'f']), 'Figure 40')
  found = [float(row[0]) for row in rows.values()]
  expected = [i / 12 for i in (11, 10, 9, 8, 3, 2, 1, 0)]
  np.testing.assert_allclose(found, expected, atol=6e-4)


def test_runs_of_any_kind_are_named_by_their_folder(tmp_path):
  for name in ('a', 'b'):
    results = finished_runs.audioset_run(
      tmp_path / name / 'run', seed=len(name)
    )
    results['experiment'] = results['config']['name'] = 'mine'
    results['parameters'] = {'classifiers': 1234}
    (tmp_path / name / 'run/results.json').write_text(json.dumps(results))
  folders = [tmp_path / name / 'run' for name in ('a', 'b')]
  text = compared(tmp_path, folders)
  header, rows = table(text, 'Scores, and below each')
  assert [name.partition('<br>')[0] for name in rows] == ['a/run', 'b/run']
  assert next(iter(rows.values()))[header.index('parameters') - 1] == '1,234'
  assert 'Table 10' not in text


def test_it_says_first_which_settings_differ_among_the_runs(tmp_path):
  finished_runs.audioset_run(tmp_path / 'one')
  results = finished_runs.audioset_run(tmp_path / 'other')
  results['config']['train_splits'] = ['bal_train']
  results['config']['data_dir'] = '/data'  # where it lies changes nothing
  del results['config']['seed']  # as if it had been added since: its default
  (tmp_path / 'other/results.json').write_text(json.dumps(results))
  text = compared(tmp_path, [tmp_path / 'one', tmp_path / 'other'])
  assert text.splitlines()[2] == '## What differs'
  _, rows = table(text.replace('\\', ''), 'The settings that are not')
  assert rows == {
    'train_splits': ['["bal_train", "unbal_train"]', '["bal_train"]']
  }


def test_all_pairs_are_tested_with_holm_s_correction(tmp_path):
  for seed in range(3):
    finished_runs.dcase_run(tmp_path / f'run{seed}', seed=seed)
  folders = [tmp_path / f'run{seed}' for seed in range(3)]
  text = compared(tmp_path, folders)
  _, rows = table(text, 'Paired t-tests over the clips’ reciprocal ranks')
  ranks = [compare.load(folder).paired for folder in folders]
  p = [stats.ttest_rel(ranks[i], ranks[j]).pvalue for i, j in PAIRS]
  for (i, j), one, corrected in zip(PAIRS, p, metrics.holm(p), strict=True):
    cell = rows[f'run{i}'][j].strip('*').split('<br>')
    difference = np.mean(ranks[i] - ranks[j])
    expected = [difference, one, corrected]
    np.testing.assert_allclose([float(x) for x in cell], expected, atol=6e-4)
    mirrored = rows[f'run{j}'][i].strip('*').split('<br>')
    assert float(mirrored[0]) == -float(cell[0]) and mirrored[1:] == cell[1:]


PAIRS = ((0, 1), (0, 2), (1, 2))


def test_holm_s_correction_is_the_step_down_one():
  found = metrics.holm([0.01, 0.04, 0.03, 0.005])
  np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
  assert metrics.holm([0.6, 0.9]).tolist() == [1, 1]
  assert metrics.holm([]).tolist() == []


def test_seeds_are_averaged(tmp_path):
  values = []
  for seed in (1, 2, 3):
    results = finished_runs.audioset_run(tmp_path / f'run{seed}', seed=seed)
    results['config']['seed'] = seed
    (tmp_path / f'run{seed}/results.json').write_text(json.dumps(results))
    values.append(results['metrics']['mAP'])
  finished_runs.audioset_run(tmp_path / 'other', 'audioset_level1', seed=4)
  names = ('run1', 'run2', 'run3', 'other')
  text = compared(tmp_path, [tmp_path / name for name in names])
  _, rows = table(text, 'Runs that differ in their seed alone')
  assert list(rows) == ['run1, run2, run3']
  spread = f'{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}'
  assert rows['run1, run2, run3'][:2] == ['3', spread]


def test_names_are_the_least_of_the_paths_that_differs():
  assert runs.names(['x/a', 'y/b']) == ['a', 'b']
  assert runs.names(['x/a', 'y/a']) == ['x/a', 'y/a']
  assert runs.names(['/r/x/a', '/s/x/a']) == ['r/x/a', 's/x/a']
  assert runs.names(['x/a', 'x/a']) == ['a', 'a']


def test_two_runs_of_a_row_have_a_line_each(tmp_path):
  for seed in (1, 2):
    finished_runs.audioset_run(tmp_path / f'run{seed}', seed=seed)
  text = compared(tmp_path, [tmp_path / 'run1', tmp_path / 'run2'])
  assert text.count('\n| level-3 | 0.') == 2


def test_runs_on_different_clips_are_compared_but_in_no_table(tmp_path):
  finished_runs.audioset_run(tmp_path / 'run')
  finished_runs.audioset_run(tmp_path / 'fewer', 'audioset_level1', clips=50)
  text = compared(tmp_path, [tmp_path / 'run', tmp_path / 'fewer'])
  _, rows = table(text, 'Scores, and below each')
  assert [name.partition('<br>')[0] for name in rows] == ['run', 'fewer']
  assert 'not scored on the same clips and classes: fewer, run.' in text
  assert '**Table 10' not in text


def test_scores_that_a_run_lacks_are_left_open(tmp_path):
  for seed in (1, 2):
    results = finished_runs.audioset_run(tmp_path / f'run{seed}', seed=seed)
    results['config']['seed'] = seed
    if seed == 1:
      del results['metrics']['AUC']
    else:
      results['metrics']['new'] = 0.5
    (tmp_path / f'run{seed}/results.json').write_text(json.dumps(results))
  text = compared(tmp_path, [tmp_path / 'run1', tmp_path / 'run2'])
  header, rows = table(text, 'Scores, and below each')
  cells = dict(zip(header[1:], next(iter(rows.values())), strict=True))
  assert cells['AUC'] == '—' and cells['new'] == '—' and cells['mAP'] != '—'
  header, rows = table(text, 'Runs that differ in their seed alone')
  cells = dict(zip(header[1:], rows['run1, run2'], strict=True))
  assert cells['AUC'] == '—' and '±' in cells['mAP']


def test_intervals_of_older_runs_are_of_what_is_scored(tmp_path):
  results = finished_runs.dcase_run(tmp_path / 'run')
  results.pop('intervals', None)
  results['metrics']['log_likelihood'] = -1.0
  (tmp_path / 'run/results.json').write_text(json.dumps(results))
  low, high = compare.load(tmp_path / 'run').intervals['log_likelihood']
  with np.load(tmp_path / 'run/predictions.npz') as file:
    p = np.take_along_axis(file['probabilities'], file['label_ids'][:, None], 1)
  assert low < np.log(p).mean() < high <= 0


def test_what_cannot_be_compared_is_refused(tmp_path):
  finished_runs.audioset_run(tmp_path / 'run')
  with pytest.raises(UserError, match='must end in .html'):
    compare.compare(tmp_path / 'p', [tmp_path / 'run'])
  for text in ('{', '{}', '[]'):
    (tmp_path / 'run/results.json').write_text(text)
    with pytest.raises(UserError, match=r'results\.json is damaged.*remove'):
      compare.compare(tmp_path / 'p.html', [tmp_path / 'run'])
  (tmp_path / 'run/results.json').unlink()
  with pytest.raises(UserError, match=r'results\.json: no such file'):
    compare.compare(tmp_path / 'p.html', [tmp_path / 'run'])
  assert not list(tmp_path.glob('p*'))


def test_the_command(tmp_path):
  finished_runs.audioset_run(tmp_path / 'run')
  done = subprocess.run(
    [sys.executable, '-m', 'aec_jax.compare', f'--out={tmp_path}/page.html',
     str(tmp_path / 'run')],
    cwd=ROOT, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert (done.returncode, done.stderr) == (0, '')
  assert (tmp_path / 'page.html').exists()


@pytest.mark.parametrize(
  'arguments',
  [
    ['--out={}/page.html', '{}/absent'],
    ['--out={}/page.html'],
    ['{}/run'],
    ['--out={}/page.html', '--in=a', '{}/run'],
    ['--out={}/run/results.json/page.html', '{}/run'],
  ],
)
def test_what_a_user_can_mend_is_one_line_and_status_2(
  tmp_path, capsys, arguments
):
  finished_runs.audioset_run(tmp_path / 'run')
  argv = [a.format(tmp_path) for a in arguments]
  assert console.run_command(lambda: compare.main(argv)) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.startswith('error: ')
  assert len(err.splitlines()) == 1
  assert not list(tmp_path.rglob('page.*'))
