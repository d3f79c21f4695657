"""AudioSet's ontology: what stands above what, and what is refused."""

import json

import numpy as np
import pytest

from aec_jax.datasets import ontology
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError

CLASSES = ['dog', 'guitar', 'music', 'bell', 'animal', 'howl']


def node(mid, *children, name=''):
  return {'id': mid, 'name': name or mid.title(), 'child_ids': [*children]}


# `pets` is no class; a bell has two branches, and a long way and a short one.
NODES = [
  node('animal', 'pets'),
  node('pets', 'dog'),
  node('dog', 'howl'),
  node('howl'),
  node('music', 'strings', 'chimes'),
  node('strings', 'guitar'),
  node('guitar'),
  node('chimes', 'bell'),
  node('bell'),
  node('things', 'bell'),
]


def write(folder, nodes=NODES):
  path = folder / 'ontology.json'
  path.write_text(nodes if isinstance(nodes, str) else json.dumps(nodes))
  return str(path)


def test_what_stands_above_a_class(tmp_path):
  found = ontology.read(write(tmp_path), CLASSES)
  assert found.above == ((4,), (2,), (), (2,), (), (0, 4))
  assert found.depth.tolist() == [3, 3, 1, 2, 1, 4]
  assert found.branches[3] == {'Music', 'Things'}
  assert found.branches[5] == found.branches[4] == {'Animal'}
  assert found.top == ('Animal', 'Music', 'Things')


def test_labels_are_passed_up(tmp_path):
  found = ontology.read(write(tmp_path), CLASSES)
  clips = [[5], [1, 3], [], [2, 3], [0, 4, 5], [0]]
  labels = Labels(
    np.concatenate(clips).astype(np.int16),
    np.append(0, np.cumsum([len(clip) for clip in clips])),
    len(CLASSES),
  )
  hot = found.passed_up(labels).multi_hot()
  expected = [{0, 4, 5}, {1, 2, 3}, set(), {2, 3}, {0, 4, 5}, {0, 4}]
  assert [set(np.flatnonzero(row)) for row in hot] == expected
  lacking = [True, True, False, False, False, True]
  assert found.lacking(labels).tolist() == lacking
  # Once is enough.
  up = found.passed_up(labels)
  np.testing.assert_array_equal(found.passed_up(up).ids, up.ids)
  assert up.ids.dtype == np.int16
  nothing = labels.select(np.array([2]))
  assert len(found.passed_up(nothing)) == 1


def test_classes_that_it_lacks(tmp_path):
  classes = [('howl', 'Howl'), ('moo', 'Moo')]
  write(tmp_path)
  found = ontology.of_release(str(tmp_path), classes)
  assert found.depth.tolist() == [4, 0] and found.branches[1] == frozenset()
  with pytest.raises(UserError, match="lacks 1 of 2 classes, 'Moo'"):
    ontology.of_release(str(tmp_path), classes, 'config.pass_up=True')


def test_it_need_not_be_there(tmp_path):
  assert ontology.of_release(str(tmp_path), [('dog', 'Dog')]) is None
  with pytest.raises(UserError, match=r'config\.pass_up=True asks for') as e:
    ontology.of_release(str(tmp_path), [('dog', 'Dog')], 'config.pass_up=True')
  tried = f'{tmp_path}/csv/ontology.json or {tmp_path}/ontology.json'
  assert tried in str(e.value)


@pytest.mark.parametrize(
  ('nodes', 'words'),
  [
    ('[', 'it is no JSON'),
    ('[' * 100_000, 'it is no JSON'),
    ('\0\xff', 'it is no JSON'),
    ({'a': 1}, 'it is not a list of nodes'),
    ([], 'it is not a list of nodes'),
    ([node('a'), 5], 'node 2 has not id, name and child_ids'),
    ([{'id': 'a', 'name': 'A'}], 'node 1 has not id'),
    ([node('a', 3)], 'node 1 has not id'),
    ([node('a'), node('a')], "the id 'a' is there twice"),
    ([node('a', 'b')], "a has the child 'b', which is no node"),
    ([node('a', 'b'), node('b', 'a')], 'a is above itself'),
    ([node('a', 'b'), node('b', 'b')], 'b is above itself'),
  ],
)
def test_what_is_none(tmp_path, nodes, words):
  path = write(tmp_path, nodes)
  with pytest.raises(UserError, match=f'is no ontology.*{words}') as error:
    ontology.read(path, CLASSES)
  assert path in str(error.value) and '\n' not in str(error.value)


def test_a_folder_in_its_place(tmp_path):
  (tmp_path / 'ontology.json').mkdir()
  with pytest.raises(UserError, match=r'ontology\.json: a folder, not a file'):
    ontology.of_release(str(tmp_path), [('dog', 'Dog')])
