"""What a work folder says of itself."""

import subprocess

import pytest
from train_data import released_config

from aec_jax import presets
from aec_jax.errors import UserError
from aec_jax.run import claim, files


def test_the_revision_is_git_s_where_there_is_one(tmp_path, monkeypatch):
  assert claim._revision(tmp_path) == ''  # no checkout
  (tmp_path / '.git').mkdir()
  described = ['git', 'describe', '--always', '--dirty']

  def run(command, cwd, **_):
    assert command == described and cwd == tmp_path
    return subprocess.CompletedProcess(command, 0, 'd2ef21c\n')

  monkeypatch.setattr(subprocess, 'run', run)
  monkeypatch.setattr(claim.shutil, 'which', lambda name: f'/usr/bin/{name}')
  assert claim._revision(tmp_path) == 'd2ef21c'
  monkeypatch.setattr(claim.shutil, 'which', lambda name: None)
  assert claim._revision(tmp_path) == ''  # a machine without git


@pytest.mark.parametrize(
  ('there', 'here', 'said'),
  [
    ('one', '', 'config.teacher: one there, none here, or another data set'),
    ('one', 'two', 'config.teacher: one there, two here, or another data set'),
    ('one', 'one', 'the data set, or the teachers in one'),
    ('', '', '(the data set)'),
  ],
)
def test_teachers_are_named_where_they_differ(tmp_path, there, here, said):
  before = released_config(teacher=there, teacher_weight=0.5).to_dict()
  files.write_json(
    tmp_path / 'experiment.json',
    {'config': before, 'dataset_fingerprint': 'of then'},
  )
  config = released_config(teacher=here, teacher_weight=0.5)
  with pytest.raises(UserError) as error:
    claim.make_claim(config, tmp_path, {}, {'dataset_fingerprint': 'of now'})
  assert said in str(error.value)


@pytest.mark.parametrize(
  ('fields', 'theirs'),
  [
    ({'data_dir': 'FSD'}, {'MAP@3_public': 0.936}),
    ({'data_dir': ''}, {}),  # synthetic sounds
    ({'data_dir': 'MINE', 'dataset': 'folder'}, {}),
    ({'data_dir': 'FSD', 'classes': ('Oboe', 'Flute')}, {}),
  ],
)
def test_the_thesis_has_scores_of_its_own_data_alone(tmp_path, fields, theirs):
  config = presets.shipped('dcase_l6')
  config.update(fields)
  about = {'dataset_fingerprint': '0123'}
  claimed = claim.make_claim(config, tmp_path, {}, about)
  assert claimed['expected'] == theirs


def test_an_evaluation_before_the_end_is_no_end_of_training(tmp_path):
  """Training that goes on from there writes its own results."""
  config = released_config()
  results = {
    'experiment': 'one', 'config': config.to_dict(), 'metrics': {'mAP': 0.5}
  }  # fmt: skip
  for seconds, finished in (
    ({'prepare': 1.0, 'embed': 0.0, 'score': 2.0}, False),
    ({'prepare': 1.0, 'train': 3.0, 'score': 2.0}, True),
    ({'prepare': 1.0, 'fine_tune': 3.0, 'score': 2.0}, True),
    ({}, True),  # older ones
  ):
    files.write_json(tmp_path / 'results.json', results | {'seconds': seconds})
    found = claim.finished_results(config, tmp_path, {})
    assert bool(found) == finished


@pytest.mark.parametrize('record', [['x'], 'x', None, 3])
def test_a_claim_without_settings_is_damaged(tmp_path, record):
  claimed = {'config': record, 'dataset_fingerprint': ''}
  files.write_json(tmp_path / 'experiment.json', claimed)
  for use in (
    lambda: claim.read_claim(released_config(), tmp_path, {}),
    lambda: claim.make_claim(
      released_config(), tmp_path, {}, {'dataset_fingerprint': ''}
    ),
  ):
    with pytest.raises(UserError, match='experiment.json is damaged: config'):
      use()


def test_what_to_do_with_a_damaged_claim_is_said_and_helps(tmp_path):
  (tmp_path / 'experiment.json').write_text('{"config')
  make = lambda: claim.make_claim(
    released_config(), tmp_path, {}, {'dataset_fingerprint': ''}
  )
  with pytest.raises(UserError, match='; remove it, and the command'):
    make()
  (tmp_path / 'experiment.json').unlink()
  assert make()['dataset_fingerprint'] == ''
