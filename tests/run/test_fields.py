"""Fields of a config: defaults, ranges, and records of older versions."""

import copy
import json

import dcase_data
import pytest
from train_data import released_config

from aec_jax import config_checks, experiment, presets
from aec_jax.errors import UserError
from aec_jax.run import claim, fields

# A work folder of one is a work folder of the other.
RENAMED = [
  ({'damaged': 'error'}, 'on_bad', 'error'),
  ({'extractor.cosine_steps': 7}, 'extractor.optimizer.cosine_steps', 7),
]


def record(config):
  """As experiment.json keeps it."""
  return json.loads(json.dumps(config.to_dict()))


def without(config, path):
  """The record without a field, or without a section."""
  found = record(config)
  *parents, name = path.split('.')
  section = found
  for parent in parents:
    section = section[parent]
  del section[name]
  return found


def paths_of(config):
  return [path for path, _ in fields.flattened(record(config))]


@pytest.mark.parametrize(
  'config', [dcase_data.tiny_config(), released_config()], ids=lambda c: c.name
)
def test_a_field_that_a_record_lacks_equals_its_default(config):
  model = presets.model_defaults(config.model)
  whole = fields.upgraded(record(config))
  assert fields.differences(whole, whole, model) == []
  removed = 0
  for path in paths_of(config):
    old = fields.upgraded(without(config, path))
    if path.startswith('model.'):
      default, role = model.get(path.removeprefix('model.')), 'what'
    else:
      default, role = fields.FIELDS[path].default, fields.role(path)
    same = fields._plain(whole[path]) == fields._plain(default)
    found = fields.differences(old, whole, model)
    assert bool(found) == (role == 'what' and not same), path
    assert all(f'config.{path}: ' in line for line in found)
    removed += same
  assert removed > 30


def test_each_field_of_the_list_is_in_a_config_and_the_other_way_round():
  config = presets.base()
  known = set(fields.FIELDS)
  found = {p for p in paths_of_unresolved(config) if not p.startswith('model.')}
  assert found == known


def paths_of_unresolved(config):
  sections = config.to_dict()
  del sections['when_full'], sections['when_synthetic']
  return [path for path, _ in fields.flattened(sections)]


def test_a_finished_run_whose_record_lacks_fields_is_still_finished(
  audioset_run, tmp_path, monkeypatch
):
  """Nothing is refused, and nothing is trained again."""
  config, results, workdir = audioset_run
  kept = {
    name: (workdir / name).read_text()
    for name in ('experiment.json', 'results.json')
  }
  model = presets.model_defaults(config.model)
  resolved = presets.resolve(config)
  flat = fields.upgraded(record(resolved))
  default = {path: f.default for path, f in fields.FIELDS.items()}
  default |= {f'model.{name}': value for name, value in model.items()}
  default |= {'data_dir': None}
  try:
    for path in paths_of(resolved):
      at_default = fields._same(flat[path], default.get(path))
      if not at_default and fields.role(path) == 'what':
        continue
      for name, text in kept.items():
        found = json.loads(text)
        found['config'] = without(resolved, path)
        (workdir / name).write_text(json.dumps(found))
      # As `experiment.run` does, without opening the data each time.
      about = {'dataset_fingerprint': results['dataset_fingerprint']}
      claim.make_claim(resolved, workdir, model, about)
      finished = claim.finished_results(resolved, workdir, model)
      free = fields.role(path) == 'free' and not at_default
      assert (finished is None) == free, path
    # All that may be lacking at once, through the front door.
    for name, text in kept.items():
      found = json.loads(text)
      for path in paths_of(resolved):
        if fields._same(flat[path], default.get(path)):
          section = found['config']
          *parents, leaf = path.split('.')
          for parent in parents:
            section = section[parent]
          del section[leaf]
      (workdir / name).write_text(json.dumps(found))
    monkeypatch.setattr(
      experiment, '_train_ensembles', lambda *_: pytest.fail('trained again')
    )
    again = experiment.run(config, workdir, workdir.parent / 'cache')
    assert again['metrics'] == results['metrics']
  finally:
    for name, text in kept.items():
      (workdir / name).write_text(text)


