"""Lists of labels: none, one or several a clip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.datasets.clips import Clips
from aec_jax.datasets.labels import offsets_of
from aec_jax.errors import UserError

CLASSES = ('a', 'b', 'c', 'd')
LABELS = st.lists(st.sets(st.integers(0, 3)), min_size=1, max_size=9)


def clips_of(labels):
  """Clips of these sets of class numbers."""
  count = len(labels)
  names = np.array([f'{i}.wav' for i in range(count)])
  nothing = np.full(count, np.nan)
  return Clips(
    paths=names,
    ids=names,
    label_ids=np.array([k for some in labels for k in sorted(some)], np.int16),
    label_offsets=offsets_of([len(some) for some in labels]),
    classes=CLASSES,
    verified=np.ones(count, bool),
    fold=np.full(count, -1, np.int16),
    split=np.full(count, 'train'),
    usage=np.full(count, ''),
    group=np.full(count, ''),
    start=nothing,
    end=nothing,
    skipped=[],
    notes=[],
  )


def names_of(clips):
  return [set(clips.names_of(i)) for i in range(len(clips))]


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, data=st.data())
def test_selected_clips_keep_their_labels(labels, data):
  clips = clips_of(labels)
  index = data.draw(st.lists(st.integers(0, len(labels) - 1)))
  chosen = clips.select(np.array(index, int))
  assert chosen.paths.tolist() == [f'{i}.wav' for i in index]
  assert names_of(chosen) == [{CLASSES[k] for k in labels[i]} for i in index]
  assert chosen.label_ids.dtype == np.int16
  assert chosen.label_offsets.dtype == np.int64
  mask = np.array([0 in some for some in labels])
  assert names_of(clips.select(mask)) == [
    {CLASSES[k] for k in some} for some in labels if 0 in some
  ]


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, names=st.permutations(CLASSES), count=st.integers(1, 4))
def test_clips_of_some_classes(labels, names, count):
  names = names[:count]
  chosen = clips_of(labels).with_classes(names)
  assert chosen.classes == tuple(names)
  sets = [{CLASSES[k] for k in some} & set(names) for some in labels]
  assert names_of(chosen) == [some for some in sets if some]
  for clip in range(len(chosen)):
    start, stop = chosen.label_offsets[clip : clip + 2]
    assert (np.diff(chosen.label_ids[start:stop]) > 0).all()


def test_one_label_a_clip():
  clips = clips_of([{1}, set(), {0}])
  assert clips.single_labels().tolist() == [1, -1, 0]
  assert clips.labels.dtype == np.int16
  assert clips.label_rows().tolist() == [0, 2]
  assert clips.describe() == '3 train clips, 4 classes'


def test_several_labels_are_not_one():
  clips = clips_of([{1}, {0, 2}, {0, 3}])
  with pytest.raises(UserError) as error:
    clips.single_labels()
  assert str(error.value) == (
    '1.wav: 2 labels (a, c); for clips of several give'
    ' --config.objective=multi_label'
  )
  assert clips.describe() == '3 train clips, 4 classes, 1.7 labels a clip'
