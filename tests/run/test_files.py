"""What is no file where a command reads one: named, and not waited for."""

import errno
import os
import re
import signal
import types

import finished_runs
import pytest

from aec_jax import answers, archive, asking, compare, evaluate, index
from aec_jax.datasets import (
  audioset_tfrecord,
  class_list,
  clips,
  examples,
  fsd50k,
  tfrecord,
)
from aec_jax.errors import UserError, naming
from aec_jax.features.log_mels import ClipExamples
from aec_jax.models import convert, embedding_postprocess, fetch
from aec_jax.run import checksums, console, files, lock, rates, remote
from aec_jax.train import start

TAGGER = types.SimpleNamespace(classes=('Bark', 'Meow'))


@pytest.fixture(autouse=True)
def _impatience():
  """Ends who waits for a pipe."""

  def end(*_):
    raise AssertionError('waited for a pipe')

  before = signal.signal(signal.SIGALRM, end)
  signal.alarm(20)
  yield
  signal.alarm(0)
  signal.signal(signal.SIGALRM, before)


def thresholds(path):
  options = types.SimpleNamespace(threshold=str(path), precision=None)
  asking.thresholds(TAGGER, options)


def a_run(path, use):
  finished_runs.audioset_run(path.parent / 'other')
  here = path.parent / 'run'
  finished_runs.audioset_run(here)
  (here / 'predictions.npz').unlink()
  os.rename(path, here / 'predictions.npz')
  use(here, path.parent / 'other')


def a_part(path):
  out = path.parent / 'index'
  out.mkdir()
  files.write_json(out / archive.RUN, {'parts': 1, 'bundle': {}})
  os.rename(path, out / 'part-00000.parquet')
  list(index.open_index(str(out)).blocks())


# By the name that it reads: a reader of it. Those of a folder read the name.
READERS = {
  'limits.csv': thresholds,
  'names.txt': lambda path: answers.chosen(TAGGER, str(path)),
  'own.py': lambda path: console.config_path(str(path)),
  'init.npz': lambda path: start.of_file(types.SimpleNamespace(init=str(path))),
  'weights.npz': lambda path: convert.load(str(path)),
  'vggish.ckpt': lambda path: convert.read(str(path)),
  'parts.ckpt.index': lambda path: convert.load(
    str(path).removesuffix('.index')
  ),
  'pca.npz': lambda path: embedding_postprocess.load_pca(str(path)),
  'fetched.bin': lambda path: fetch._check_own(path, None, None),
  fetch.RECORD: lambda path: fetch._holds(path.parent / 'fetched'),
  archive.RUN: lambda path: archive._claim(
    path.parent, types.SimpleNamespace(name='', settings={}), {}, [], 0
  ),
  'evaluated.npz': lambda path: a_run(
    path, lambda *folders: evaluate.compare(folders)
  ),
  'compared.npz': lambda path: a_run(
    path, lambda *folders: compare.compare(path.parent / 'c.html', folders)
  ),
  'index.npz': lambda path: index.open_index(str(path)),
  'index.parquet': lambda path: index.open_index(str(path)),
  'part.parquet': a_part,
  'eval.skipped.json': lambda path: audioset_tfrecord.listed_beside(
    path.parent, 'skipped'
  ),
  'class_labels_indices.csv': lambda path: class_list.of_release(path.parent),
  'mid_to_display_name.tsv': lambda path: class_list.names_of_mids(
    [path.parent]
  ),
  'FSD50K.ground_truth/dev.csv': lambda path: fsd50k.from_fsd50k(
    path.parents[1]
  ),
  'records.tfrecord': lambda path: tfrecord.count_records(path),
  'examples.json': lambda path: examples.Examples.load(path.parent),
  'clips.json': lambda path: ClipExamples.load(path.parent),
  'checksums.json': lambda path: checksums.check(path.parent),
  'settled.json': lambda path: remote.settle(remote.epath.Path(path), '{}'),
}  # fmt: skip


@pytest.mark.parametrize('name', READERS)
def test_a_pipe_is_called_that(tmp_path, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  os.mkfifo(path)
  with pytest.raises(UserError, match='a pipe, not a file') as refused:
    READERS[name](path)
  assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
  'name', ['limits.csv', 'names.txt', 'own.py', 'init.npz', 'weights.npz']
)
def test_so_is_a_dangling_link(tmp_path, name):
  (tmp_path / name).symlink_to('gone')
  with pytest.raises(UserError, match=f'{name}: a dangling link'):
    READERS[name](tmp_path / name)


