"""What a work folder says of itself."""

import subprocess

import pytest
from train_data import released_config

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
