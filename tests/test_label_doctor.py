"""Suspect labels: which, what is shown of them, and the list without them."""

import csv
import dataclasses
import types

import dcase_data
import numpy as np
import pytest
import soundfile

from aec_jax import experiment, label_doctor, rescoring, scoring
from aec_jax.datasets.folders import from_folder
from aec_jax.input.folds import Member
from aec_jax.parts import Part
from aec_jax.report import Shown, doctor_section

CLASSES = ('high', 'low', 'mid')


def noisy(clips=60, wrong=(5, 20, 41)):
  """Labels of which some are wrong, and probabilities that know better."""
  rng = np.random.default_rng(0)
  true = np.arange(clips) % 3
  labels = true.copy()
  labels[list(wrong)] = (true[list(wrong)] + 1) % 3
  logits = 6 * np.eye(3)[true] + rng.standard_normal((clips, 3))
  e = np.exp(logits)
  return true, labels, e / e.sum(1, keepdims=True)


def test_wrong_labels_are_suspect():
  true, labels, probabilities = noisy()
  found = label_doctor.suspects(labels, probabilities)
  assert sorted(found.clips.tolist()) == [5, 20, 41]
  np.testing.assert_array_equal(found.better, true[found.clips])
  behind = probabilities[found.clips, labels[found.clips]]
  assert (np.diff(probabilities[found.clips, found.better] - behind) <= 0).all()


def test_a_class_that_is_never_sure_takes_no_clip():
  probabilities = np.array([[0.6, 0.4], [0.9, 0.1], [0.45, 0.55]])
  found = label_doctor.suspects(np.array([1, 0, 1]), probabilities)
  # 0.6 is less than class 0 has in the mean, 0.9.
  assert not len(found.clips)


def test_verified_labels_are_named_and_left():
  _, labels, probabilities = noisy()
  ids = np.array([f'{i}.wav' for i in range(60)])
  verified = np.arange(60) < 10
  about, changes = label_doctor.examine(
    CLASSES, ids, labels, verified, probabilities
  )
  assert about['examined'] == 60 and len(about['suspects']) == 3
  assert about['suspects'][-1]['clip'] == '5.wav' and 5 not in changes
  assert all(probabilities[c, k] >= 0.9 for c, k in changes.items())
  changed = {e['clip'] for e in about['suspects'] if e['changed']}
  assert changed == {f'{c}.wav' for c in changes}
  # Where the data do not say what is verified, all may change.
  _, more = label_doctor.examine(
    CLASSES, ids, labels, np.ones(60, bool), probabilities
  )
  assert 5 in more and probabilities[5].max() >= 0.9


def test_labels_that_are_agreed_with_may_count_as_verified():
  probabilities = np.array(
    [[0.96, 0.04], [0.99, 0.01], [0.97, 0.03], [0.94, 0.06], [0.02, 0.98],
     [0.99, 0.01], [0.98, 0.02], [0.3, 0.7]]
  )  # fmt: skip
  labels = np.array([0, 0, 0, 0, 1, 1, 0, 0])
  verified = np.arange(8) >= 6
  # Of class 0 as many as are verified, 1 and 2, the surest; 4 is of a class of
  # which none is, and 5 is taken for another.
  found = label_doctor.agreed(labels, verified, probabilities)
  assert found.tolist() == [1, 2]
  for none in (np.ones(8, bool), np.zeros(8, bool)):
    assert not len(label_doctor.agreed(labels, none, probabilities))


def test_what_is_accepted_is_verified_in_the_next_round(tmp_path):
  clips = from_folder(dcase_data.write_fsd(tmp_path / 'fsd'))
  verified = clips.verified.copy()
  verified[[1, 3, 5]] = False
  clips = dataclasses.replace(clips, verified=verified)
  path = tmp_path / 'work' / label_doctor.ACCEPTED
  label_doctor.write_list(path, clips, {}, np.array([3]))
  again = from_folder(path.parent, on_bad='error')
  assert np.flatnonzero(~again.verified).tolist() == [1, 5]
  np.testing.assert_array_equal(again.labels, clips.labels)


