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
