"""What a work folder says of itself."""

import subprocess

from aec_jax.run import claim


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
