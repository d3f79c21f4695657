"""Pieces, folds, splits and pitch shifts: properties of pure functions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.input import pieces

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=12)
LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(np.array)
SEEDS = st.integers(0, 2**31 - 1)


def offsets_of(counts):
  return np.concatenate([[0], np.cumsum(counts)])


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, length=st.integers(1, 12))
def test_pieces_hold_every_segment_of_their_clip_in_order(counts, length):
  offsets = offsets_of(counts)
  cut = pieces.cut(offsets, length)
  assert (cut.n_segments == length).all()
  for clip, count in enumerate(counts):
    rows = cut.of_clips([clip])
    assert len(rows) == -(-count // length)
    flat = cut.segments[rows].ravel() - offsets[clip]
    # Once through, and then from the beginning for as long as it takes.
    np.testing.assert_array_equal(flat, np.arange(flat.size) % count)


@settings(max_examples=30, deadline=None)
@given(counts=COUNTS)
def test_whole_clips_are_one_piece_each_and_masked_after_their_end(counts):
  offsets = offsets_of(counts)
  cut = pieces.cut(offsets, 0)
  np.testing.assert_array_equal(cut.clips, np.arange(len(counts)))
  np.testing.assert_array_equal(cut.n_segments, counts)
  for clip, count in enumerate(counts):
    row = cut.segments[clip] - offsets[clip]
    np.testing.assert_array_equal(row[:count], np.arange(count))
    assert (row[count:] == 0).all()


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, count=st.integers(2, 6), seed=SEEDS)
def test_folds_share_every_class_equally(labels, count, seed):
  folds = pieces.folds(labels, count, seed)
  np.testing.assert_array_equal(folds, pieces.folds(labels, count, seed))
  sizes = np.bincount(folds, minlength=count)
  assert sizes.max() - sizes.min() <= 1
  for label in set(labels):
    sizes = np.bincount(folds[labels == label], minlength=count)
    assert sizes.max() - sizes.min() <= 1


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, seed=SEEDS, data=st.data())
def test_any_run_of_a_spread_order_has_its_share_of_a_class(labels, seed, data):
  order = pieces.spread(labels, seed)
  np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))
  stop = data.draw(st.integers(0, len(labels)))
  for label in set(labels):
    whole = np.sum(labels == label)
    share = np.sum(labels[order[:stop]] == label)
    # Of the run, every class has the same part but for one clip a class.
    assert abs(share - whole * stop / len(labels)) <= 1 + len(set(labels))


def test_splits_are_the_thesis_s():
  order = np.arange(9473)
  training, validation = pieces.split(order, 'first')
  assert training[[0, -1]].tolist() == [0, 7999]
  assert validation[[0, -1]].tolist() == [8000, 9472]
  training, validation = pieces.split(order, 'last')
  assert training[[0, -1]].tolist() == [1473, 9472]
  assert validation[[0, -1]].tolist() == [0, 1472]


@pytest.mark.parametrize('part', pieces.PARTS)
def test_the_smallest_split_has_one_clip_on_each_side(part):
  assert [len(x) for x in pieces.split(np.arange(2), part)] == [1, 1]


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, target=st.integers(0, 70), seed=SEEDS)
def test_shifts_fill_every_class_up_to_the_target(labels, target, seed):
  clips, semitones = pieces.shifts(labels, target, seed)
  again = pieces.shifts(labels, target, seed)
  np.testing.assert_array_equal(clips, again[0])
  np.testing.assert_array_equal(semitones, again[1])
  assert ((np.abs(semitones) <= 12) & (semitones != 0)).all()
  for label in set(labels):
    own = np.sum(labels == label)
    copies = clips[labels[clips] == label]
    assert own + len(copies) == max(own, target)
    turns = np.bincount(copies, minlength=len(labels))[labels == label]
    assert turns.max() - turns.min() <= 1
  pairs = list(zip(clips.tolist(), semitones.tolist(), strict=True))
  if np.bincount(clips, minlength=1).max() <= 24:
    assert len(set(pairs)) == len(pairs)
