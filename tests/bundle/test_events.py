"""Events from probabilities over time."""

import itertools

import numpy as np
import pytest

from aec_jax.audio.stream import Facts
from aec_jax.bundle import events
from aec_jax.bundle.activity import Frames
from aec_jax.errors import UserError

FACTS = Facts(60.0, (1.0, 52.3))
CLASSES = ('a', 'b', 'c')


def found(probabilities, thresholds, median, cuts=(), quiet=()):
  """The events of a sound whose frames come in stretches."""
  edges = [0, *cuts, len(probabilities)]

  def frames():
    for i, (first, last) in enumerate(itertools.pairwise(edges)):
      yield Frames(
        FACTS, 1 + first * 0.5, 0.5, probabilities[first:last],
        np.isin(np.arange(first, last), quiet), i == len(edges) - 2,
      )  # fmt: skip

  (sound,) = events.find(frames(), CLASSES, np.array(thresholds), median)
  return sound.events


def test_runs_of_frames_are_events():
  p = np.zeros((10, 3), np.float32)
  p[2:5, 1] = 0.4, 0.9, 0.5
  p[9, 0] = 0.7
  assert found(p, [0.5, 0.4, 0.1], 1) == [
    events.Event(2.0, 3.5, 'b', pytest.approx(0.9)),
    events.Event(5.5, 6.0, 'a', pytest.approx(0.7)),
  ]


@pytest.mark.parametrize('median', [1, 3])
def test_none_is_heard_in_digital_silence(median):
  p = np.full((30, 3), 0.9, np.float32)
  heard = found(p, [0.5, np.nan, np.nan], median, [12], range(10, 20))
  assert [event[:2] for event in heard] == [(1.0, 6.0), (11.0, 16.0)]


def test_a_class_without_a_threshold_is_never_heard():
  assert not found(np.ones((9, 3), np.float32), [np.nan] * 3, 1)


def test_nothing_ends_after_what_is_kept():
  (event, *_) = found(np.ones((103, 3), np.float32), [0.5] * 3, 1)
  assert (event.onset, event.offset) == (1.0, 52.3)


def test_a_median_fills_gaps_and_drops_spikes():
  p = np.zeros((12, 3), np.float32)
  p[2:7, 0] = 1, 1, 0, 1, 1
  p[9, 0] = 1
  (event,) = found(p, [0.5] * 3, 3)
  assert (event.onset, event.offset) == (2.0, 4.5)


@pytest.mark.parametrize('median', [1, 3, 5])
@pytest.mark.parametrize('cuts', [[50], [1, 2, 3, 10], [7, 7, 90], [102]])
def test_stretches_change_nothing(median, cuts):
  p = np.random.default_rng(0).random((103, 3)).astype(np.float32)
  thresholds = [0.5, 0.3, np.nan]
  assert found(p, thresholds, median, cuts) == found(p, thresholds, median)


def test_the_median_is_odd_and_about_a_segment():
  assert events.median_frames(None, 0.96, 1) == 1
  assert events.median_frames(None, 0.24, 4) == 5
  assert events.median_frames(0.0, 0.24, 4) == 1
  assert events.median_frames(1.0, 0.24, 4) % 2 == 1
  with pytest.raises(UserError, match='--median is -1'):
    events.median_frames(-1, 0.24, 4)
