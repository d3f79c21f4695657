"""Stages that appear whole or not at all, and work folders held by one."""

import json
import os
import subprocess
import sys
import threading

import pytest

from aec_jax.errors import UserError
from aec_jax.run import cache, files


def build(text):
  def write(folder):
    (folder / 'out.txt').write_text(text)

  return write


def test_a_stage_is_built_once_for_what_it_depends_on(tmp_path):
  first = cache.stage(tmp_path, 'pack', {'files': ['a', 1]}, build('one'))
  again = cache.stage(tmp_path, 'pack', {'files': ['a', 1]}, build('two'))
  other = cache.stage(tmp_path, 'pack', {'files': ['a', 2]}, build('two'))
  assert first == again != other
  assert (first / 'out.txt').read_text() == 'one'
  assert json.loads((first / 'depends.json').read_text()) == {'files': ['a', 1]}


def test_a_stage_that_fails_leaves_nothing(tmp_path):
  def fail(folder):
    build('half')(folder)
    raise UserError('no')

  with pytest.raises(UserError):
    cache.stage(tmp_path, 'pack', {}, fail)
  assert list(tmp_path.iterdir()) == []
  assert (
    cache.stage(tmp_path, 'pack', {}, build('whole')) / 'out.txt'
  ).exists()


def test_of_two_that_need_a_stage_one_builds_it_and_the_other_waits(tmp_path):
  built = []

  def slow(folder):
    built.append(folder)
    if len(built) == 1:
      other.start()
      other.join(0.2)
      assert other.is_alive()
    build('once')(folder)

  other = threading.Thread(
    target=lambda: cache.stage(tmp_path, 'pack', {}, slow)
  )
  folder = cache.stage(tmp_path, 'pack', {}, slow)
  other.join()
  assert len(built) == 1
  assert (folder / 'out.txt').read_text() == 'once'
  assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_where_the_first_of_two_fails_the_other_builds(tmp_path):
  def fail(folder):
    other.start()
    other.join(0.2)
    raise UserError('no')

  other = threading.Thread(
    target=lambda: cache.stage(tmp_path, 'pack', {}, build('second'))
  )
  with pytest.raises(UserError):
    cache.stage(tmp_path, 'pack', {}, fail)
  other.join()
  (folder,) = tmp_path.iterdir()
  assert (folder / 'out.txt').read_text() == 'second'


def test_a_stage_that_appears_meanwhile_stays(tmp_path):
  """As it may on a network disk that shows it late."""
  name = f'pack-{cache.digest({})}'

  def slow(folder):
    (tmp_path / name).mkdir()
    build('first')(tmp_path / name)
    build('second')(folder)

  folder = cache.stage(tmp_path, 'pack', {}, slow)
  assert (folder / 'out.txt').read_text() == 'first'
  assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_work_folder_has_one_user(tmp_path):
  with (
    cache.only_user(tmp_path),
    pytest.raises(UserError, match=r'in use by process \d+'),
    cache.only_user(tmp_path),
  ):
    pass
  with cache.only_user(tmp_path):
    pass


def test_a_json_file_is_replaced_whole(tmp_path):
  path = tmp_path / 'new' / 'results.json'
  files.write_json(path, {'a': 1})
  with pytest.raises(ValueError, match='Circular'):
    loop = {}
    loop['loop'] = loop
    files.write_json(path, loop)
  assert json.loads(path.read_text()) == {'a': 1}
  assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_processes_that_write_one_file_at_once_all_succeed(tmp_path):
  """The last one's is there, and nothing of one that was killed."""
  path = tmp_path / 'hashes.json'
  with files.whole(path) as unfinished:
    unfinished.write_text('1')
    left = unfinished.with_name(f'{unfinished.name}'.replace(
      f'-{os.getpid()}.', f'-{_dead_process()}.'
    ))  # fmt: skip
    left.touch()
    script = (
      f'from aec_jax.run import files; files.write_json({str(path)!r}, 2)'
    )
    subprocess.run([sys.executable, '-c', script], check=True)
    assert json.loads(path.read_text()) == 2
  assert json.loads(path.read_text()) == 1
  assert [p.name for p in tmp_path.iterdir()] == ['hashes.json']


def _dead_process() -> int:
  with subprocess.Popen([sys.executable, '-c', '']) as process:
    return process.pid
