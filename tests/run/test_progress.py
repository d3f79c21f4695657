"""The line of what is under way: whereabouts, pace, and how often."""

import logging
import sys

import pytest
from absl import logging as absl_logging

from aec_jax.run import clock, progress


@pytest.fixture
def now(monkeypatch):
  """A clock that a test sets."""
  at = [0.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: at[0])
  return at


@pytest.fixture
def log(caplog):
  absl_logging.use_python_logging(quiet=True)
  caplog.set_level('INFO', logger='absl')
  return caplog


def test_whereabouts_are_said_from_the_whole_run_inwards():
  with progress.within('stage 2 of 6', 'fine-tuning'):
    with progress.within('fold 1 of 5', more=4):
      assert progress.place('step 3') == (
        'stage 2 of 6 · fine-tuning · fold 1 of 5 · step 3'
      )
      assert progress.more() == 4
    assert (progress.place(), progress.more()) == (
      'stage 2 of 6 · fine-tuning', 0
    )  # fmt: skip
  assert progress.place() == ''


def test_a_log_hears_seldom_of_what_takes_long(now, log):
  meter = progress.Meter('embedding', 10_000, logged=True)
  for second in range(1, 1001):
    now[0] = float(second)
    meter.advance(9)
  assert 15 < len(log.messages) < 40
  assert log.messages[0] == 'embedding 108/10,000 · 18 min left'
  log.clear()
  progress.Meter('short', 2, logged=True).advance(2)
  assert not log.messages


def test_a_pace_is_that_of_what_comes_after_the_first(now, log):
  meter = progress.Meter('embedding', 100, logged=True)
  now[0] = 300.0  # compiling
  meter.advance(10)
  assert log.messages == ['embedding 10/100']
  for _ in range(40):
    now[0] += 1
    meter.advance(1)
  assert log.messages[-1].endswith('57 s left')  # not 8 min


def test_the_line_of_a_terminal_gives_way_to_log_lines(
  now, monkeypatch, capsys
):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  progress.Line().say('x' * 500)
  shown = capsys.readouterr().err
  assert shown.startswith('\r…') and len(shown) < 200
  record = logging.makeLogRecord({})
  assert progress.make_way(record)
  assert not capsys.readouterr().err.strip()
  progress.make_way(record)
  assert capsys.readouterr().err == ''


def test_stages_are_numbered_and_timed(log):
  found = clock.Clock(['prepare', 'train'])
  with found.stage('prepare'):
    pass
  with found.stage('fine_tune'):  # this kind of experiment has none
    assert progress.place() == ''
  with found.stage('train'):
    assert progress.place() == 'stage 2 of 2 · training'
  assert log.messages == ['stage 1 of 2 · preparing', 'stage 2 of 2 · training']
  assert list(found.seconds) == ['prepare', 'fine_tune', 'train']


def test_the_time_of_the_whole_run_is_said_as_far_as_it_is_known(log):
  found = clock.Clock(['prepare', 'fine_tune', 'train', 'score'])
  with found.stage('prepare'):
    found.expect({'fine_tune': 3000.0, 'train': None})
  with found.stage('fine_tune'):
    assert progress.later() is None
  found.expect({'fine_tune': 3000.0, 'train': 600.0})
  with found.stage('fine_tune'), progress.within('extractor 1 of 2', more=1):
    assert progress.later() == 600.0
  with found.stage('train'):
    assert progress.later() == 0.0
  assert log.messages == [
    'stage 1 of 4 · preparing',
    'stage 2 of 4 · fine-tuning',
    'stage 2 of 4 · fine-tuning · at most about 1 h 00 min left',
    'stage 3 of 4 · training · at most about 10 min left',
  ]