def test_another_setting_is_refused_with_both_values(audioset_run):
  config, results, workdir = audioset_run
  other = copy.deepcopy(presets.resolve(config))
  other.seed = 5
  about = {'dataset_fingerprint': results['dataset_fingerprint']}
  model = presets.model_defaults(other.model)
  with pytest.raises(UserError, match=r'config\.seed: 0 there, 5 here'):
    claim.make_claim(other, workdir, model, about)
  other.seed, about['dataset_fingerprint'] = 0, 'another'
  with pytest.raises(UserError, match='the data set'):
    claim.make_claim(other, workdir, model, about)


@pytest.mark.parametrize(('old', 'path', 'value'), RENAMED)
def test_old_names_of_a_record_are_read_as_the_new_ones(old, path, value):
  config = dcase_data.tiny_config()
  before = without(config, path)
  (name,) = old
  *parents, leaf = name.split('.')
  section = before
  for parent in parents:
    section = section[parent]
  section[leaf] = value
  upgraded = fields.upgraded(before)
  assert upgraded[path] == value and name not in upgraded


@pytest.mark.parametrize(
  ('make', 'task', 'loss'),
  [
    (released_config, 'audioset', 'binary'),
    (dcase_data.tiny_config, 'dcase', 'categorical'),
  ],
)
def test_a_record_of_a_task_is_what_it_stood_for(make, task, loss):
  config = make()
  old = record(config)
  for gone in fields._OF_TASK[task]:
    *parents, leaf = gone.split('.')
    section = old
    for parent in parents:
      section = section[parent]
    del section[leaf]
  old |= {'task': task, 'loss': loss}
  upgraded = fields.upgraded(old)
  assert not {'task', 'loss'} & set(upgraded)
  now = fields.upgraded(record(config))
  model = presets.model_defaults(config.model)
  assert fields.differences(upgraded, now, model) == []


@pytest.mark.parametrize(
  ('option', 'now', 'said'),
  [
    ('--config.damaged=skip', '--config.on_bad=skip', 'config.on_bad now'),
    (
      '--config.extractor.cosine_steps=9',
      '--config.extractor.optimizer.cosine_steps=9',
      'config.extractor.optimizer.cosine_steps now',
    ),
    ('--config.loss=binary', None, 'gone: it is ignored'),
    ('--config.task=dcase', None, 'gone: it is ignored'),
    ('--config.seed=1', '--config.seed=1', ''),
    ('--workdir=task', '--workdir=task', ''),
    ('--config=configs/damaged.py', '--config=configs/damaged.py', ''),
  ],
)
def test_old_options_are_taken_with_one_line(option, now, said, capsys):
  assert fields.renamed_option(option) == now
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == bool(said)
  assert said in ''.join(lines)


@pytest.mark.parametrize(
  ('path', 'value', 'message'),
  [
    ('batch_size', 0, r'config\.batch_size is 0; it must be 1 to'),
    ('seed', -1, r'config\.seed is -1'),
    ('folds', 1, r'config\.folds is 1; it must be 2 to 1000'),
    ('model.dropout', 1.5, r'config\.model\.dropout is 1\.5'),
    ('extractor.optimizer.clip_norm', -1.0, 'clip_norm is -1.0'),
    ('optimizer.learning_rate', float('nan'), 'learning_rate is nan'),
    ('on_bad', 'ignore', r"config\.on_bad.*'ignore'.*error, skip"),
    ('last_piece', 'cut', r"config\.last_piece.*'cut'"),
    ('examples_on', 'disk', r"config\.examples_on.*'disk'"),
    ('extractor.dtype', 'float16', r'\.dtype.*auto, bfloat16, float32'),
    ('sampling', 'fair', r"config\.sampling.*'fair'"),
  ],
)
def test_values_out_of_range_are_named(path, value, message):
  config = dcase_data.tiny_config()
  fields.check(config)
  config.update_from_flattened_dict({path: value})
  with pytest.raises(UserError, match=message):
    fields.check(config)


