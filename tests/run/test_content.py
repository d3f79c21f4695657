"""Files known again by their bytes, and read again only when they changed."""

import hashlib
import os
import shutil

import pytest

from aec_jax.run import content


@pytest.fixture
def data(tmp_path):
  for name in ('a/one', 'a/two', 'b/one'):
    path = tmp_path / 'data' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f'of {name}'.encode())
  return tmp_path / 'data'


@pytest.fixture
def read(monkeypatch):
  """The paths whose bytes were read."""
  found, real = [], content._hash

  def hash_of(path):
    found.append(os.path.basename(os.path.dirname(path)) + '/'
                 + os.path.basename(path))  # fmt: skip
    return real(path)

  monkeypatch.setattr(content, '_hash', hash_of)
  return found


def paths_of(root):
  return sorted(str(path) for path in root.rglob('*') if path.is_file())


def test_a_digest_is_that_of_the_bytes_in_the_order_asked(data, tmp_path):
  paths = paths_of(data)
  expected = [
    hashlib.blake2b(open(path, 'rb').read(), digest_size=16).hexdigest()  # noqa: SIM115
    for path in paths
  ]
  assert len(set(expected)) == 3
  found = content.digests([*paths[::-1], paths[0]], tmp_path / 'cache')
  assert found == [*expected[::-1], expected[0]]


def test_files_are_read_once_as_long_as_they_stay(data, tmp_path, read):
  paths, cache = paths_of(data), tmp_path / 'cache'
  first = content.digests(paths, cache)
  assert sorted(read) == ['a/one', 'a/two', 'b/one']
  read.clear()
  assert content.digests(paths, cache) == first and read == []
  os.utime(paths[0], (1, 1))  # looked at again, and found to be the same
  assert content.digests(paths, cache) == first and read == ['a/one']
  read.clear()
  with open(paths[1], 'ab') as file:
    file.write(b'!')
  after = content.digests(paths, cache)
  assert read == ['a/two']
  assert [x == y for x, y in zip(first, after, strict=True)] == [
    True, False, True
  ]  # fmt: skip


def test_a_copy_elsewhere_has_the_same_digests(data, tmp_path):
  before = content.digests(paths_of(data), tmp_path / 'cache')
  other = shutil.copytree(data, tmp_path / 'other', copy_function=shutil.copy)
  assert content.digests(paths_of(other), tmp_path / 'cache') == before


@pytest.mark.parametrize('text', ['', '[1]', '{"one": 5}', '{"one": [1, 2'])
def test_what_is_kept_and_damaged_is_made_anew(data, tmp_path, text):
  before = content.digests(paths_of(data), tmp_path / 'cache')
  for path in (tmp_path / 'cache' / 'content').iterdir():
    path.write_text(text)
  assert content.digests(paths_of(data), tmp_path / 'cache') == before


def test_some_of_a_folder_s_files_keep_what_is_known_of_the_rest(
  data, tmp_path, read
):
  paths, cache = paths_of(data), tmp_path / 'cache'
  content.digests(paths[:1], cache)
  content.digests(paths[1:2], cache)
  read.clear()
  content.digests(paths[:2], cache)
  assert read == []


def test_a_file_that_is_gone_is_an_os_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    content.digests([str(tmp_path / 'none')], tmp_path / 'cache')
