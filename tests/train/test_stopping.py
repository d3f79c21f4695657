"""Signals are heard and obeyed in time, whatever training waits for."""

import os
import signal
import subprocess
import sys
import threading
import time
import types

import flax
import jax
import numpy as np
import pytest
from train_data import fit

from aec_jax import presets
from aec_jax.run import termination
from aec_jax.train import loop
from aec_jax.train.checkpoint import Checkpoints


@flax.struct.dataclass
class State:
  step: np.ndarray
  w: np.ndarray


@flax.struct.dataclass
class Best(State):
  best: np.ndarray


class Endless:
  """Losses that a signal comes before, and that never come themselves."""

  before = staticmethod(lambda: None)

  def __array__(self, dtype=None, copy=None):
    self.before()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()


class Counting:
  """A `loop.System` that learns nothing, and may wait forever.

  Args:
    waits: what it never comes back from: ('plan', 'steps' or 'evaluation',
      step).
  """

  rate_field, batch_of = 'rate', 'examples'
  names, most_steps = ('one',), 2
  settings = types.SimpleNamespace(
    max_steps=8, eval_every=4, checkpoint_every=100,
    batch_size=1, metric='m', patience=9, on_diverged='error',
    profile_steps='', optimizer=presets.base().optimizer,
  )  # fmt: skip

  def __init__(self, waits=()):
    self.waits = waits

  def _wait(self, *where):
    if where == self.waits:
      os.kill(os.getpid(), signal.SIGTERM)
      threading.Event().wait()

  def create_state(self):
    return State(np.int32(0), np.float32(0))

  def plans(self, spans):
    for start, stop in spans:
      self._wait('plan', start)
      yield stop

  def steps(self, state, plan):
    done = plan - int(state.step)
    w = np.float32(state.w) * 2 + plan
    measured = np.full((done, 1), plan, np.float32)
    if self.waits == ('steps', int(state.step)):
      measured = Endless()
    return State(np.int32(plan), w), {
      'loss': measured,
      'gradient_norm': measured,
    }

  def evaluate(self, state, history):
    def scores():
      self._wait('evaluation', int(state.step))
      return {'m': float(state.w)}

    return scores

  def keep_best(self, state, history, checkpoints):
    return state

  def with_best_of(self, state, other):
    return state

  def finished(self, step, history):
    return step >= self.settings.max_steps

  def finite(self, state):
    return np.ones(1, bool)


@pytest.fixture
def handled():
  signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
  before = {n: signal.getsignal(n) for n in signals}
  termination.handle()
  yield
  signal.setitimer(signal.ITIMER_REAL, 0)
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.mark.parametrize('ignored', [False, True], ids=['', 'by nohup'])
def test_a_closed_terminal_stops_a_command_but_under_nohup(ignored):
  """As `nohup` starts it, with SIGHUP ignored, or as a shell does."""
  script = """
import os, signal, sys
if sys.argv[1:]: signal.signal(signal.SIGHUP, signal.SIG_IGN)
from aec_jax.run import termination
termination.run(lambda: os.kill(os.getpid(), signal.SIGHUP) or 7)
"""
  ended = subprocess.run([sys.executable, '-c', script, *['x'] * ignored])
  assert ended.returncode == (7 if ignored else 128 + signal.SIGHUP)


@pytest.mark.parametrize(
  ('waits', 'saved', 'ahead'),
  [
    (('plan', 0), None, False),
    (('plan', 2), 2, False),
    (('evaluation', 4), 4, False),
    (('plan', 6), 6, False),
    (('steps', 6), 6, False),
    (('evaluation', 8), 8, False),
    (('evaluation', 4), 4, True),
    (('evaluation', 8), 8, True),
  ],
)
def test_what_is_never_done_is_left_and_made_again(
  tmp_path, handled, monkeypatch, waits, saved, ahead
):
  monkeypatch.setattr(loop, '_LONG', 0)  # seconds
  monkeypatch.setattr(loop, '_PATIENCE', 0.1)
  if ahead:
    monkeypatch.setattr(loop, 'on_cpu', lambda: False)
  whole, history = fit(Counting(), tmp_path / 'whole')
  with pytest.raises(termination.Stopped) as end:
    fit(Counting(waits), tmp_path / 'stopped')
  signal.setitimer(signal.ITIMER_REAL, 0)
  assert end.value.code == 143
  names = [p.name for p in (tmp_path / 'stopped' / 'latest').iterdir()]
  assert str(saved) in names or (saved is None and not names)
  found, resumed = fit(Counting(), tmp_path / 'stopped')
  jax.tree.map(np.testing.assert_array_equal, found, whole)
  assert resumed.evaluations == history.evaluations
  assert [entry['step'] for entry in resumed.evaluations] == [4, 8]
  # And it stays finished, with all that it was scored by.
  _, again = fit(Counting(), tmp_path / 'stopped')
  assert again.evaluations == history.evaluations


