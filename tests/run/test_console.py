"""How commands end."""

import errno
import os
import signal
import sys
import time

import pytest

from aec_jax.errors import UserError
from aec_jax.run import console, files, starting


def ends(raised):
  def command():
    raise raised

  return console.run_command(command)


@pytest.mark.parametrize(
  ('raised', 'status', 'said'),
  [
    (UserError('a\nb'), 2, r'error: a\nb'),
    (KeyboardInterrupt(), 130, 'stopped by Ctrl-C'),
    (
      OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/data/x'), 2,
      'error: cannot write /data/x: No space left on device',
    ),
    (
      ValueError('RESOURCE_EXHAUSTED: No space left on device'), 2,
      'error: cannot write what is made or said: No space left on device',
    ),
    (
      OSError(errno.EACCES, os.strerror(errno.EACCES), '/data/x'), 2,
      'error: cannot open /data/x: Permission denied',
    ),
    (
      OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), 'x' * 999),
      2, f'error: cannot open {"x" * 300}…: File name too long',
    ),
    (BrokenPipeError(), 0, None),
  ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line(capsys, raised, status, said):
  assert ends(raised) == status
  out, err = capsys.readouterr()
  assert out == '' and err.splitlines() == ([said] if said else [])


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_python_cannot_raise_comes_again(
  monkeypatch, capsys, number
):
  """In a destructor, say: there Python says so, and goes on."""
  monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook)
  came = []

  def hear(number, _):
    came.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(143)

  class Deaf:
    def __del__(self):
      signal.raise_signal(number)

  def command():
    made = Deaf()
    del made
    time.sleep(10)

  before = signal.signal(number, hear)
  try:
    if number == signal.SIGINT:
      assert console.run_command(command) == 130
    else:
      with pytest.raises(SystemExit):
        console.run_command(command)
  finally:
    signal.signal(number, before)
  assert came == [number, number]
  assert 'Traceback' not in capsys.readouterr().err


def test_ctrl_c_ends_what_only_imports_until_a_command_hears_it(
  monkeypatch, capfd
):
  class Ended(Exception):
    pass

  def end(status):
    raise Ended(status)

  def press():
    signal.raise_signal(signal.SIGINT)

  monkeypatch.setattr(os, '_exit', end)
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    starting.end_by_ctrl_c()  # of a background job
    press()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    starting.end_by_ctrl_c()
    with pytest.raises(Ended, match='130'):
      press()
    assert console.run_command(press) == 130
  finally:
    signal.signal(signal.SIGINT, before)
  assert capfd.readouterr().err == 'stopped by Ctrl-C\n' * 2


def test_other_errors_stay_what_they_are():
  with pytest.raises(ValueError, match='a bug'):
    ends(ValueError('a bug'))


@pytest.mark.parametrize('quote', [str, repr])
@pytest.mark.parametrize('told', ["'nope'", '\'nope\'\nDid you mean "hope"?'])
def test_a_field_that_is_none_is_said(told, quote):
  said = console._flag_error(AttributeError(quote(told)))
  said = said.removeprefix('the config has no field ')
  near = '' if 'Did' in told else 'nearest to it: config.name; '
  assert said == (
    f'{" ".join(told.split())} ({near}--help --config=… lists them)'
  )


def test_a_full_disk_for_the_output_is_said(monkeypatch, capsys):
  with open('/dev/full', 'w') as full:
    monkeypatch.setattr(sys, 'stdout', full)
    status = console.run_command(lambda: print('tags') or 0)
    monkeypatch.undo()
  assert status == 2
  err = capsys.readouterr().err
  assert err.startswith('error: cannot write ') and 'No space left' in err


def test_without_an_output_a_command_does_its_work(monkeypatch):
  for name in ('stdout', 'stderr'):  # as Python has it where they are closed
    monkeypatch.setattr(sys, name, None)
  assert console.run_command(lambda: print('tags') or 0) == 0


def test_what_is_no_file_has_a_name(tmp_path, monkeypatch):
  def why(name):
    return files.why_no_file(tmp_path / name)

  (tmp_path / 'file').touch()
  os.mkfifo(tmp_path / 'pipe')
  (tmp_path / 'link').symlink_to('gone')
  (tmp_path / 'loop').symlink_to('loop')
  assert why('file') == ''
  assert why('') == 'a folder, not a file'
  assert why('pipe') == 'a pipe, not a file'
  assert why('link') == 'a dangling link'
  assert why('loop') == os.strerror(errno.ELOOP).lower()
  assert why('gone') == why('file/x') == why('\0') == 'no such file'
  assert why('/dev/null') == 'a device, not a file'
  monkeypatch.setattr(os, 'access', lambda *_: False)
  assert why('file') == 'permission denied'


def test_a_folder_of_a_config_s_name_is_no_config(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'esc10').mkdir()
  (tmp_path / 'own.py').mkdir()
  assert console.config_path('esc10') == str(
    console.configs_folder() / 'esc10.py'
  )
  with pytest.raises(UserError, match=r'--config=own\.py: no such file'):
    console.config_path('own.py')
