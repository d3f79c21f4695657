"""What a result is a function of, and what it is not."""

import csv
import os
import shutil

import dcase_data
import numpy as np
import pytest
from ml_collections import ConfigDict

from aec_jax import experiment, presets
from aec_jax.datasets import audioset_tfrecord
from aec_jax.features import embeddings, log_mels, packed
from aec_jax.input.folds import extractor_jobs
from aec_jax.input.plan import Groups, Plan
from aec_jax.run import cache, claim
from aec_jax.train import extractor
from aec_jax.train.start import of_file
from configs import audioset_level13

# Which stages depend on a field, or on all of a section; 'claim' is the
# training and its scores, in a work folder that another value is refused in.
_CLAIM = {'claim'}
_TUNED = {'extractor', 'embeddings', 'claim'}
_NOTHING = set()
_TRAINING = {
    'deterministic': _NOTHING, 'profile_steps': _NOTHING, 'name': _CLAIM,
    'data_dir': _NOTHING,
    'expected': _NOTHING,
    'on_diverged': _NOTHING, 'model': _CLAIM, 'metric': _CLAIM,
    'sampling': _CLAIM, 'mixup_alpha': _CLAIM, 'batch_size': _CLAIM,
    'max_steps': _NOTHING, 'eval_every': _CLAIM, 'patience': _NOTHING,
    'optimizer': _CLAIM, 'average': _CLAIM, 'examples_on': _NOTHING,
    'checkpoint_every': _NOTHING, 'steps_per_dispatch': _NOTHING,
    'synthetic': _CLAIM, 'folds': _CLAIM, 'segments': _CLAIM,
    'last_piece': _CLAIM, 'label_separator': _CLAIM, 'holdout': _CLAIM,
    'keep': _CLAIM,
    # Of scoring, which may be done again; see `test_scoring`.
    'test_shifts': _NOTHING,
    # The weight of no teacher; see also `test_teachers`.
    'members': _CLAIM, 'teacher': _NOTHING, 'teacher_weight': _NOTHING,
    'unverified_weight': _CLAIM, 'pass_up': _CLAIM,
    # By the weights that lie there; see `test_warm_start`.
    'init_from': _NOTHING,
}  # fmt: skip
RECORDED = _TRAINING | {
    'dataset': _TUNED, 'objective': _TUNED,
    'on_bad': {'clips', 'shifted', 'extractor', 'embeddings'},
    'classes': {'clips', 'shifted', 'extractor', 'embeddings', 'claim'},
    'seed': {'shifted', 'extractor', 'embeddings', 'claim'},
    'extractors': _TUNED, 'extractor': _TUNED,
    'extractor.model': {'clips', 'shifted'} | _TUNED,
    'extractor.frames': {'clips', 'shifted'} | _TUNED,
    'extractor.tail': {'clips', 'shifted'} | _TUNED,
    'extractor.examples_on': _NOTHING, 'extractor.checkpoint_every': _NOTHING,
    'extractor.steps_per_dispatch': _NOTHING,
    'pitch_to': {'shifted', 'embeddings', 'claim'}, 'unverified_weight': _TUNED,
    'train_splits': _CLAIM, 'eval_splits': _CLAIM, 'float_range': _CLAIM,
}  # fmt: skip
RELEASED = _TRAINING | {
    'dataset': _CLAIM, 'objective': _CLAIM, 'on_bad': {'pack'}, 'seed': _CLAIM,
    'train_splits': {'pack', 'claim'}, 'eval_splits': {'pack', 'claim'},
    'classes': _CLAIM, 'extractors': _CLAIM, 'pitch_to': _CLAIM,
    'float_range': {'pack', 'claim'},
    'extractor': _CLAIM, 'extractor.examples_on': _NOTHING,
    'extractor.checkpoint_every': _NOTHING, 'extractor.init': _NOTHING,
    'extractor.steps_per_dispatch': _NOTHING,
}  # fmt: skip


def leaves(config, prefix=''):
  """{'model.dropout': 0.4, …}."""
  found = {}
  for name, value in config.items():
    if isinstance(value, ConfigDict):
      found |= leaves(value, f'{prefix}{name}.')
    else:
      found[prefix + name] = value
  return found


def expected(table, field):
  """The entry of the field, or of the section that it is in."""
  while field not in table:
    field = field.rpartition('.')[0]
    assert field, 'a field that the table does not have'
  return table[field]


def another(value):
  """A value of the same type."""
  if isinstance(value, bool):
    return not value
  if isinstance(value, tuple):
    return (*value, value[-1] if value else 'x')
  if value is None:  # by the data's size, where nothing uses it
    return True
  return value + ('x' if isinstance(value, str) else 1)


def claimed(before, after):
  """{'claim'} where a work folder of the one config refuses the other."""
  before, after = before.to_dict(), after.to_dict()
  model = presets.model_defaults(before['model'])
  return _CLAIM if claim._changes(before, after, model) else set()


# The clips' stages. What is slow is not built: only names count here.


