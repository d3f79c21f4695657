"""Labels passed up in training, and scores by the ontology."""

import json
import shutil

import numpy as np
import pytest

from aec_jax import dry_run, hierarchy, presets, sources
from aec_jax.datasets import class_list
from aec_jax.datasets.labels import Labels
from aec_jax.datasets.ontology import Ontology
from aec_jax.errors import UserError
from aec_jax.input import batches
from aec_jax.objective import OBJECTIVES
from configs import audioset_bal_level3

# Of five classes: 1 below 0, 2 below 1, 4 below 3 and 0.
ABOVE = ((), (0,), (0, 1), (), (0, 3))


@pytest.fixture(scope='module')
def release(audioset_dir, tmp_path_factory):
  """The tiny release, with an ontology beside its class list."""
  folder = tmp_path_factory.mktemp('hierarchy') / 'audioset'
  shutil.copytree(audioset_dir, folder)
  write(folder, {0: [1, 4], 1: [2], 2: [], 3: [4], 4: []})
  return folder


def write(folder, children):
  """An ontology of its classes by their indices."""
  classes = class_list.of_release(str(folder))
  where = next(folder.rglob(class_list.INDICES)).parent
  nodes = [
    {'id': classes[k][0], 'name': classes[k][1],
     'child_ids': [classes[child][0] for child in some]}
    for k, some in children.items()
  ]  # fmt: skip
  (where / 'ontology.json').write_text(json.dumps(nodes))


def opened(folder, cache_dir, scoring=False, **fields):
  config = audioset_bal_level3.get_config()
  config.data_dir = str(folder)
  config.update_from_flattened_dict(fields)
  return sources.Released(presets.resolve(config), cache_dir, scoring)


def test_training_clips_learn_what_is_above_their_labels(release, tmp_path):
  source = opened(release, tmp_path, pass_up=True)
  found = source.features(10)
  labels, n = source.labels.multi_hot(), source.n_train
  targets = np.asarray(batches.targets(found.targets, 5)) > 0
  expected = labels.copy()
  for k, above in enumerate(ABOVE):
    expected[:n, above] |= labels[:n, k : k + 1]
  np.testing.assert_array_equal(targets, expected)
  # What is drawn, stopped by and scored goes by the clips' own labels.
  np.testing.assert_array_equal(found.labels.multi_hot(), labels)
  assert found.table()['labels'].dtype == np.uint8
  share = np.mean(np.any(expected[:n] & ~labels[:n], 1))
  shares = source.distribution()['without_class_above']
  assert shares['bal_train'] == pytest.approx(share) and 0 < share < 1


def test_off_nothing_changes(release, audioset_dir, tmp_path):
  with_it, without = (
    opened(folder, tmp_path) for folder in (release, audioset_dir)
  )
  assert with_it.features(10).targets is None
  assert with_it.fingerprints == without.fingerprints
  assert without.ontology is None
  assert 'without_class_above' not in without.distribution()


def test_the_ontology_counts_where_it_is_learned(release, tmp_path):
  cache_dir = tmp_path / 'cache'
  plain, up = (opened(release, cache_dir, pass_up=p) for p in (False, True))
  assert [x for x in up.fingerprints if x not in plain.fingerprints]
  other = shutil.copytree(release, tmp_path / 'other')
  write(other, {0: [1], 1: [2], 2: [], 3: [4], 4: []})
  changed = opened(other, cache_dir, pass_up=True)
  assert changed.fingerprints != up.fingerprints
  assert opened(other, cache_dir).fingerprints == plain.fingerprints
  # To score again, none need be there.
  next(other.rglob('ontology.json')).unlink()
  scored = opened(other, cache_dir, scoring=True, pass_up=True)
  assert scored.features(10).targets is None
  with pytest.raises(UserError, match=r'pass_up=True asks for AudioSet'):
    opened(other, cache_dir, pass_up=True)


def test_of_teachers_the_rest_is_passed_up(release, audioset_run, tmp_path):
  fields = {'teacher': str(audioset_run[2]), 'teacher_weight': 0.25}
  plain, up = (
    opened(release, tmp_path, pass_up=p, **fields) for p in (False, True)
  )
  n = up.n_train
  more = up.ontology.passed_up(up.labels).multi_hot() & ~up.labels.multi_hot()
  gained = up.features(10).targets - plain.features(10).targets
  np.testing.assert_allclose(gained[:n], 0.75 * more[:n], atol=2e-3)
  assert not gained[n:].any()


def test_the_synthetic_set_has_none():
  config = audioset_bal_level3.get_config()
  config.pass_up = True
  with pytest.raises(UserError, match='the synthetic set has no ontology'):
    sources.released.ontology_of(presets.resolve(config))


def test_a_dry_run_says_so(release, tmp_path):
  config = audioset_bal_level3.get_config()
  config.data_dir, config.pass_up = str(release), True
  config = presets.resolve(config)
  said = list(dry_run.lines(config, tmp_path / 'new', tmp_path / 'cache', {}))
  assert 'targets have the classes above the labels, by the ontology' in said


def test_scores_by_depth_and_branch():
  branches = [{'A'}, {'A'}, {'A'}, {'B'}, {'A', 'B'}, set()]
  ontology = Ontology(
    (*ABOVE, ()),
    np.array([1, 2, 3, 1, 2, 0]),
    tuple(map(frozenset, branches)),
    ('A', 'B', 'C'),
  )
  rng = np.random.default_rng(0)
  hot = rng.random((50, 6)) < 0.3
  hot[:, 3] = False  # no score
  rows, ids = np.nonzero(hot)
  counts = np.bincount(rows, minlength=50)
  labels = Labels(ids.astype(np.int16), np.append(0, np.cumsum(counts)), 6)
  values = rng.random((50, 6)).astype(np.float32)
  objective = OBJECTIVES['multi_label']
  columns = objective.per_class(hot, values)
  found = hierarchy.found(ontology, objective, labels, values, columns)
  found = found['hierarchy']
  ap, auc = columns['AP'], columns['AUC']
  assert found['by_branch'] == {
    'A': {
      'classes': 4,
      'clips': int(hot[:, [0, 1, 2, 4]].any(1).sum()),
      'mAP': pytest.approx(ap[[0, 1, 2, 4]].mean()),
      'AUC': pytest.approx(auc[[0, 1, 2, 4]].mean()),
    },
    'B': {
      'classes': 1,
      'clips': int(hot[:, 4].sum()),
      'mAP': pytest.approx(ap[4]),
      'AUC': pytest.approx(auc[4]),
    },
  }
  each = {depth: group['classes'] for depth, group in found['by_depth'].items()}
  assert each == {'1': 1, '2': 2, '3': 1}
  up = ontology.passed_up(labels).multi_hot()
  assert found['passed_up'] == objective.scores(up, values)
  assert found['unknown'] == 1


def test_without_an_ontology_there_is_nothing_to_say():
  assert hierarchy.found(None, *[None] * 4) == {}
