"""Folds, orders and pitch shifts of clips with several labels and of groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.input import pieces, strata

SETS = st.lists(st.sets(st.integers(0, 4)), min_size=6, max_size=60)
GROUPS = st.lists(st.integers(0, 9), min_size=60, max_size=60)
SEEDS = st.integers(0, 2**31 - 1)
# Of ten clips, seed 7: as they were before clips had several labels.
FOLDS = [2, 1, 0, 0, 2, 2, 1, 0, 1, 0]
CLIPS = [6, 7, 1, 4, 2, 5, 2, 5]
SEMITONES = [6, -7, -11, 6, -1, 11, 8, -8]
HELD_OUT = [1, 9, 11, 14, 16, 24]
ORDER = [7, 2, 8, 4, 6, 5, 9, 1, 3, 0]


def flat(sets):
  """Labels and offsets of sets of classes."""
  labels = [k for some in sets for k in sorted(some)]
  counts = [len(some) for some in sets]
  return np.array(labels, np.int16), np.cumsum([0, *counts])


def names(numbers, count):
  """Groups of clips, '' for every tenth number."""
  return np.array([f'r{n}' if n else '' for n in numbers[:count]])


def counts_of(folds, sets, count):
  """(fold, class)."""
  out = np.zeros((count, 5), int)
  for fold, some in zip(folds, sets, strict=True):
    out[fold, list(some)] += 1
  return out


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=6, max_size=60), seed=SEEDS)
def test_a_label_a_clip_is_as_without_offsets_and_groups(labels, seed):
  labels = np.array(labels, np.int16)
  more = np.arange(len(labels) + 1), np.full(len(labels), '')
  np.testing.assert_array_equal(
    pieces.folds(labels, 3, seed), pieces.folds(labels, 3, seed, *more)
  )
  order = pieces.spread(labels, seed)
  np.testing.assert_array_equal(order, pieces.spread(labels, seed, *more))
  for part in pieces.PARTS:
    for a, b in zip(
      pieces.split(order, part),
      pieces.split(order, part, more[1]),
      strict=True,
    ):
      np.testing.assert_array_equal(a, b)
  plain = pieces.shifts(labels, 9, seed)
  for a, b in zip(plain, pieces.shifts(labels, 9, seed, more[0]), strict=True):
    np.testing.assert_array_equal(a, b)


def test_folds_of_single_labels_never_change():
  labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 0])
  assert pieces.folds(labels, 3, 7).tolist() == FOLDS
  clips, semitones = pieces.shifts(labels, 6, 7)
  assert clips.tolist() == CLIPS
  assert semitones.tolist() == SEMITONES
  assert pieces.spread(labels, 7).tolist() == ORDER


@settings(max_examples=60, deadline=None)
@given(sets=SETS, count=st.integers(2, 5), seed=SEEDS)
def test_folds_share_the_labels(sets, count, seed):
  labels, offsets = flat(sets)
  folds = pieces.folds(labels, count, seed, offsets)
  np.testing.assert_array_equal(
    folds, pieces.folds(labels, count, seed, offsets)
  )
  assert folds.dtype == np.int16 and len(folds) == len(sets)
  assert set(folds) <= set(range(count))
  shares = counts_of(folds, sets, count)
  rarest = min(range(5), key=lambda k: (shares.sum(0)[k] or 99, k))
  # The first that is dealt is dealt evenly.
  assert np.ptp(shares[:, rarest]) <= 1


def test_folds_of_many_clips_are_even():
  rng = np.random.default_rng(0)
  sets = [
    set(rng.choice(5, rng.integers(1, 4), False, [0.5, 0.3, 0.15, 0.04, 0.01]))
    for _ in range(1000)
  ]
  labels, offsets = flat(sets)
  folds = pieces.folds(labels, 5, 0, offsets)
  assert np.ptp(counts_of(folds, sets, 5), axis=0).max() <= 2
  assert np.ptp(np.bincount(folds)) <= 20


@settings(max_examples=60, deadline=None)
@given(sets=SETS, numbers=GROUPS, seed=SEEDS)
def test_a_group_is_on_one_side(sets, numbers, seed):
  labels, offsets = flat(sets)
  groups = names(numbers, len(sets))
  unit = strata.units(offsets, groups)
  order = pieces.spread(labels, seed, offsets, groups)
  np.testing.assert_array_equal(np.sort(order), np.arange(len(sets)))
  assert (np.diff(unit[order]) != 0).sum() == unit.max()
  if unit.max() < 2:
    with pytest.raises(UserError, match='recordings cannot be in 3 folds'):
      pieces.folds(labels, 3, seed, offsets, groups)
    return
  folds = pieces.folds(labels, 3, seed, offsets, groups)
  for part in pieces.PARTS:
    training, validation = pieces.split(order, part, groups)
    assert len(training) and len(validation)
    assert not set(unit[training]) & set(unit[validation])
  for group in set(groups) - {''}:
    assert len(set(folds[groups == group])) == 1


def test_groups_of_one_label_are_shared_evenly():
  labels = np.repeat([0, 1], 40)
  groups = np.array([f'{i // 4}' for i in range(80)])
  folds = pieces.folds(labels, 5, 3, None, groups)
  assert np.bincount(folds[:40]).tolist() == [8] * 5
  assert np.bincount(folds[40:]).tolist() == [8] * 5


def test_one_recording_cannot_be_split():
  with pytest.raises(UserError, match=r'pieces of one recording \(r\)'):
    pieces.split(np.arange(4), 'first', np.full(4, 'r'))


@settings(max_examples=60, deadline=None)
@given(sets=SETS, target=st.integers(0, 40), seed=SEEDS)
def test_shifts_give_every_class_its_target(sets, target, seed):
  labels, offsets = flat(sets)
  clips, semitones = pieces.shifts(labels, target, seed, offsets)
  assert clips.dtype == np.int32 and semitones.dtype == np.int8
  before = np.bincount(labels, minlength=5)
  copies = [k for clip in clips for k in sets[clip]]
  after = before + np.bincount(copies, minlength=5)
  assert (after[before > 0] >= target).all()
  pairs = set(zip(clips.tolist(), semitones.tolist(), strict=True))
  if len(clips) and np.bincount(clips).max() <= 24:
    assert len(pairs) == len(clips)


def test_copies_of_a_rare_class_count_for_a_common_one():
  labels, offsets = flat([{0, 1}, {0}, {0}])
  clips, _ = pieces.shifts(labels, 5, 0, offsets)
  # Four copies of clip 0 give both classes enough.
  assert clips.tolist() == [0] * 4


def test_what_is_held_out_is_a_share_of_each_class_whatever_the_order():
  rng = np.random.default_rng(0)
  classes = np.repeat([0, 1, 2], [400, 100, 20])
  ids = np.array([b'%06x' % x for x in rng.integers(0, 2**24, 520)])
  labels = Labels.of_one(classes, 3)
  out = strata.held_out(ids, labels, 0.1)
  for k, count in enumerate((400, 100, 20)):
    assert abs(out[classes == k].sum() - count / 10) <= 1
  assert out.sum() == 52
  order = rng.permutation(520)
  again = strata.held_out(ids[order], labels.select(order), 0.1)
  np.testing.assert_array_equal(again, out[order])
  text = strata.held_out(ids.astype(str), labels, 0.1)
  np.testing.assert_array_equal(text, out)


def test_of_several_labels_the_rarest_says_what_is_held_out():
  labels, offsets = flat([{0, k} for k in (1, 2) for _ in range(10)])
  ids = np.array([f'{i}' for i in range(20)])
  out = strata.held_out(ids, Labels(labels, offsets, 3), 0.2)
  assert [out[:10].sum(), out[10:].sum()] == [2, 2]


def test_clips_of_one_name_are_held_out_together():
  rng = np.random.default_rng(0)
  classes = np.repeat([0, 1, 2], [100, 60, 20])
  ids = np.array([b'%06x' % x for x in rng.permutation(180)])
  labels = Labels.of_one(classes, 3)
  once = strata.held_out(ids, labels, 0.1)
  assert once.sum() == 18
  rows = np.repeat(np.arange(180), 3)
  again = strata.held_out(ids[rows], labels.select(rows), 0.1)
  np.testing.assert_array_equal(again, once[rows])
  order = rng.permutation(540)
  again = strata.held_out(ids[rows][order], labels.select(rows[order]), 0.1)
  np.testing.assert_array_equal(again, once[rows][order])


def test_what_is_held_out_never_changes():
  ids = np.array([f'{i}' for i in range(30)])
  labels = Labels.of_one(np.arange(30) % 3, 3)
  assert np.flatnonzero(strata.held_out(ids, labels, 0.2)).tolist() == HELD_OUT


def test_the_rarest_label_of_any_clip_is_its_recording_s():
  # Of each recording a clip has the label 0 and another one of its own.
  sets = [some for k in (1, 2) for _ in range(10) for some in ({0}, {k})]
  labels, offsets = flat(sets)
  ids = np.array([f'{i // 2}' for i in range(40)])
  out = strata.held_out(ids, Labels(labels, offsets, 3), 0.2)
  assert [out[:20].sum(), out[20:].sum()] == [4, 4]
  np.testing.assert_array_equal(out[::2], out[1::2])
