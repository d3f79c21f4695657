"""A run of a sweep, and the processes of this machine that do it."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aec_jax
from aec_jax.run import cache

# Seconds from SIGTERM, after which a run ends within 10, to SIGKILL.
_GRACE = 12.0
# What Python finds the package in: the checkout, or where it is installed.
ROOT = Path(aec_jax.__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Run:
  """One experiment of a sweep.

  Attributes:
    name: of its folder.
    group: its name without the seed.
    workdir: its folder.
    options: of `aec_jax.main`.
  """

  name: str
  group: str
  workdir: Path
  options: tuple[str, ...]

  def command(self, *more: str) -> list[str]:
    return [sys.executable, '-m', 'aec_jax.main', *self.options, *more]

  def log(self, process: int = 0) -> Path:
    """What a process of it has printed."""
    return self.workdir / f'log{process or ""}.txt'


class Processes:
  """A job of processes of this machine, which end together.

  Args:
    commands: (argv, environment, log file) of each.
  """

  state = 'running'

  def __init__(self, commands):
    self.processes = []
    for argv, env, log in commands:
      log.parent.mkdir(parents=True, exist_ok=True)
      with open(log, 'ab') as file:
        process = subprocess.Popen(
          argv,
          cwd=ROOT,
          env={**os.environ, **env},
          stdin=subprocess.DEVNULL,
          stdout=file,
          stderr=subprocess.STDOUT,
          start_new_session=True,  # Ctrl-C is for the sweep, which stops them
        )
      self.processes.append(process)

  def poll(self) -> int | None:
    codes = [process.poll() for process in self.processes]
    bad = [code for code in codes if code]
    if bad:
      self.stop()  # the others would wait for the one that is gone
      return 2 if 2 in bad else bad[0]
    return None if None in codes else 0

  def stop(self) -> None:
    """Has them save and end; what has not in time is killed."""
    self._send(signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in self.processes:
      with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
    self._send(signal.SIGKILL)
    for process in self.processes:
      process.wait()

  def _send(self, number: int) -> None:
    """Signals those that go on, and all that they have started."""
    for process in self.processes:
      if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
          os.killpg(process.pid, number)


class Adopted:
  """A job that another sweep has started, and whose run goes on.

  It is waited for and not stopped: it may be another's that is watched.

  Args:
    run: whose folder is in use.
  """

  state = 'running'

  def __init__(self, run: Run):
    self.run = run

  def poll(self) -> int | None:
    """None while it goes on; how it has ended, the results tell."""
    return None if cache.user_of(self.run.workdir) else 1

  def stop(self) -> None:
    pass