def test_the_list_is_a_data_set(tmp_path):
  clips = from_folder(dcase_data.write_fsd(tmp_path / 'fsd'))
  path = tmp_path / 'work' / label_doctor.LIST
  label_doctor.write_list(path, clips, {2: 0, 4: 1})
  with open(path, newline='', encoding='utf-8') as file:
    assert next(csv.reader(file)) == ['file', 'label', 'split', 'verified']
  again = from_folder(path.parent, on_bad='error')
  assert again.classes == clips.classes
  assert again.paths.tolist() == clips.paths.tolist()
  expected = clips.labels.copy()
  expected[[2, 4]] = [0, 1]
  np.testing.assert_array_equal(again.labels, expected)
  for name in ('split', 'verified', 'fold', 'group'):
    np.testing.assert_array_equal(getattr(again, name), getattr(clips, name))


@pytest.mark.parametrize(
  'names',
  [
    ('nan', 'null', 'NA'),
    ('Rock|Pop', 'Bass; Drums', '[sic]'),
    ('Bass', 'Drums', 'Drums, Bass'),
  ],
)
def test_labels_that_look_like_something_else_are_read_back(tmp_path, names):
  clips = from_folder(dcase_data.write_fsd(tmp_path / 'fsd'))
  clips = dataclasses.replace(clips, classes=names)
  label_doctor.write_list(tmp_path / 'work/labels.csv', clips, {})
  again = from_folder(tmp_path / 'work', on_bad='error')
  assert [again.names_of(i) for i in range(len(again))] == [
    clips.names_of(i) for i in range(len(clips))
  ]


def test_an_experiment_examines_its_training_clips(dcase_run):
  _, results, workdir = dcase_run
  about = results['label_doctor']
  # 18 clips, and the one without samples is left out.
  assert about['examined'] == results['n_train_examples']
  again = from_folder(workdir / 'corrected')
  assert (again.split == 'train').sum() >= about['examined']
  text = (workdir / 'report' / 'index.md').read_text(encoding='utf-8')
  assert '## Suspect labels' in text
  assert f'Of {about["examined"]} clips' in text


def tones(root, column, values, wrong=None):
  """A data set of tones of a second, of which one may have a wrong label."""
  rng, rows = np.random.default_rng(0), []
  root.mkdir()
  for i, value in enumerate(values):
    name, label = f'{i:02d}.wav', CLASSES[i % 3]
    wave = dcase_data.tone(rng, label, 1.0)
    soundfile.write(root / name, wave, dcase_data.RATE)
    rows.append((name, CLASSES[(i + (i == wrong)) % 3], value))
  with open(root / 'labels.csv', 'w', newline='', encoding='utf-8') as file:
    csv.writer(file).writerows([('file', 'label', column), *rows])
  return root


def pooled_config(data_dir, **fields):
  """Of a network that classifies by itself, of examples of about a second."""
  steps = 40
  tiny = {
    'extractor.width': 0.25, 'extractor.frames': 48, 'extractor.batch_size': 12,
    'extractor.max_steps': steps, 'extractor.optimizer.cosine_steps': steps,
    'extractor.eval_every': steps, 'extractor.checkpoint_every': steps,
    'extractor.optimizer.learning_rate': 3e-3,
    'extractor.augment.time_shift': False, 'extractor.augment.speed': 1.0,
    'extractor.augment.gain': 0.0,
    'extractor.augment.between_classes': False,
    'extractor.augment.mask_frames': 0, 'extractor.augment.mask_bands': 0,
  }  # fmt: skip
  return dcase_data.tiny_config('esc10_pooled', data_dir, **tiny | fields)