class Scored(Counting):
  """One that keeps its best, and whose first evaluation takes long.

  Args:
    stops: the step from which on losses never come.
    scored: the step from which on the evaluation's scores do.
  """

  settings = types.SimpleNamespace(
    **{**vars(Counting.settings), 'max_steps': 16, 'eval_every': 8}
  )

  def __init__(self, stops, scored):
    super().__init__(('steps', stops))
    self.scored, self.come = scored, threading.Event()

  def create_state(self):
    return Best(np.int32(0), np.float32(0), np.float32(-1))

  def steps(self, state, plan):
    if int(state.step) >= self.scored:
      self.come.set()
    done, found = super().steps(state, plan)
    if isinstance(found['loss'], Endless):
      found['loss'].before = self._scores_come
    return Best(done.step, done.w, state.best), found

  def _scores_come(self):
    self.come.set()
    time.sleep(0.3)  # until whoever waits for them knows

  def evaluate(self, state, history):
    def scores():
      if int(state.step) == 8:
        self.come.wait(30)
      return {'m': float(state.w)}

    return scores

  def keep_best(self, state, history, checkpoints):
    return state.replace(best=state.w)

  def with_best_of(self, state, other):
    return state.replace(best=other.best)


@pytest.mark.parametrize('stops', [14, 10])
def test_what_is_saved_has_the_best_and_all_steps_that_are_done(
  tmp_path, handled, monkeypatch, stops
):
  """Scores of step 8 that come when 14 to 16 are under way, or at the end."""
  monkeypatch.setattr(loop, '_LONG', 0)  # seconds
  monkeypatch.setattr(loop, '_PATIENCE', 0.1)
  monkeypatch.setattr(loop, 'on_cpu', lambda: False)
  whole, _ = fit(Scored(stops=-1, scored=0), tmp_path / 'whole')
  with pytest.raises(termination.Stopped):
    fit(Scored(stops, scored=14), tmp_path / 'stopped')
  signal.setitimer(signal.ITIMER_REAL, 0)
  checkpoints = Checkpoints(tmp_path / 'stopped')
  saved, history = checkpoints.restore(Scored(-1, 0).create_state())
  checkpoints.close()
  assert saved.step == stops
  assert [entry['step'] for entry in history['evaluations']] == [8]
  assert saved.best == history['evaluations'][0]['m']
  found, _ = fit(Scored(stops=-1, scored=0), tmp_path / 'stopped')
  jax.tree.map(np.testing.assert_array_equal, found, whole)


def test_errors_of_what_is_waited_for_are_raised(handled):
  with termination.held() as signals:
    assert signals.handled
    assert signals.wait(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
      signals.wait(lambda: 1 // 0)


DEAF = """
import ctypes, os, signal, threading
from aec_jax.run import termination

def command():
  threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
  lock, library = ctypes.create_string_buffer(64), ctypes.CDLL(None)
  library.pthread_mutex_lock(lock)
  library.pthread_mutex_lock(lock)  # never comes back, and hears nothing
  return 0

termination._AT_MOST = 0.3
termination.run(command)
"""


def test_a_process_that_hears_nothing_is_ended_all_the_same():
  start = time.monotonic()
  ended = subprocess.run(
    [sys.executable, '-c', DEAF], capture_output=True, text=True, timeout=100
  )
  assert ended.returncode == 143, ended.stderr
  assert ended.stderr.count('SIGTERM, which could not be obeyed in time') == 1
  assert time.monotonic() - start < 90
