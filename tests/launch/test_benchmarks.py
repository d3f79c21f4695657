"""Each benchmark has its help, and runs at its smallest."""

import importlib
import os
import pkgutil
import subprocess
import sys

import pytest

from launch import benchmarks
from launch.jobs import ROOT

# What asks for other packages, and is helped by them alone.
PEERS = {
  'audio': 'librosa', 'classifiers': '', 'command': '', 'extractors': '',
  'hlo': None, 'memory': '',
  'metrics': 'sklearn', 'passes': '', 'pipeline': 'torch', 'plan': '',
  'startup': '', 'tagging': '', 'tails': 'sklearn', 'tflite_birdnet': None,
  'timing': None, 'torch_classifiers': None, 'torch_tagging': None,
  'torch_vggish': None, 'vggish': '',
}  # fmt: skip
# Of the others even the smallest takes minutes.
SMALLEST = [
  ('audio', '--count=1'),
  ('extractors', '--widths=0.03125', '--runs=1'),
  ('memory', '--rows=dcase_l1'),
  ('passes', '--configs=audioset_dnn1', '--largest=1'),
]


@pytest.mark.slow
def test_all_have_a_help(capsys, monkeypatch):
  found = {module.name for module in pkgutil.iter_modules(benchmarks.__path__)}
  assert found == set(PEERS)
  monkeypatch.setattr(os, 'environ', os.environ.copy())
  for name, needed in PEERS.items():
    if needed is None or (needed and not importlib.util.find_spec(needed)):
      continue
    module = importlib.import_module(f'launch.benchmarks.{name}')
    if name == 'audio':  # absl's: its flags are parsed by `app.run`
      continue
    monkeypatch.setattr(sys, 'argv', [name, '--help'])
    with pytest.raises(SystemExit) as ended:
      module.main()
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.startswith('usage: ')


@pytest.mark.slow
def test_extractors_are_measured_without_tensorflow():
  code = (
    "import sys; sys.modules['tensorflow'] = None\n"
    'from launch.benchmarks import extractors, passes\n'
    'extractors.main()\n'
    "sys.argv[1:] = ['--configs=', '--widths=0.03125']\n"
    'passes.main()'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, '--widths=0.03125', '--runs=1'],
    cwd=ROOT, check=True, timeout=600, stdout=subprocess.PIPE, text=True,
  )  # fmt: skip
  rows = [line.split('  ')[0] for line in done.stdout.splitlines()]
  assert 'width 0.03125, float32, alone' in rows
  assert 'VGGish, width 0.03125' in rows
  assert not any('plans' in row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize('command', SMALLEST, ids=lambda c: c[0])
def test_the_smallest_run_ends(command):
  name, *options = command
  if PEERS[name]:
    pytest.importorskip(PEERS[name])
  subprocess.run(
    [sys.executable, '-m', f'launch.benchmarks.{name}', *options],
    cwd=ROOT,
    check=True,
    timeout=600,
  )