@pytest.fixture
def recorded(monkeypatch):
  """{kind: folders of the stages that were asked for}."""
  found, real = {}, cache.stage

  def stage(cache_dir, name, depends, build):
    kind = name.split('-')[0]
    if kind in ('clips', 'shifted'):
      folder = real(cache_dir, name, depends, build)
    else:
      folder = cache_dir / f'{name}-{cache.digest(depends)}'
      folder.mkdir(exist_ok=True)
      np.save(folder / 'embeddings.npy', np.zeros((1, 128), np.float32))
    found.setdefault(kind, set()).add(folder.name)
    return folder

  monkeypatch.setattr(cache, 'stage', stage)
  monkeypatch.setitem(
    log_mels.DATASETS, 'other', log_mels.DATASETS['fsdkaggle2018']
  )
  return found


def stages_of(config, cache_dir, found):
  """{kind: names of the stages} that an experiment would build."""
  found.clear()
  clips = log_mels.list_clips(config, cache_dir)
  prepared = log_mels.prepare(config, clips, cache_dir)
  shifted = log_mels.pitch_shifted(config, clips, prepared, cache_dir)
  for job in extractor_jobs(config, prepared):
    folder = extractor.folder_of(
      config, prepared, job, of_file(config.extractor), cache_dir
    )
    found.setdefault('extractor', set()).add(folder.name)
    for some in (prepared, shifted):
      embeddings.embed(config.extractor, 3, some, {}, folder.name, cache_dir)
  return dict(found)


def changed(before, after):
  return {kind for kind in before if before[kind] != after[kind]}


@pytest.fixture
def recordings(tmp_path):
  """A data set without the bad files of `write_fsd`."""
  root = dcase_data.write_fsd(tmp_path / 'fsd', train=9, test=3)
  (root / 'audio_train' / 'void.wav').unlink()
  for part in ('train', 'test'):
    folder = root / f'audio_{part}'
    shutil.copy(folder / f'{part}000.wav', folder / f'{part}003.wav')
  path = root / 'train.csv'
  path.write_text(path.read_text().replace('void.wav,low,0\n', ''))
  os.remove(root / 'audio_test' / 'test003.wav')
  return root


def test_each_field_changes_the_stages_that_depend_on_it(
  recordings, recorded, tmp_path
):
  def made(field='seed', value=0):
    config = dcase_data.tiny_config('dcase_l6', recordings)
    config.update_from_flattened_dict({field: value})
    return config

  weights, other = tmp_path / 'weights.npz', tmp_path / 'other'
  weights.write_bytes(b'weights')
  shutil.copytree(recordings, other)  # with the files' times
  special = {
    'data_dir': str(other),
    'objective': 'multi_label',
    'model.name': 'dnn',
    'last_piece': 'align',
    'examples_on': 'host',
    'dataset': 'other',
    'on_bad': 'error',
    'classes': ('mid', 'low', 'high'),
    'extractors': ('balanced_last', 'original'),
    'extractor.init': str(weights),
    'extractor.model': 'baseline',
    'sampling': 'unbalanced',
  }
  before = made()
  folder = tmp_path / 'cache'
  stages = stages_of(before, folder, recorded)
  assert set(stages) == {'clips', 'shifted', 'extractor', 'embeddings'}
  found = leaves(before)
  assert len(found) > 80
  for field, value in found.items():
    new = special[field] if field in special else another(value)
    after = made(field, new)
    found = changed(stages, stages_of(after, folder, recorded))
    found |= claimed(before, after)
    assert found == expected(RECORDED, field), field


def test_a_copied_or_touched_data_set_uses_every_stage_again(
  recordings, recorded, tmp_path
):
  folder = tmp_path / 'cache'

  def stages_in(root):
    config = dcase_data.tiny_config('dcase_l6', root)
    return stages_of(config, folder, recorded)

  before = stages_in(recordings)
  copied = shutil.copytree(
    recordings, tmp_path / 'copied', copy_function=shutil.copy
  )
  assert stages_in(copied) == before
  for path in copied.rglob('*'):
    os.utime(path, (1, 1))
  assert stages_in(copied) == before


def test_each_changed_file_changes_the_stages_that_depend_on_it(
  recordings, recorded, tmp_path
):
  weights = tmp_path / 'weights.npz'
  weights.write_bytes(b'weights')
  fields = {'extractor.init': str(weights)}
  config = dcase_data.tiny_config('dcase_l6', recordings, **fields)
  folder = tmp_path / 'cache'

  def stages_after(change):
    change()
    return stages_of(config, folder, recorded)

  before = stages_after(lambda: None)
  assert changed(before, stages_after(lambda: None)) == set()
  new = stages_after(lambda: weights.write_bytes(b'Weights'))
  assert changed(before, new) == {'extractor', 'embeddings'}
  all_of_them = {'clips', 'shifted', 'extractor', 'embeddings'}
  path = recordings / 'audio_train' / 'train004.wav'
  last = stages_after(lambda: path.write_bytes(path.read_bytes() + bytes(2)))
  assert changed(new, last) == all_of_them
  listing = recordings / 'train.csv'
  with open(listing, newline='') as file:
    rows = list(csv.reader(file))
  rows[1][2] = str(1 - int(rows[1][2]))
  with open(listing, 'w', newline='') as file:
    csv.writer(file).writerows(rows)
  assert changed(last, stages_after(lambda: None)) == all_of_them
  (recordings / 'README').write_text('not an input')
  again = stages_after(lambda: None)
  assert changed(again, stages_after(lambda: None)) == set()


