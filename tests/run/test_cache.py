"""Stages that appear whole or not at all, and work folders held by one."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from aec_jax.errors import UserError
from aec_jax.run import cache, files, lock


@pytest.fixture(params=['flock', 'no flock'])
def disk(request, monkeypatch):
  """A disk with `flock`, and one without."""
  if request.param == 'no flock':

    def flock(file, how):
      raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(lock.fcntl, 'flock', flock)
    monkeypatch.setattr(lock, '_LOOK', 0.02)
  return request.param


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


def test_of_two_that_need_a_stage_one_builds_it_and_the_other_waits(
  tmp_path, disk
):
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


def test_where_the_first_of_two_fails_the_other_builds(tmp_path, disk):
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


def test_a_work_folder_has_one_user(tmp_path, disk):
  for _ in range(2):
    assert cache.user_of(tmp_path) == ''
    with cache.only_user(tmp_path):
      user = cache.user_of(tmp_path)
      assert user.startswith(f'process {os.getpid()} on ')
      with (
        pytest.raises(UserError, match=f'{tmp_path} is in use by {user}: wait'),
        cache.only_user(tmp_path),
      ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('disk', ['no flock'], indirect=True)
def test_a_soft_lock_ends_with_its_process(tmp_path, disk, monkeypatch):
  """On this machine at once; on another when it is touched no more."""
  path, other = (
    tmp_path / '.lock.soft',
    'process 1 on elsewhere\n1 other boot\n',
  )
  here = f'process 1 on me\n{_dead_process()} {lock._machine()}\n'
  again = f'process 1 on me\n{os.getpid()} {lock._machine()}\n'  # its number
  for dead in (here, again):
    path.write_text(dead)
    with cache.only_user(tmp_path):
      assert f'process {os.getpid()} on' in path.read_text()
  path.write_text(other)
  assert cache.user_of(tmp_path) == 'process 1 on elsewhere'
  with (
    pytest.raises(UserError, match='in use by process 1 on elsewhere'),
    cache.only_user(tmp_path),
  ):
    pass
  long_ago = time.time() - 100
  os.utime(path, (long_ago, long_ago))
  monkeypatch.setattr(lock, '_BEAT', 0.01)
  with cache.only_user(tmp_path):
    before = path.stat().st_mtime_ns
    deadline = time.monotonic() + 20
    while path.stat().st_mtime_ns == before:  # it is touched
      assert time.monotonic() < deadline
      time.sleep(0.01)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('disk', ['no flock'], indirect=True)
def test_of_many_that_find_a_dead_soft_lock_one_has_it(
  tmp_path, disk, monkeypatch
):
  monkeypatch.setattr(lock, '_LOOK', 0.001)
  here = f'process 1 on me\n{_dead_process()} {lock._machine()}\n'
  holding, most = [], []

  def hold():
    with lock.held(tmp_path / '.lock', lambda: None):
      holding.append(1)
      most.append(len(holding))
      time.sleep(0.0005)
      holding.pop()

  for _ in range(50):  # one of 30 had it twice
    (tmp_path / '.lock.soft').write_text(here)
    some = [threading.Thread(target=hold) for _ in range(8)]
    for thread in some:
      thread.start()
    for thread in some:
      thread.join()
    assert list(tmp_path.iterdir()) == []
  assert most == [1] * 8 * 50


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


def test_what_is_damaged_later_is_found_when_it_is_opened(tmp_path):
  def write(folder):
    (folder / 'a').mkdir()
    (folder / 'a' / 'b.npy').write_bytes(bytes(1 << 20))

  folder = cache.stage(tmp_path, 'pack', {}, write)
  assert cache.stage(tmp_path, 'pack', {}, write) == folder
  path = folder / 'a' / 'b.npy'
  with open(path, 'r+b') as file:
    file.seek(1 << 19)
    file.write(b'\1')
  with pytest.raises(UserError, match=f'{path} is damaged: delete {folder}'):
    cache.stage(tmp_path, 'pack', {}, write)
  path.unlink()
  with pytest.raises(UserError, match=f'{path} is damaged'):
    cache.stage(tmp_path, 'pack', {}, write)
  (folder / 'checksums.json').write_text('[]')
  with pytest.raises(UserError, match='checksums.json is damaged'):
    cache.stage(tmp_path, 'pack', {}, write)
  # As an older version left it.
  (folder / 'checksums.json').unlink()
  assert cache.stage(tmp_path, 'pack', {}, write) == folder
