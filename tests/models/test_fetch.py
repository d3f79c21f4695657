"""Fetching VGGish, from a server of this machine that may misbehave."""

import base64
import contextlib
import errno
import fcntl
import hashlib
import http.server
import json
import os
import threading
from unittest import mock

import numpy as np
import pytest
from test_convert import by_our_names, released, write_checkpoint
from test_vggish import write_pca

from aec_jax.models import convert, fetch
from aec_jax.run import lock
from aec_jax.run.console import run_command

SMALL = 8 / 4096  # every layer has 8 units


class Server(http.server.ThreadingHTTPServer):
  """Serves `files`, {name: bytes}, and notes the requests.

  Attributes:
    cut: bytes after which a connection ends, None for never.
    ranges: whether parts of a file are given.
    wrong_size: added to each Content-Length of HEAD.
    md5: of the files, by name, as Google's storage says it.
  """

  def __init__(self, files):
    super().__init__(('127.0.0.1', 0), Handler)
    self.files, self.requests, self.md5 = files, [], {}
    self.cut, self.ranges, self.wrong_size = None, True, 0

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_port}'


class Handler(http.server.BaseHTTPRequestHandler):
  def log_message(self, *args):
    pass

  def do_HEAD(self):
    self.answer()

  def do_GET(self):
    content, start = self.answer()
    stop = len(content) if self.server.cut is None else start + self.server.cut
    self.wfile.write(content[start:stop])

  def answer(self):
    server, name = self.server, self.path[1:]
    wanted = self.headers.get('Range', '')
    server.requests.append((self.command, name, wanted))
    content = server.files.get(name)
    if content is None:
      self.send_error(404)
      return b'', 0
    start = int(wanted[6:-1]) if wanted and server.ranges else 0
    self.send_response(206 if start else 200)
    extra = server.wrong_size if self.command == 'HEAD' else 0
    self.send_header('Content-Length', str(len(content) - start + extra))
    self.send_header('ETag', f'"{hashlib.md5(content).hexdigest()}"')
    if name in server.md5:
      self.send_header('x-goog-hash', 'crc32c=AAAAAA==')
      self.send_header('x-goog-hash', f'md5={server.md5[name]}')
    self.end_headers()
    return content, start


@pytest.fixture
def server(monkeypatch):
  for name in ('NO_PROXY', 'no_proxy'):
    monkeypatch.setenv(name, '127.0.0.1')
  with Server({'a.bin': bytes(range(256)) * 40}) as running:
    threading.Thread(
      target=running.serve_forever, args=(0.01,), daemon=True
    ).start()
    yield running
    running.shutdown()


def bring(server, folder, name='a.bin', read=lambda path: None):
  def main():
    fetch.fetch(f'{server.url}/{name}', folder / name, read)
    return 0

  return run_command(main)


def visible(folder):
  return sorted(p.name for p in folder.iterdir() if p.name[0] != '.')


def one_error(capsys, *parts):
  error = capsys.readouterr().err
  assert error.startswith('error: ') and error.count('\n') == 1, error
  for part in parts:
    assert part in error


def test_a_file_is_fetched_once(server, tmp_path, capsys):
  assert bring(server, tmp_path) == 0
  content = server.files['a.bin']
  assert (tmp_path / 'a.bin').read_bytes() == content
  assert json.loads((tmp_path / fetch.RECORD).read_text()) == {
    'a.bin': {
      'size': len(content),
      'sha256': hashlib.sha256(content).hexdigest(),
    }
  }
  assert sorted(os.listdir(tmp_path)) == ['a.bin', fetch.RECORD]
  server.requests.clear()
  assert bring(server, tmp_path) == 0
  assert server.requests == []
  assert 'there already' in capsys.readouterr().out


@pytest.mark.parametrize('cut', [1, 4_000, 10_239])
def test_a_cut_connection_is_taken_up_again(server, tmp_path, cut):
  server.files['a.bin'] = os.urandom(20 if cut == 1 else 10_240)
  server.cut = cut
  assert bring(server, tmp_path) == 0
  assert (tmp_path / 'a.bin').read_bytes() == server.files['a.bin']
  starts = [int(r[6:-1]) for _, _, r in server.requests if r]
  assert starts == list(range(cut, len(server.files['a.bin']), cut))