def test_an_extractor_that_classifies_finds_the_wrong_label(tmp_path):
  data_dir = tones(tmp_path / 'data', 'fold', [0, 1] * 12, wrong=7)
  config = pooled_config(data_dir)
  results = experiment.run(config, tmp_path / 'run', tmp_path / 'cache')
  about = results['label_doctor']
  assert results['scored_on'] == 'out-of-fold' and about['examined'] == 24
  found = {entry['clip']: entry for entry in about['suspects']}
  assert (found['07.wav']['label'], found['07.wav']['better']) == ('mid', 'low')
  again = from_folder((tmp_path / 'run' / about['list']).parent, 'error')
  clips = from_folder(data_dir)
  assert again.paths.tolist() == clips.paths.tolist()
  changed = {e['clip'] for e in about['suspects'] if e['changed']}
  assert set(clips.ids[again.labels != clips.labels]) == changed
  text = (tmp_path / 'run/report/index.md').read_text(encoding='utf-8')
  assert 'Of 24 clips' in text


def test_beside_test_clips_extractors_judge_what_they_stopped_by(tmp_path):
  split = ['train'] * 18 + ['test'] * 6
  config = pooled_config(
    tones(tmp_path / 'data', 'split', split), keep='best', test_shifts=2,
    **{'extractor.keep': 'best'},
  )  # fmt: skip
  config.extractors = ('original',)  # which takes a moment
  results = experiment.run(config, tmp_path / 'run', tmp_path / 'cache')
  assert results['scored_on'] == 'test' and results['n_examples'] == 6
  assert 0 < results['label_doctor']['examined'] < 18


@pytest.mark.parametrize('on', ['test', 'out-of-fold'])
def test_what_extractors_say_of_clips_that_they_left_out(on):
  values = np.random.default_rng(0).dirichlet(np.ones(3), (2, 7))
  outputs = np.log(values).astype(np.float32)
  source = types.SimpleNamespace(
    scored_on=on, outputs=outputs, offsets=np.array([0, 1, 3, 4, 6, 7]),
    jobs=[
      types.SimpleNamespace(validation=np.array(v)) for v in ([0, 1], [1, 2])
    ],
  )  # fmt: skip
  nothing, tests = np.zeros(0, int), np.array([3, 4])
  part = Part(
    [Member(f'm{i}', i, nothing, nothing, tests) for i in range(2)],
    [np.zeros((2, 3))] * 2,
  )
  config = pooled_config('somewhere')
  found = scoring.unseen_of_extractors(config, source, part)
  if on == 'out-of-fold':
    assert found is part
    return
  # Of finished models scored again, the same.
  (again,) = rescoring._unseen(config, source, object(), [part])
  for one, other in zip(found.values, again.values, strict=True):
    np.testing.assert_array_equal(one, other)
  assert [m.scored.tolist() for m in found.members] == [[0, 1], [1, 2]]
  means = [[v[0], v[1:3].mean(0), v[3]] for v in values]
  for mine, wanted in zip(
    found.values, (means[0][:2], means[1][1:]), strict=True
  ):
    np.testing.assert_allclose(np.exp(mine), wanted, rtol=1e-5)


def test_the_most_suspect_are_shown():
  entry = {
    'clip': 'a.wav', 'label': 'low', 'given': 0.01, 'better': 'mid',
    'found': 0.97, 'changed': True,
  }  # fmt: skip
  results = {
    'label_doctor': {
      'examined': 9, 'changed': 1, 'list': label_doctor.LIST,
      'suspects': [entry],
    }
  }  # fmt: skip
  shown = Shown(np.eye(3), 'log-mel', 'data:audio/mpeg;base64,')
  section = doctor_section.suspects(results, lambda clip: shown)
  results['label_doctor'] |= {'accepted': 4, 'accepted_list': 'some.csv'}
  more = doctor_section.suspects(results, lambda clip: shown).blocks
  assert len(more) == len(section.blocks) + 1
  assert '4 labels that nobody has verified' in more[2].text
  _, _, clips, table = section.blocks
  assert dict(clips.clips[0].facts)['taken for'] == 'mid 0.97'
  assert clips.clips[0].sound
  assert table.rows == [['a.wav', 'low', '0.010', 'mid', '0.970', 'yes']]
  assert not doctor_section.suspects({}, None).blocks