def test_nested_and_flattened_are_each_other_s():
  flat = {'a': 1, 'b.c': 2, 'b.d.e': (3,), 'expected': {}}
  assert dict(fields.flattened(fields.nested(flat))) == flat


def test_only_what_is_not_at_its_default_counts_in_a_key():
  flat = {'seed': 0, 'segments': [6], 'folds': 4, 'data_dir': '/x', 'new': 1}
  assert fields.changed(flat) == {'folds': 4, 'new': 1}


def test_work_of_the_default_before_auto_goes_on():
  """And a float32 that is asked for is given nothing of 'auto'."""
  config = dcase_data.tiny_config()
  model = presets.model_defaults(config.model)

  def of(dtype):
    config.extractor.dtype = config.model.dtype = dtype
    return fields.upgraded(record(config))

  auto, single, half = map(of, ('auto', 'float32', 'bfloat16'))
  assert fields.differences(single, auto, model) == []
  for before, after in ((auto, single), (half, auto), (auto, half)):
    found = fields.differences(before, after, model)
    assert len(found) == 2 and 'config.model.dtype: ' in found[1]
  # As the keys were when float32 was the default.
  keyed = [fields.changed(flat) for flat in (auto, single, half)]
  assert keyed[0]['model.dtype'] == 'float32'
  assert 'extractor.dtype' not in keyed[0]
  for path in ('extractor.dtype', 'model.dtype'):
    assert len({found.get(path) for found in keyed}) == 3


def test_weights_may_lie_elsewhere_but_are_not_random_ones():
  config = dcase_data.tiny_config()
  model = presets.model_defaults(config.model)

  def of(init):
    config.extractor.init = init
    return fields.upgraded(record(config))

  for other in ('b.npz', ''):  # which training refuses, and scoring does not
    assert not fields.differences(of('a/vggish.npz'), of(other), model)
  for one, other in (('random', 'b.npz'), ('', 'random')):
    assert fields.differences(of(one), of(other), model) == [
      f'config.extractor.init: {one} there, {other} here'
    ]


def test_fields_of_embeddings_are_refused_for_recordings():
  for name, value in (
    ('holdout', 0.1), ('members', 3), ('train_splits', ('eval',)),
    ('float_range', (-2.0, 2.0)), ('teacher', 'runs/some'),
    ('teacher_weight', 0.5),
  ):  # fmt: skip
    config = dcase_data.tiny_config(**{name: value})
    with pytest.raises(UserError, match=rf'^config\.{name} is for classifiers'):
      config_checks.check_config(config)


def test_what_would_do_nothing_is_refused():
  config = released_config(holdout=0.1, keep='last')
  with pytest.raises(UserError, match=r"^config\.holdout is 0\.1.*'last'"):
    config_checks.check_config(config)
  config = dcase_data.tiny_config(**{
    'extractor.augment.mixup_alpha': 0.2,
    'extractor.augment.between_classes': True,
  })  # fmt: skip
  with pytest.raises(UserError, match='two ways of mixing'):
    config_checks.check_config(config)


def test_the_weight_that_older_records_have_without_a_teacher_is_none():
  config = released_config()
  old = record(config) | {'teacher_weight': 0.5}
  now = fields.upgraded(record(config))
  assert fields.differences(fields.upgraded(old), now, {}) == []
  old['teacher'] = 'runs/some'
  (found,) = fields.differences(fields.upgraded(old), now, {})
  assert found == 'config.teacher_weight: 0.5 there, 0.0 here'