def stop_after(monkeypatch, server, folder, connections):
  """Lets a download go on for some connections, and then fail."""
  go_on, left = fetch._go_on, iter(range(connections))

  def failing(*args):
    if next(left, None) is None:
      raise KeyboardInterrupt
    go_on(*args)

  with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
    patch.setattr(fetch, '_go_on', failing)
    bring(server, folder)


def test_another_run_goes_on_where_one_stopped(server, tmp_path, monkeypatch):
  server.cut = 4_000
  stop_after(monkeypatch, server, tmp_path, 2)
  assert visible(tmp_path) == []
  server.cut = None
  server.requests.clear()
  assert bring(server, tmp_path) == 0
  assert server.requests[1:] == [('GET', 'a.bin', 'bytes=8000-')]
  assert (tmp_path / 'a.bin').read_bytes() == server.files['a.bin']


def test_the_beginning_of_another_version_is_dropped(
  server, tmp_path, monkeypatch
):
  server.cut = 4_000
  stop_after(monkeypatch, server, tmp_path, 1)
  server.cut, server.files['a.bin'] = None, bytes(10_240)
  assert bring(server, tmp_path) == 0
  assert (tmp_path / 'a.bin').read_bytes() == bytes(10_240)
  assert sorted(os.listdir(tmp_path)) == ['a.bin', fetch.RECORD]


def test_a_server_without_ranges(server, tmp_path, monkeypatch, capsys):
  server.ranges, server.cut = False, 4_000
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'after 4,000 of 10,240 bytes', 'run the command again')
  assert visible(tmp_path) == []
  server.cut = None
  assert bring(server, tmp_path) == 0
  assert (tmp_path / 'a.bin').read_bytes() == server.files['a.bin']


def test_a_wrong_size_is_refused(server, tmp_path, capsys):
  server.wrong_size = -1
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'the download is wrong: 10,240 bytes', 'has 10,239')
  assert os.listdir(tmp_path) == []


def test_google_s_md5_is_checked(server, tmp_path, capsys):
  md5 = hashlib.md5(b'other').digest()
  server.md5['a.bin'] = base64.b64encode(md5).decode()
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'its MD5 is', md5.hex())
  assert os.listdir(tmp_path) == []
  md5 = hashlib.md5(server.files['a.bin']).digest()
  server.md5['a.bin'] = base64.b64encode(md5).decode()
  assert bring(server, tmp_path) == 0


def test_what_cannot_be_read_is_not_trusted(server, tmp_path, capsys):
  server.files['pca.npz'] = b'<html>Please log in</html>'
  read = fetch.embedding_postprocess.load_pca
  assert bring(server, tmp_path, 'pca.npz', read) == 2
  one_error(capsys, 'pca.npz: the download is wrong: not a readable .npz')
  assert os.listdir(tmp_path) == []


def test_a_file_that_has_changed_is_refused(server, tmp_path, capsys):
  assert bring(server, tmp_path) == 0
  path = tmp_path / 'a.bin'
  path.write_bytes(path.read_bytes()[::-1])
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'a.bin has changed since', 'delete it')
  path.unlink()
  server.files['a.bin'] = bytes(10_240)
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'is no longer the file', fetch.RECORD)
  assert visible(tmp_path) == [fetch.RECORD]


def test_a_file_brought_by_other_means(server, tmp_path, capsys):
  (tmp_path / 'a.bin').write_bytes(b'half')
  assert bring(server, tmp_path) == 2
  one_error(capsys, 'a.bin: 4 bytes', 'delete it')
  (tmp_path / 'a.bin').write_bytes(server.files['a.bin'])
  assert bring(server, tmp_path) == 0
  assert [kind for kind, *_ in server.requests] == ['HEAD', 'HEAD']


def test_a_file_that_is_not_there(server, tmp_path, capsys):
  assert bring(server, tmp_path, 'b.bin') == 2
  one_error(capsys, f'{server.url}/b.bin: the server answers 404')


