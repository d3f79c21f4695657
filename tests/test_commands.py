"""Every command says what it takes, and ends well."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Every command but main, and an option that its help must name.
COMMANDS = {
  'aec_jax.evaluate': 'DIR', 'aec_jax.compare': '--out',
  'aec_jax.predict': '--bundle', 'aec_jax.export': '--seconds',
  'aec_jax.demo': '--port', 'launch.sweep': '--grid',
  'aec_jax.embed': '--out', 'aec_jax.search': '--label',
  'launch.prepare': '--segments', 'launch.onnx_page': 'OUT',
}  # fmt: skip


@pytest.mark.filterwarnings('ignore:.*found in sys.modules')
@pytest.mark.parametrize('name', COMMANDS)
def test_help_says_what_a_command_takes_and_ends_with_0(
  name, monkeypatch, capsys
):
  monkeypatch.setattr(sys, 'argv', [name, '--help'])
  with pytest.raises(SystemExit) as end:
    runpy.run_module(name, run_name='__main__')
  out, err = capsys.readouterr()
  assert (end.value.code or 0, err) == (0, '')
  assert COMMANDS[name] in out


def help_of_main(*options):
  found = subprocess.run(
    [sys.executable, '-m', 'aec_jax.main', '--help', *options],
    cwd=ROOT, env=dict(os.environ, JAX_PLATFORMS='cpu'),
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert (found.returncode, found.stderr) == (0, '')
  return found.stdout


def test_help_of_main_ends_with_0():
  found = help_of_main()
  for option in ('--config', '--workdir', '--cache_dir', '--mode'):
    assert option in found


def test_help_of_a_config_says_what_goes_by_the_data():
  found = help_of_main('--config=esc10').splitlines()
  sized = 'pitch_to=  # 120 with data_dir, 24 without; 0 to 1,000,000'
  assert f'  --config.{sized}' in found
  assert '  --config.batch_size=100  # 1 to 16,777,216' in found
  assert not [line for line in found if 'when_' in line]