def test_a_device_is_no_weights():
  for read in (convert.load, embedding_postprocess.load_pca):
    with pytest.raises(UserError, match='/dev/zero: a device, not a file'):
      read('/dev/zero')


def test_a_damaged_stage_s_pipe_is_to_be_deleted(tmp_path):
  (tmp_path / 'a.npy').write_bytes(b'1')
  checksums.write(tmp_path)
  (tmp_path / 'a.npy').unlink()
  os.mkfifo(tmp_path / 'a.npy')
  said = f'a.npy: a pipe, not a file: delete {tmp_path} and run again'
  with pytest.raises(UserError, match=said):
    checksums.check(tmp_path)


def test_what_is_kept_for_speed_is_made_anew(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  assert rates._read(tmp_path / 'pipe') == {}
  assert lock.holder(tmp_path / 'pipe') == ''


@pytest.mark.parametrize(
  ('make', 'what'),
  [
    (os.mkfifo, 'a pipe, not a folder'),
    (lambda path: path.symlink_to('gone'), 'a dangling link, not a folder'),
    (lambda path: path.touch(), 'a file, not a folder'),
    (lambda path: None, 'no such folder'),
  ],
)
def test_what_is_no_folder_of_data_is_called_what_it_is(tmp_path, make, what):
  make(tmp_path / 'data')
  with pytest.raises(UserError, match=f'data: {what}'):
    clips.roots_of(tmp_path / 'data')


def test_where_no_folder_can_be_is_said_beforehand(tmp_path):
  file, loop = tmp_path / 'file', tmp_path / 'loop'
  file.write_text('')
  loop.symlink_to(loop)
  files.check_folder_can_be('--workdir', tmp_path / 'a' / 'b')
  assert list(tmp_path.glob('a')) == []
  for path, why in (
    (file, f'{file}: a file, not a folder'),
    (file / 'a' / 'b', f'{file}: a file, not a folder'),
    (loop / 'a', ': too many levels of symbolic links'),
    ('/dev/null/a', '/dev/null: a device, not a folder'),
    ('', "--workdir is '', no name of a folder"),
  ):
    with pytest.raises(UserError, match=re.escape(why)):
      files.check_folder_can_be('--workdir', path)


def refuse(path, monkeypatch, number):
  """Has the system refuse to say anything of a path, as root is never."""
  stat = os.stat

  def refusing(some, *args, **kwargs):
    if not isinstance(some, int) and os.fspath(some) == os.fspath(path):
      raise OSError(number, os.strerror(number), os.fspath(path))
    return stat(some, *args, **kwargs)

  monkeypatch.setattr(os, 'stat', refusing)


def test_what_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
  assert files.why_no_folder(tmp_path) == ''
  assert files.why_no_folder(tmp_path / 'a') == 'no such folder'
  secret = tmp_path / 'demo.py'  # the name of one that is shipped
  assert console.config_path(str(secret)).endswith('configs/demo.py')
  refuse(secret, monkeypatch, errno.EACCES)
  assert files.why_no_folder(secret) == 'permission denied'
  for read in (clips.roots_of, lambda path: console.config_path(str(path))):
    with pytest.raises(UserError, match='demo.py: permission denied'):
      read(secret)


def test_a_folder_that_may_not_be_listed_is_not_empty(tmp_path, monkeypatch):
  monkeypatch.setattr(os, 'access', lambda path, how: False)
  with pytest.raises(UserError, match=f'{tmp_path}: permission denied'):
    clips.roots_of(tmp_path)


@pytest.mark.parametrize(
  ('argv', 'said'),
  [
    (['--bundle='], "--bundle is '': give a value \\("),
    (['--bundle=a', '--vggish='], "--vggish is '': give a value, or leave"),
  ],
)
def test_an_empty_option_is_named(argv, said):
  with pytest.raises(UserError, match=said):
    console.BundleParser('').parse_args(argv)


def test_an_empty_config_is_named():
  with pytest.raises(UserError, match="--config is ''"):
    console.config_path('')


@pytest.mark.parametrize(
  ('number', 'path', 'said'),
  [
    (errno.ENOSPC, None, 'cannot write one or two: No space left on device; x'),
    (errno.ENOSPC, 'a', 'cannot write one or two: No space left on device; x'),
    (errno.EACCES, 'a', 'cannot open a: Permission denied; x'),
    (errno.EIO, 'a', 'a: cannot be read now'),
  ],
)
def test_what_the_system_refuses_has_a_name(number, path, said):
  error = OSError(number, os.strerror(number), *([path] if path else []))
  with (
    pytest.raises(UserError, match=said),
    naming('one', 'two', advice='x'),
  ):
    raise error