def test_no_network(tmp_path, capsys):
  status = run_command(
    lambda: fetch.main(
      ['vggish', f'--out={tmp_path}', '--url=http://127.0.0.1:9']
    )
  )
  assert status == 2
  one_error(
    capsys, 'http://127.0.0.1:9/vggish_pca_params.npz cannot be reached'
  )
  assert run_command(lambda: fetch.main(['vggish', '--url=nonsense'])) == 2
  one_error(capsys, 'nonsense/vggish_pca_params.npz cannot be reached')


def test_no_room(server, tmp_path, monkeypatch, capsys):
  usage = fetch.shutil.disk_usage(tmp_path)
  monkeypatch.setattr(
    fetch.shutil, 'disk_usage', lambda _: usage._replace(free=10_000)
  )
  assert bring(server, tmp_path) == 2
  one_error(capsys, str(tmp_path), 'make room')


def test_a_full_disk_is_one_line(server, tmp_path, capsys):
  os.symlink('/dev/full', tmp_path / 'full')
  remote = fetch._ask(f'{server.url}/a.bin')
  with (
    open('/dev/full', 'wb', buffering=0) as full,
    pytest.raises(OSError, match='No space left'),
  ):
    fetch._go_on(remote, full, fetch.progress.Meter('', 1))
  (tmp_path / 'file').write_text('')
  out = tmp_path / 'file' / 'below'
  argv = ['vggish', f'--out={out}', f'--url={server.url}']
  assert run_command(lambda: fetch.main(argv)) == 2
  one_error(capsys, str(out), 'Not a directory')


@pytest.mark.parametrize('flock', [True, False])
def test_two_at_once(server, tmp_path, capsys, monkeypatch, flock):
  if not flock:  # as of some network disks
    refused = OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(fcntl, 'flock', mock.Mock(side_effect=refused))
  with lock.held(tmp_path / '.a.bin.lock'):
    assert bring(server, tmp_path) == 2
  one_error(capsys, f'process {os.getpid()} on', 'is fetching it')
  assert bring(server, tmp_path) == 0


def test_vggish_is_fetched_and_converted(server, tmp_path, monkeypatch, capsys):
  shapes = convert.shapes
  monkeypatch.setattr(convert, 'shapes', lambda width=1.0: shapes(SMALL))
  variables = released(SMALL)
  ckpt = write_checkpoint(tmp_path / fetch.CHECKPOINT, variables, version=1)
  write_pca(tmp_path / fetch.PCA)
  server.files = {
    name: (tmp_path / name).read_bytes()
    for name in (fetch.CHECKPOINT, fetch.PCA)
  }
  server.cut = len(server.files[fetch.CHECKPOINT]) // 3
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  argv = ['vggish', f'--url={server.url}/']
  assert run_command(lambda: fetch.main(argv)) == 0
  out = tmp_path / 'cache' / 'aec_jax' / 'vggish'
  names = [fetch.RECORD, fetch.CONVERTED, fetch.CHECKPOINT, fetch.PCA]
  assert sorted(os.listdir(out)) == sorted(names)
  printed = capsys.readouterr().out
  assert printed.endswith(f'--config.extractor.init={out}/vggish.npz\n')
  loaded = convert.load(str(out / fetch.CONVERTED), SMALL)
  np.testing.assert_equal(loaded, by_our_names(variables))
  np.testing.assert_equal(loaded, convert.load(ckpt, SMALL))

  # Once more, without a server and without converting.
  server.files.clear()
  written = (out / fetch.CONVERTED).stat().st_mtime_ns
  assert run_command(lambda: fetch.main(argv)) == 0
  assert (out / fetch.CONVERTED).stat().st_mtime_ns == written
  (out / fetch.CONVERTED).unlink()
  assert run_command(lambda: fetch.main(argv)) == 0
  np.testing.assert_equal(
    loaded, convert.load(str(out / fetch.CONVERTED), SMALL)
  )


def test_help_shows_the_options(capsys):
  with pytest.raises(SystemExit) as status:
    fetch.main(['--help'])
  assert status.value.code == 0
  printed = capsys.readouterr().out
  assert '--out' in printed and '--url' in printed
  assert run_command(lambda: fetch.main(['resnet'])) == 2
  one_error(capsys, "'resnet'", '--help')
