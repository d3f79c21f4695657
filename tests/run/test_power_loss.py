"""What has its name is on the disk: `fsync` comes before, and reaches all."""

import os
from pathlib import Path

import numpy as np
import pytest

from aec_jax.run import cache, files
from aec_jax.train.checkpoint import Checkpoints


@pytest.fixture
def calls(monkeypatch):
  """The inodes that were settled, and 'named' at each renaming."""
  found = []

  def settle(number, fsync=os.fsync):
    found.append(os.fstat(number).st_ino)
    fsync(number)

  def named(kind):
    rename = getattr(os, kind)

    def call(*paths):
      found.append('named')
      rename(*paths)

    monkeypatch.setattr(os, kind, call)

  monkeypatch.setattr(os, 'fsync', settle)
  named('rename')
  named('replace')
  return found


def inodes(*paths: Path) -> set[int]:
  return {path.stat().st_ino for path in paths}


def test_a_file_is_settled_before_it_is_named_and_its_folder_after(
  tmp_path, calls
):
  files.write_json(tmp_path / 'results.json', {'mAP': 0.5})
  at = calls.index('named')
  assert inodes(tmp_path / 'results.json') <= {*calls[:at]}
  assert inodes(tmp_path) <= {*calls[at:]}


def fill(folder):
  (folder / 'below').mkdir()
  (folder / 'below' / 'weights').write_bytes(b'1')


def whole_folder(path):
  with files.whole_folder(path) as unfinished:
    fill(unfinished)


def stage(path):
  cache.fill(path, {}, fill)


@pytest.mark.parametrize('make', [whole_folder, stage])
def test_all_of_a_folder_is_settled_before_it_is_named(make, tmp_path, calls):
  folder = tmp_path / 'bundle'
  make(folder)
  last = len(calls) - 1 - calls[::-1].index('named')
  assert inodes(folder, *folder.rglob('*')) <= {*calls[:last]}


def test_a_checkpoint_is_settled_when_training_goes_on(tmp_path, calls):
  state = {'w': np.ones(3, np.float32), 'step': np.int32(4)}
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(4, state, {'evaluations': []})
  checkpoints.save_best(4, state, {'evaluations': []})
  checkpoints.close()
  settled = {*calls}
  for series in ('latest', 'best'):
    there = tmp_path / series
    assert (there / '4').is_dir()
    assert inodes(there, *there.rglob('*')) <= settled
