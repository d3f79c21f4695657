"""Examples on disk and in memory, and the forms their labels take."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aec_jax.datasets.examples import Examples, Writer
from aec_jax.errors import UserError


def make_examples(labels, n_classes=9, shape=(10, 4), dtype=np.uint8, seed=0):
  """Examples with the given labels: a list of ascending lists."""
  rng = np.random.default_rng(seed)
  n = len(labels)
  return Examples(
    embeddings=rng.integers(0, 256, (n, *shape)).astype(dtype),
    n_segments=rng.integers(1, 11, n).astype(np.uint8),
    label_ids=np.array([k for row in labels for k in row], np.int16),
    label_offsets=np.cumsum([0] + [len(row) for row in labels]),
    ids=np.array([b'clip%07d' % i for i in range(n)], 'S11'),
    classes=tuple(f'Class {k}' for k in range(n_classes)),
    skipped=[{'file': 'a.tfrecord', 'record': 3, 'reason': 'no labels'}],
  )


def assert_equal(one, other):
  for field in dataclasses.fields(Examples):
    a, b = getattr(one, field.name), getattr(other, field.name)
    if isinstance(a, np.ndarray):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)
    else:
      assert a == b


@st.composite
def label_lists(draw):
  n_classes = draw(st.integers(1, 30))
  sets = st.sets(st.integers(0, n_classes - 1), max_size=5)
  return [sorted(s) for s in draw(st.lists(sets, max_size=20))], n_classes


@given(label_lists())
def test_multi_hot_has_each_label(case):
  labels, n_classes = case
  dense = make_examples(labels, n_classes).labels.multi_hot()
  assert dense.shape == (len(labels), n_classes)
  assert [list(np.flatnonzero(row)) for row in dense] == labels


@given(label_lists())
def test_packed_labels_are_the_packed_multi_hot(case):
  examples = make_examples(*case)
  packed = examples.labels.packed()
  assert packed.dtype == np.uint8
  np.testing.assert_array_equal(
    packed, np.packbits(examples.labels.multi_hot(), 1)
  )


@given(label_lists())
def test_class_members_are_the_columns_of_multi_hot(case):
  examples = make_examples(*case)
  members, offsets = examples.labels.clips_of_classes()
  assert members.dtype == np.int32
  assert offsets.dtype == np.int64
  assert len(offsets) == len(examples.classes) + 1
  for k, column in enumerate(examples.labels.multi_hot().T):
    of_class = members[offsets[k] : offsets[k + 1]]
    np.testing.assert_array_equal(of_class, np.flatnonzero(column))


@pytest.mark.parametrize('mmap', [False, True])
@pytest.mark.parametrize('labels', [[[0, 8], [3], [1, 2, 4]], [[], [5]]])
@pytest.mark.parametrize(
  ('shape', 'dtype'), [((10, 128), np.uint8), ((6, 3), np.float32)]
)
def test_load_gives_back_what_was_saved(tmp_path, labels, mmap, shape, dtype):
  examples = make_examples(labels, shape=shape, dtype=dtype)
  examples.save(tmp_path / 'packed')
  loaded = Examples.load(tmp_path / 'packed', mmap=mmap)
  assert_equal(examples, loaded)
  assert isinstance(loaded.embeddings, np.memmap) == mmap


def test_an_empty_set_survives_saving(tmp_path):
  examples = make_examples([])
  examples.save(tmp_path)
  assert_equal(examples, Examples.load(tmp_path))


@given(label_lists(), st.integers(0, 20))
def test_concatenate_undoes_a_cut(case, cut):
  labels, n_classes = case
  whole = make_examples(labels, n_classes)
  cut = min(cut, len(labels))
  border = whole.label_offsets[cut]
  first = dataclasses.replace(
    whole,
    embeddings=whole.embeddings[:cut],
    n_segments=whole.n_segments[:cut],
    label_ids=whole.label_ids[:border],
    label_offsets=whole.label_offsets[: cut + 1],
    ids=whole.ids[:cut],
  )
  second = dataclasses.replace(
    whole,
    embeddings=whole.embeddings[cut:],
    n_segments=whole.n_segments[cut:],
    label_ids=whole.label_ids[border:],
    label_offsets=whole.label_offsets[cut:] - border,
    ids=whole.ids[cut:],
    skipped=[],
  )
  assert_equal(Examples.concatenate([first, second]), whole)


def test_concatenate_refuses_other_classes():
  with pytest.raises(ValueError, match='classes'):
    Examples.concatenate([make_examples([[0]]), make_examples([[0]], 3)])


def test_a_writer_of_parts_writes_what_save_of_the_whole_does(tmp_path):
  parts = [make_examples([[k], [k, 8]], seed=k) for k in range(5)]
  whole = Examples.concatenate(parts)
  whole.save(tmp_path / 'saved')
  with Writer(tmp_path / 'written', whole.classes) as writer:
    for part in parts:
      writer.append(part)
  for path in (tmp_path / 'saved').iterdir():
    assert path.read_bytes() == (tmp_path / 'written' / path.name).read_bytes()


def test_fingerprint_is_of_the_content(tmp_path):
  examples = make_examples([[0, 1], [2]])
  examples.save(tmp_path)
  again = make_examples([[0, 1], [2]])
  assert Examples.load(tmp_path).fingerprint() == again.fingerprint()
  assert examples.fingerprint() == again.fingerprint()


def test_fingerprint_tells_every_change():
  examples = make_examples([[0, 1], [2]])
  embeddings = examples.embeddings.copy()
  embeddings[1, 2, 3] ^= 1
  changes = [
    {'embeddings': embeddings},
    {'embeddings': examples.embeddings.reshape(2, 4, 10)},
    {'embeddings': examples.embeddings.view(np.int8)},
    {'n_segments': examples.n_segments + np.uint8(1)},
    {'label_ids': np.array([0, 1, 3], np.int16)},
    {'label_offsets': np.array([0, 1, 3])},
    {'ids': examples.ids[::-1]},
    {'classes': (*examples.classes[:-1], 'Other')},
  ]
  changed = [dataclasses.replace(examples, **change) for change in changes]
  prints = {each.fingerprint() for each in [examples, *changed]}
  assert len(prints) == len(changes) + 1


def test_a_folder_whose_writer_failed_does_not_load(tmp_path):
  examples = make_examples([[0]])
  examples.save(tmp_path)
  with pytest.raises(OSError), Writer(tmp_path, examples.classes) as writer:
    writer.append(examples)
    raise OSError('disk full')
  with pytest.raises(UserError, match=str(tmp_path)):
    Examples.load(tmp_path)


@pytest.mark.parametrize(
  'name', ['embeddings.npy', 'label_ids.npy', 'examples.json']
)
@pytest.mark.parametrize('mmap', [False, True])
def test_a_damaged_folder_does_not_load(tmp_path, name, mmap):
  make_examples([[0], [1]]).save(tmp_path)
  data = (tmp_path / name).read_bytes()
  (tmp_path / name).write_bytes(data[:-3])
  with pytest.raises(UserError, match=str(tmp_path)) as error:
    Examples.load(tmp_path, mmap)
  assert '\n' not in str(error.value)
