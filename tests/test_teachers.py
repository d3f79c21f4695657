"""Learning from finished experiments: the targets, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from train_data import released_features

from aec_jax import dry_run, predictions, presets, sources, teachers
from aec_jax.config_checks import check_config
from aec_jax.errors import UserError
from aec_jax.input import batches
from configs import audioset_bal_distilled


def student(data_dir, *folders, **fields):
  """A config that learns of the scored clips, of which more is known."""
  config = audioset_bal_distilled.get_config()
  config.data_dir = str(data_dir)
  config.teacher = ','.join(map(str, folders))
  config.train_splits, config.eval_splits = ('eval',), ('bal_train',)
  config.update_from_flattened_dict(fields)
  return presets.resolve(config)


def test_targets_are_made_of_labels_and_of_what_teachers_say(
  audioset_run, audioset_dir, tmp_path, monkeypatch
):
  workdir = audioset_run[2]
  config = student(audioset_dir, workdir, teacher_weight=0.25)
  source = sources.Released(config, tmp_path)
  found = source.features(10)
  labels = source.labels.multi_hot()
  # Of the clips that the teacher was scored on, what it said is known.
  said = predictions.load(workdir)['probabilities']
  assert found.targets.dtype == np.float16
  n = source.n_train
  np.testing.assert_allclose(
    found.targets[:n], 0.25 * said + 0.75 * labels[:n], atol=1e-3
  )
  np.testing.assert_array_equal(found.targets[n:], labels[n:])
  # The second time it is there, and two are averaged.
  monkeypatch.setattr(teachers, '_said', None)
  twice = student(audioset_dir, workdir, workdir / 'bundle', teacher_weight=1.0)
  again = sources.Released(twice, tmp_path).features(10)
  np.testing.assert_allclose(again.targets[:n], said, atol=1e-3)


def test_a_moved_teacher_is_the_same_one(audioset_run, audioset_dir, tmp_path):
  shutil.copytree(audioset_run[2] / 'bundle', tmp_path / 'elsewhere')
  here, there = (
    sources.Released(student(audioset_dir, *some), tmp_path / 'cache')
    for some in ([audioset_run[2]], [tmp_path / 'elsewhere'])
  )
  alone = sources.Released(student(audioset_dir), tmp_path / 'cache')
  assert here.fingerprints == there.fingerprints
  assert here.fingerprints[1:] == alone.fingerprints


def test_mixup_mixes_what_is_learned():
  targets = np.linspace(0, 1, 48 * 3).reshape(48, 3).astype(np.float16)
  table = released_features().table()
  table['labels'] = targets
  step = {
    'first': np.array([0, 1]),
    'second': np.array([5, 6]),
    'weight': np.array([1.0, 0.25], np.float32),
  }
  batch = batches.assemble(batches.gather_step(table, 0, step), 3)
  np.testing.assert_allclose(batch['targets'][0], targets[0], rtol=1e-3)
  mixed = 0.25 * targets[1] + 0.75 * targets[6]
  np.testing.assert_allclose(batch['targets'][1], mixed, rtol=1e-2)


def test_what_cannot_teach_is_refused(
  audioset_run, audioset_dir, synthetic_dir, dcase_run, tmp_path
):
  workdir = audioset_run[2]
  for config, words in (
    (student(audioset_dir, tmp_path), 'is no bundle'),
    (student(audioset_dir, dcase_run[2]), 'is of single_label'),
    (student(synthetic_dir, workdir), 'knows other classes than'),
  ):
    with pytest.raises(
      UserError, match=rf'config\.teacher: .*{words}'
    ) as error:
      sources.Released(config, tmp_path / 'cache')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('teacher', 'weight', 'words'),
  [
    ('', 0.5, 'teacher_weight is 0.5, and nothing to learn from is given'),
    ('runs/some', 0.0, 'teacher is given, and config.teacher_weight is 0'),
  ],
)
def test_teachers_and_their_weight_go_together(teacher, weight, words):
  config = student('', teacher, teacher_weight=weight)
  with pytest.raises(UserError, match=rf'^config\.{words}'):
    check_config(config)


def test_a_dry_run_looks_for_the_teacher(audioset_run, audioset_dir, tmp_path):
  workdir = audioset_run[2]

  def said(teacher):
    config = student(audioset_dir, teacher)
    return list(dry_run.lines(config, tmp_path / 'new', tmp_path / 'cache', {}))

  assert f'targets in part what is said by {workdir}' in said(workdir)
  with pytest.raises(UserError, match=r'^config\.teacher: .* is no bundle'):
    said(tmp_path)


def test_a_bundle_does_not_say_where_its_teachers_lay(audioset_run):
  info = json.loads((audioset_run[2] / 'bundle' / 'bundle.json').read_text())
  assert info['config']['teacher'] == ''
