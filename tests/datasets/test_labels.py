"""Labels as lists, against sets of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.datasets.labels import Labels

CLASSES = 11  # not a whole number of bytes
CLIPS = st.lists(st.sets(st.integers(0, CLASSES - 1)), min_size=1, max_size=20)


def labels_of(clips, classes=CLASSES):
  ids = [k for clip in clips for k in sorted(clip)]
  counts = [len(clip) for clip in clips]
  offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
  return Labels(np.array(ids, np.int16), offsets, classes)


def sets_of(labels):
  parts = np.split(labels.ids, labels.offsets[1:-1])
  assert all((np.diff(part) > 0).all() for part in parts)
  return [set(part.tolist()) for part in parts]


@settings(max_examples=80, deadline=None)
@given(clips=CLIPS)
def test_forms_of_the_same_labels(clips):
  labels = labels_of(clips)
  assert len(labels) == len(clips)
  hot = labels.multi_hot()
  assert hot.shape == (len(clips), CLASSES) and hot.dtype == bool
  assert [set(np.flatnonzero(row).tolist()) for row in hot] == clips
  np.testing.assert_array_equal(labels.packed(), np.packbits(hot, axis=1))
  np.testing.assert_array_equal(labels.counts(), hot.sum(1))
  np.testing.assert_array_equal(labels.class_counts(), hot.sum(0))
  np.testing.assert_array_equal(labels.rows(), np.nonzero(hot)[0])
  kinds = labels.sets()
  alike = [[a == b for b in clips] for a in clips]
  np.testing.assert_array_equal(kinds[:, None] == kinds, alike)
  members, offsets = labels.clips_of_classes()
  for k in range(CLASSES):
    mine = members[offsets[k] : offsets[k + 1]]
    np.testing.assert_array_equal(mine, np.flatnonzero(hot[:, k]))


@settings(max_examples=80, deadline=None)
@given(clips=CLIPS, data=st.data())
def test_some_clips_in_any_order_and_again(clips, data):
  index = st.lists(st.integers(0, len(clips) - 1), max_size=30)
  index = np.array(data.draw(index), int)
  found = labels_of(clips).select(index)
  assert len(found) == len(index) and found.classes == CLASSES
  if len(index):
    assert sets_of(found) == [clips[i] for i in index]
  mask = np.array(data.draw(st.lists(
    st.booleans(), min_size=len(clips), max_size=len(clips)
  )))  # fmt: skip
  found = labels_of(clips).select(mask)
  assert found.offsets[-1] == sum(
    len(clip) for clip, chosen in zip(clips, mask, strict=True) if chosen
  )


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(CLIPS, min_size=1, max_size=4))
def test_sets_of_clips_follow_each_other(parts):
  whole = Labels.concatenate([labels_of(part) for part in parts])
  assert sets_of(whole) == [clip for part in parts for clip in part]
  assert whole.offsets.dtype == np.int64 and whole.ids.dtype == np.int16


@pytest.mark.parametrize('given_', [[0, 2, 1], [-1, 2, -1], [-1], []])
def test_one_label_each_or_none(given_):
  found = Labels.of_one(np.array(given_, int), 3)
  assert len(found) == len(given_)
  rows = found.multi_hot()
  expected = np.array(given_)[:, None] == np.arange(3)
  np.testing.assert_array_equal(rows, expected.reshape(rows.shape))
