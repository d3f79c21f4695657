"""Every bad input of `tests.bad_inputs`, and some damage by hypothesis."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aec_jax import predict
from aec_jax.run import console
from tests.bad_inputs import every_kind, forging, fuzz

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
  'kind',
  [
    pytest.param(k, marks=[pytest.mark.slow] * (k.__name__ == 'results_cases'))
    for k in every_kind.KINDS
  ],
  ids=lambda k: k.__name__,
)
def test_bad_inputs_are_refused_or_skipped(kind, tmp_path):
  counts, wrong = every_kind.try_all(kind(tmp_path))
  assert wrong == []
  assert sum(counts.values()) >= 20


@pytest.mark.parametrize('options', [
  ('--config=configs/audioset_level3.py', '--config.modle.dropout=0.1'),
  ('--config=configs/audioset_level3.py', '--config.batch_size=many'),
])  # fmt: skip
def test_the_command_says_one_line_and_ends_with_2(tmp_path, options):
  command = [sys.executable, '-m', 'aec_jax.main', *options]
  found = subprocess.run(
    [*command, f'--workdir={tmp_path / "run"}'],
    cwd=ROOT, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert found.returncode == 2 and found.stdout == ''
  assert re.fullmatch(r'error: [^\n]+\n', found.stderr)
  assert list(tmp_path.iterdir()) == []
  if 'modle' in options[-1]:
    assert '"model"' in found.stderr


def test_fuzzed_files(tmp_path):
  for check, good in fuzz.good_files(tmp_path).values():
    fuzz.try_one(check, good, tmp_path / 'fuzzed', 20, seed=0)


def test_a_fuzzed_bundle(tmp_path):
  folder = forging.make_bundle(tmp_path / 'run')
  for check, good in fuzz.bundle_files(folder).values():
    fuzz.try_one(check, good, tmp_path / 'fuzzed', 20, seed=0)


def test_a_forged_bundle_is_one_line_and_status_2(tmp_path, capfd):
  folder = forging.make_bundle(tmp_path / 'run')
  name = 'ensembles/0/params/output/bias'
  forging.forge(folder, **{name: np.zeros((1, 4), np.float32)})
  command = lambda: predict.main([f'--bundle={folder}', __file__])
  assert console.run_command(command) == 2
  out, err = capfd.readouterr()
  assert out == '' and err == (
    f'error: {folder}: not a bundle that this version reads (ValueError:'
    f' weights.npz: {name} is float32 (1, 4), not float32 (1, 3))\n'
  )
