"""What a dry run says, without writing anything."""

import re
import shutil
from typing import NamedTuple

import dcase_data
import jax
import numpy as np
import pytest

from aec_jax import dry_run, presets
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import embeddings
from aec_jax.input import folds
from aec_jax.models import extractors
from aec_jax.run import files, rates
from aec_jax.run.progress import duration
from aec_jax.train import classifiers


class Clips(NamedTuple):
  """As far as folds ask."""

  labels: Labels
  split: np.ndarray
  fold: np.ndarray
  group: np.ndarray


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
  costs = classifiers.step_costs(
    config, length=2, members=8, classes=3, segments=2
  )
  rates.leave(cache, 'train', costs, seconds=500, units=100)
  after = said(config, tmp_path)
  assert 'at most 4 steps of 4 clips (about 4 min) each' in after
  assert 'at most 6 steps of 8 (about 30 s)' in after
  assert after.count('time unknown') == 3
  assert (
    'time until scoring: unknown: no earlier run has left a rate of preparing,'
    ' pitch-shifting and embedding'
  ) in after
  spec = extractors.front_end(config.extractor)
  for what, about in (
    ('prepare', spec), ('pitch-shift', spec),
    ('embed', embeddings.step_costs(config.extractor)),
  ):  # fmt: skip
    rates.leave(cache, what, about, seconds=100, units=100)
  found = said(config, tmp_path)
  count = lambda pattern: int(re.search(pattern, found)[1].replace(',', ''))
  clips, copies = count(r'prepare: (\S+) clips'), count(r'shift: (\S+) copies')
  examples = count(r'about (\S+) examples, about \S+ \S+ an extractor')
  total = 4 * 4 * 60 + 30 + clips + copies + 4 * examples
  assert f'until scoring: at most about {duration(total)}' in found


def test_times_of_auto_are_those_of_what_it_is_here(monkeypatch):
  found = {}
  for dtype in ('auto', 'float32', 'bfloat16'):
    fields = {'model.dtype': dtype, 'extractor.dtype': dtype}
    config = dcase_data.tiny_config(**fields)
    for backend in ('cpu', 'gpu'):
      monkeypatch.setattr(
        jax, 'default_backend', lambda backend=backend: backend
      )
      found[dtype, backend] = (
        embeddings.step_costs(config.extractor),
        classifiers.step_costs(config, 2, 3, 3, 2),
      )
  assert found['auto', 'cpu'] == found['float32', 'cpu']
  assert found['auto', 'gpu'] == found['bfloat16', 'gpu']


def test_times_are_asked_of_what_is_trained(dcase_run, tmp_path, monkeypatch):
  config, results, workdir = dcase_run
  asked = []

  def expected(cache_dir, what, about, units):
    asked.append((what, about))

  monkeypatch.setattr(rates, 'expected', expected)
  list(dry_run.lines(config, tmp_path, workdir.parent / 'cache', {}))
  members = len(results['ensembles']['1']['members'])
  classes = len(results['per_class'])
  trained = [
    classifiers.step_costs(config, length, members, classes, length)
    for length in config.segments
  ]
  found = [about for what, about in asked if what == 'train']
  assert found == trained * (len(found) // len(trained)) and found


def test_extractors_of_folds_are_said_beforehand(folder, tmp_path):
  shutil.rmtree(folder / 'audio_test')
  (folder / 'test_post_competition.csv').unlink()
  config = dcase_data.tiny_config('dcase_l6', folder, classes=('low', 'mid'))
  found = said(config, tmp_path)
  assert (
    'no test clips: scored out of fold, 2 folds (drawn), so that 4 × 2'
    ' extractors are trained instead of 4'
  ) in found


@pytest.mark.parametrize(
  ('split', 'fold', 'count'),
  [
    (['train'] * 4, [-1] * 4, 5),  # drawn
    (['train', 'train', 'validation', 'test'], [-1] * 4, 1),
    (['train'] * 4, [1, 2, 3, 3], 3),
    (['train', 'train', 'train', 'test'], [1, 2, 2, -1], 2),
    (['train'] * 4, [1, 2, -1, -1], 5),  # not of all
  ],
)
def test_members_are_counted_as_they_are_made(split, fold, count):
  config, split, fold = presets.base(), np.array(split), np.array(fold)
  assert len(folds.left_out(config, split, fold)) == count
  if not (split == 'test').any():
    found = folds.scored_how(config, split, fold)
    assert f' {count} folds' in found
  labels = Labels.of_one(np.arange(10) % 2, 2)
  # In turn, so that each fold has a clip.
  turns = (np.resize(x, 10) for x in (split, fold, np.array([''])))
  clips = Clips(labels, *turns)
  assert folds.fold_of(config, clips).max() + 1 == max(count, 1 + (count == 1))


def test_padding_is_no_missing_file(folder, tmp_path):
  with open(folder / 'test_post_competition.csv', 'a') as file:
    file.write('padding1.wav,None,Ignored\npadding2.wav,None,Ignored\n')
  config = dcase_data.tiny_config('dcase_l6', folder)
  found = said(config, tmp_path)
  assert '2 test clips that are only padding are not there' in found
  assert ': missing' not in found


def test_classes_without_a_clip_are_named(folder, tmp_path):
  with open(folder / 'train.csv', 'a') as file:
    file.write('gone.wav,Ukulele,1\n')
  found = said(dcase_data.tiny_config('dcase_l6', folder), tmp_path)
  assert '1 classes without a train clip: Ukulele' in found
  assert 'left out: 1 file: missing' in found


def test_a_plan_is_none_where_the_start_refuses(folder, tmp_path):
  with pytest.raises(UserError, match='recordings in 25 folds|25 folds'):
    said(dcase_data.tiny_config('dcase_l6', folder, folds=25), tmp_path)
  config = dcase_data.tiny_config('dcase_l6', folder, extractors=('balanced',))
  with pytest.raises(UserError, match='validation clips, and there are none'):
    said(config, tmp_path)
  # The work folder is another's.
  record = {'config': config.to_dict() | {'seed': 7}, 'dataset_fingerprint': ''}
  files.write_json(tmp_path / 'work/experiment.json', record)
  config = dcase_data.tiny_config('dcase_l6', folder)
  with pytest.raises(UserError, match=r'config.seed: 7 there, 0 here'):
    said(config, tmp_path)


def test_a_share_of_too_few_clips_is_refused(audioset_run, tmp_path):
  config, _, workdir = audioset_run
  config = config.copy_and_resolve_references()
  config.keep, config.holdout = 'best', 0.001
  cache = workdir.parent / 'cache'
  with pytest.raises(UserError, match='config.holdout is 0.001, and of'):
    list(dry_run.lines(config, tmp_path / 'work', cache, {}))
