"""Pieces, folds, splits and pitch shifts: properties of pure functions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aec_jax.errors import UserError
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


def within(cut, clip, offsets):
  """Of a clip's pieces the valid segments, counted from its first."""
  return [
    (cut.segments[row, : cut.n_segments[row]] - offsets[clip]).tolist()
    for row in cut.of_clips([clip])
  ]


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, length=st.integers(1, 12))
def test_masked_pieces_hold_every_segment_once(counts, length):
  offsets = offsets_of(counts)
  cut = pieces.cut(offsets, length, 'mask')
  for clip, count in enumerate(counts):
    found = within(cut, clip, offsets)
    assert [i for piece in found for i in piece] == list(range(count))
    assert all(len(piece) == length for piece in found[:-1])
  _check_padding(cut, offsets)


@settings(max_examples=60, deadline=None)
@given(counts=COUNTS, length=st.integers(1, 12))
def test_aligned_pieces_end_with_their_clip(counts, length):
  offsets = offsets_of(counts)
  cut = pieces.cut(offsets, length, 'align')
  for clip, count in enumerate(counts):
    *before, last = within(cut, clip, offsets)
    assert len(before) == (count - 1) // length
    assert last == list(range(max(count - length, 0), count))
    for i, piece in enumerate(before):
      assert piece == list(range(i * length, (i + 1) * length))
  _check_padding(cut, offsets)


def _check_padding(cut, offsets):
  """After the valid segments stands the clip's first."""
  after = np.arange(cut.segments.shape[1]) >= cut.n_segments[:, None]
  first = np.broadcast_to(offsets[cut.clips][:, None], after.shape)
  np.testing.assert_array_equal(cut.segments[after], first[after])


@settings(max_examples=60, deadline=None)
@given(
  counts=COUNTS,
  length=st.integers(0, 12),
  last=st.sampled_from(pieces.LAST_PIECES),
)
def test_every_segment_is_a_piece_s_own_once(counts, length, last):
  offsets = offsets_of(counts)
  cut = pieces.cut(offsets, length, last)
  valid = np.arange(cut.segments.shape[1]) < cut.n_segments[:, None]
  assert valid[cut.own].all()
  np.testing.assert_array_equal(
    np.sort(cut.segments[cut.own]), np.arange(offsets[-1])
  )


@settings(max_examples=60, deadline=None)
@given(
  counts=COUNTS,
  length=st.integers(0, 12),
  last=st.sampled_from(pieces.LAST_PIECES),
  data=st.data(),
)
def test_a_clip_s_values_are_its_pieces_by_their_valid_segments(
  counts, length, last, data
):
  cut = pieces.cut(offsets_of(counts), length, last)
  some = data.draw(st.sets(st.sampled_from(range(len(counts))), min_size=1))
  cut = cut.select(cut.of_clips(sorted(some)))
  values = np.random.default_rng(0).standard_normal((len(cut), 3))
  found, weights = cut.clip_values(values), cut.weights()
  for row, clip in zip(found, sorted(some), strict=True):
    mine = cut.clips == clip
    assert weights[mine].sum() == pytest.approx(1)
    expected = np.average(values[mine], 0, cut.n_segments[mine])
    np.testing.assert_allclose(row, expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
  counts=COUNTS,
  length=st.integers(0, 12),
  last=st.sampled_from(pieces.LAST_PIECES),
)
def test_clips_that_are_cut_again_have_the_pieces_of_all_cuts(
  counts, length, last
):
  first = offsets_of(counts)
  again = first[-1] + offsets_of(np.array(counts) - 1)
  cut = pieces.cut(first, length, last)
  one, both = (
    pieces.cut_all(cuts, length, last) for cuts in ([first], [first, again])
  )
  for name in ('segments', 'n_segments', 'clips', 'own'):
    np.testing.assert_array_equal(getattr(one, name), getattr(cut, name))
  # What the first cut has is its own, and is told over time.
  np.testing.assert_array_equal(
    np.sort(both.segments[both.own]), np.arange(first[-1])
  )
  # A later cut's pieces are those of clips of a segment less.
  for clip in np.flatnonzero(np.array(counts) > 1):
    mine = both.select(both.of_clips([clip]))
    alone = pieces.cut(
      again[clip : clip + 2],
      length or max(counts),
      last if length else 'mask',
    )
    later = (mine.segments >= first[-1]).all(1)
    np.testing.assert_array_equal(mine.segments[later], alone.segments)
    np.testing.assert_array_equal(mine.n_segments[later], alone.n_segments)
  order, offsets = pieces.by_clip([first, again])
  for clip, count in enumerate(counts):
    found = order[offsets[clip] : offsets[clip + 1]]
    expected = [*range(first[clip], first[clip + 1]),
                *range(again[clip], again[clip + 1])]  # fmt: skip
    assert found.tolist() == expected and len(found) == 2 * count - 1


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, count=st.integers(2, 6), seed=SEEDS)
def test_folds_share_every_class_equally(labels, count, seed):
  if len(labels) < count:
    with pytest.raises(UserError, match=f'at most {len(labels)}$'):
      pieces.folds(labels, count, seed)
    return
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


def test_padded_clips_are_cut_as_those_that_lie_end_to_end():
  counts = np.array([3, 23, 10, 1, 40])
  offsets = np.cumsum([0, *counts])
  found, expected = pieces.padded(counts, 10), pieces.cut(offsets, 10, 'mask')
  for name in ('n_segments', 'clips', 'own'):
    np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
  # Where the segments lie in the padded rows.
  place = np.flatnonzero(found.own.ravel())
  np.testing.assert_array_equal(
    found.segments[found.own], place[expected.segments[expected.own]]
  )