# AudioSet's.


def audioset_config(data_dir):
  config = audioset_level13.get_config()
  config.update_from_flattened_dict(
    {
      'data_dir': str(data_dir),
      'train_splits': ('bal_train',),
      'batch_size': 8,
      'max_steps': 6,
      'eval_every': 3,
      'checkpoint_every': 3,
      'model.hidden': (8, 8, 8),
      'model.dtype': 'float32',
    }
  )
  return presets.resolve(config)


def packs_of(config, folder):
  """{'pack': names of the packed splits}, and their fingerprints."""
  found = set()

  def stage(cache_dir, name, depends, build, real=cache.stage):
    packed = real(cache_dir, name, depends, build)
    found.add(packed.name)
    return packed

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(cache, 'stage', stage)
    parts = packed.load_splits(config, config.train_splits, folder)
    parts += packed.load_splits(config, config.eval_splits, folder)
  return {'pack': found}, [part.fingerprint() for part in parts]


def test_each_field_of_audioset_changes_what_depends_on_it(
  audioset_dir, tmp_path
):
  shutil.copytree(audioset_dir, tmp_path / 'other')
  special = {
    'data_dir': str(tmp_path / 'other'),
    'classes': ('a',),
    'train_splits': ('unbal_train',),
    'eval_splits': ('unbal_train',),
    'on_bad': 'skip',
    'sampling': 'unbalanced',
  }
  before = audioset_config(audioset_dir)
  packs, _ = packs_of(before, tmp_path / 'cache')
  for field, value in leaves(before).items():
    new = special[field] if field in special else another(value)
    after = audioset_config(audioset_dir)
    after.update_from_flattened_dict({field: new})
    found = changed(packs, packs_of(after, tmp_path / 'cache')[0])
    found |= claimed(before, after)
    assert found == expected(RELEASED, field), field


def test_a_copied_or_touched_release_is_not_packed_again(
  audioset_dir, tmp_path
):
  folder = tmp_path / 'cache'
  before = packs_of(audioset_config(audioset_dir), folder)
  copied = shutil.copytree(audioset_dir, tmp_path / 'other')
  for path in copied.rglob('*'):
    os.utime(path, (1, 1))
  assert packs_of(audioset_config(copied), folder) == before


def test_a_changed_record_file_changes_its_split_alone(audioset_dir, tmp_path):
  shutil.copytree(audioset_dir, tmp_path / 'data')
  config = audioset_config(tmp_path / 'data')
  packs, before = packs_of(config, tmp_path / 'cache')
  paths = audioset_tfrecord.list_files(str(tmp_path / 'data'), 'bal_train')
  shutil.copy(paths[1], paths[0])
  other, after = packs_of(config, tmp_path / 'cache')
  assert len(packs['pack'] & other['pack']) == 1
  assert after[0] != before[0] and after[1] == before[1]


def test_the_cache_cold_or_warm_gives_the_same_bits(audioset_dir, tmp_path):
  config = audioset_config(audioset_dir)
  found = []
  for run in ('cold', 'warm'):
    results = experiment.run(config, tmp_path / run, tmp_path / 'cache')
    with np.load(tmp_path / run / 'predictions.npz') as file:
      probabilities = file['probabilities'].tobytes()
    found.append((results['ensembles']['10']['evaluations'], probabilities))
  assert found[0] == found[1]


def test_the_number_of_data_threads_changes_no_bit(
  recordings, audioset_dir, tmp_path, monkeypatch
):
  def found_with(count):
    # Readers take a thread a core.
    monkeypatch.setattr(os, 'cpu_count', lambda: count)
    folder = tmp_path / f'{count}'
    config = dcase_data.tiny_config('dcase_l6', recordings, pitch_to=5)
    clips = log_mels.list_clips(config, folder)
    prepared = log_mels.prepare(config, clips, folder)
    shifted = log_mels.pitch_shifted(config, clips, prepared, folder)
    (split,) = packed.load_splits(
      audioset_config(audioset_dir), ('unbal_train',), folder
    )
    plan = Plan(Groups.of_all(50), 16, seed=3, mixup_alpha=0.3)
    dataset = plan.dataset([(0, 3), (3, 5), (5, 9)])
    options = type(dataset.options())()
    options.threading.private_threadpool_size = count
    plans = list(dataset.with_options(options).as_numpy_iterator())
    return [
      prepared.fingerprint,
      shifted.fingerprint,
      split.fingerprint(),
      [{k: v.tolist() for k, v in plan.items()} for plan in plans],
    ]

  assert found_with(1) == found_with(2)
