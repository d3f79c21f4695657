"""What a dry run says, without writing anything."""

import shutil

import dcase_data
import pytest

from aec_jax import dry_run
from aec_jax.features import embeddings
from aec_jax.run import rates
from aec_jax.train import classifiers


@pytest.fixture
def folder(tmp_path):
  return dcase_data.write_fsd(tmp_path / 'fsd', seconds=(0.3, 2.5))


def said(config, tmp_path):
  cache = tmp_path / 'cache'
  return '\n'.join(dry_run.lines(config, tmp_path / 'work', cache, {}))


def test_times_are_those_of_earlier_runs_or_unknown(folder, tmp_path):
  config = dcase_data.tiny_config('dcase_l6', folder, pitch_to=8)
  before = said(config, tmp_path)
  assert 'scored on the test clips' in before
  assert before.count('time unknown') == 5
  assert not (tmp_path / 'cache').exists()
  cache = tmp_path / 'cache'
  costs = embeddings.step_costs(config.extractor)
  rates.leave(cache, 'fine-tune', costs, seconds=6000, units=100)
  members = len(config.extractors) * config.folds
  costs = classifiers.step_costs(config, members, 2)
  rates.leave(cache, 'train', costs, seconds=500, units=100)
  after = said(config, tmp_path)
  assert 'at most 4 steps of 4 clips (about 4 min) each' in after
  assert 'at most 6 steps of 8 (about 30 s)' in after
  assert after.count('time unknown') == 3


def test_extractors_of_folds_are_said_beforehand(folder, tmp_path):
  shutil.rmtree(folder / 'audio_test')
  (folder / 'test_post_competition.csv').unlink()
  config = dcase_data.tiny_config('dcase_l6', folder, classes=('low', 'mid'))
  found = said(config, tmp_path)
  assert (
    'no test clips: scored out of fold, 2 folds (drawn), so that 4 × 2'
    ' extractors are trained instead of 4'
  ) in found


def test_padding_is_no_missing_file(folder, tmp_path):
  with open(folder / 'test_post_competition.csv', 'a') as file:
    file.write('padding1.wav,None,Ignored\npadding2.wav,None,Ignored\n')
  config = dcase_data.tiny_config('dcase_l6', folder)
  found = said(config, tmp_path)
  assert '2 test clips that are only padding are not there' in found
  assert 'files: missing' not in found


def test_classes_without_a_clip_are_named(folder, tmp_path):
  with open(folder / 'train.csv', 'a') as file:
    file.write('gone.wav,Ukulele,1\n')
  found = said(dcase_data.tiny_config('dcase_l6', folder), tmp_path)
  assert '1 classes without a train clip: Ukulele' in found
  assert 'left out: 1 files: missing' in found
