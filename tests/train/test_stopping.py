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


@flax.struct.dataclass
class State:
  step: np.ndarray
  w: np.ndarray


class Endless:
  """Losses that a signal comes before, and that never come themselves."""

  def __array__(self, dtype=None, copy=None):
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait()


class Counting:
  """A `loop.System` that learns nothing, and may wait forever.

  Args:
    waits: what it never comes back from: ('plan', 'steps' or 'evaluation',
      step).
  """

  rate_field, names, most_steps = 'rate', ('one',), 2
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
  before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
  termination.handle()
  yield
  signal.setitimer(signal.ITIMER_REAL, 0)
  for number, handler in before.items():
    signal.signal(number, handler)


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
