"""Processes that work for another end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from aec_jax.run import workers

# It says who works for it, and waits to be killed. A shell's background jobs,
# of which the tests may be one, would ignore Ctrl-C.
PARENT = """
import os, signal, sys, time
from aec_jax.run import workers
if __name__ == '__main__':
  signal.signal(signal.SIGINT, signal.default_int_handler)
  with workers.pool(1) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_they_work():
  with workers.pool(1) as pool:
    assert list(pool.map(abs, [-1, 2])) == [1, 2]


def test_they_end_with_a_parent_that_is_killed(tmp_path):
  script = tmp_path / 'parent.py'
  script.write_text(PARENT)
  root = str(Path(__file__).parents[2])
  parent = subprocess.Popen(
    [sys.executable, script], stdout=subprocess.PIPE, text=True,
    env=dict(os.environ, PYTHONPATH=root),
  )  # fmt: skip
  with parent:
    worker = int(parent.stdout.readline())
    assert _runs(worker)
    parent.send_signal(signal.SIGKILL)
  deadline = time.monotonic() + 30
  while _runs(worker):
    assert time.monotonic() < deadline
    time.sleep(0.05)


def test_ctrl_c_is_for_their_parent_alone(tmp_path):
  script = tmp_path / 'parent.py'
  script.write_text(PARENT)
  root = str(Path(__file__).parents[2])
  parent = subprocess.Popen(
    [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    text=True, env=dict(os.environ, PYTHONPATH=root), process_group=0,
  )  # fmt: skip
  with parent:
    worker = int(parent.stdout.readline())
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    said = parent.stderr.read()
  assert said.count('Traceback') == said.count('KeyboardInterrupt') == 1
  assert not _runs(worker)


def _runs(process):
  """Whether a process is there and is no zombie."""
  try:
    state = Path(f'/proc/{process}/stat').read_text().rpartition(') ')[2]
  except FileNotFoundError:
    return False
  return state[0] != 'Z'
