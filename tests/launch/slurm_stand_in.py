"""A stand-in for SLURM: its commands, as far as a sweep calls them.

`cluster` writes them for PATH and starts a daemon, which runs jobs of one task
as processes of this machine. The queue is a file. Like SLURM, it ends a job by
SIGTERM and a little later SIGKILL, and lets what was requeued wait until it is
told to start. What no sweep asks for is refused.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

# Seconds from SIGTERM to SIGKILL, and between two looks at the queue.
_KILL_WAIT, _LOOK = 0.5, 0.05


@contextlib.contextmanager
def cluster(folder: Path):
  """Runs jobs while it lasts; gives the folder of the commands.

  Args:
    folder: for its files; new.
  """
  program = [sys.executable, '-IS', __file__, str(folder)]
  commands = folder / 'bin'
  commands.mkdir(parents=True)
  for name in _COMMANDS:
    path = commands / name
    path.write_text(f'#!/bin/sh\nexec {shlex.join([*program, name])} "$@"\n')
    path.chmod(0o755)
  daemon = subprocess.Popen([*program, 'daemon'])
  try:
    yield commands
  finally:
    daemon.terminate()
    daemon.wait()


@contextlib.contextmanager
def _queue(folder):
  """The jobs by id, for one process at a time, which may change them."""
  with open(folder / 'queue.json', 'a+') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    jobs = json.loads(file.read() or '{}')
    yield jobs
    file.truncate(0)
    json.dump(jobs, file)


def _sbatch(folder, argv):
  script = Path(*argv)
  lines = re.findall(r'^#SBATCH (.*)$', script.read_text(), re.MULTILINE)
  parser = argparse.ArgumentParser('sbatch', allow_abbrev=False)
  parser.add_argument('--array')
  parser.add_argument('--nodes', type=int, choices=[1])
  parser.add_argument('--ntasks-per-node', type=int, choices=[1])
  for name in ('chdir', 'output', 'error'):
    parser.add_argument(f'--{name}', required=True)
  for name in ('job-name', 'open-mode', 'signal', 'time', 'wckey'):
    parser.add_argument(f'--{name}')
  options = parser.parse_args(x for line in lines for x in shlex.split(line))
  submitted = str(time.time_ns())
  names, limit = {submitted: {}}, 1
  if options.array:
    last, limit = re.fullmatch(r'0-(\d+)%(\d+)', options.array).groups()
    names = {
      f'{submitted}_{task}': {
        'SLURM_ARRAY_JOB_ID': submitted, 'SLURM_ARRAY_TASK_ID': str(task)
      }
      for task in range(int(last) + 1)
    }  # fmt: skip
  with _queue(folder) as jobs:
    for name, env in names.items():
      jobs[name] = {
        'state': 'PENDING', 'held': False,
        'submitted': submitted, 'limit': int(limit),
        'env': {**os.environ, 'SLURM_JOB_ID': name, **env},
        'script': str(script), 'chdir': options.chdir,
        'output': options.output, 'error': options.error,
      }  # fmt: skip
  print(f'Submitted batch job {submitted}')


def _srun(folder, argv):
  del folder
  parser = argparse.ArgumentParser('srun', allow_abbrev=False)
  parser.add_argument('--unbuffered', action='store_true')
  parser.add_argument('--kill-on-bad-exit')
  parser.add_argument('--output', required=True)
  parser.add_argument('--error', required=True)
  parser.add_argument('command', nargs=argparse.REMAINDER)
  options = parser.parse_args(argv)
  os.environ['SLURM_PROCID'] = '0'
  for file, pattern in ((1, options.output), (2, options.error)):
    with _log(pattern, os.environ) as log:
      os.dup2(log.fileno(), file)
  os.execvp(options.command[0], options.command)


def _log(pattern, env):
  """The file that SLURM's pattern names, to be appended to."""
  fields = {
    '%j': env['SLURM_JOB_ID'],
    '%A': env.get('SLURM_ARRAY_JOB_ID'),
    '%a': env.get('SLURM_ARRAY_TASK_ID'),
    '%t': '0',
  }
  return open(re.sub('%.', lambda match: fields[match[0]], pattern), 'ab')


def _squeue(folder, argv):
  if argv != ['--noheader', '--array', '--format=%i %T']:
    sys.exit(f'squeue: {argv}')
  with _queue(folder) as jobs:
    for name, job in jobs.items():
      print(name, job['state'])


def _scontrol(folder, argv):
  with _queue(folder) as jobs:
    match argv:
      case ['requeue', name] if jobs[name]['state'] == 'RUNNING':
        jobs[name].update(state='COMPLETING', held=True)
      case ['update', job, 'starttime=now']:
        name = job.removeprefix('jobid=')
        if jobs[name]['state'] != 'PENDING':
          sys.exit('scontrol: Job is not pending')
        jobs[name]['held'] = False
      case _:
        sys.exit(f'scontrol: {argv}')


def _scancel(folder, argv):
  (name,) = argv
  with _queue(folder) as jobs:
    if name in jobs:  # SLURM, too, says nothing of one that is over
      jobs[name].update(state='COMPLETING', held=False)


def _daemon(folder, argv):
  del argv
  signal.signal(signal.SIGTERM, lambda *_: sys.exit())
  processes, parent = {}, os.getppid()
  try:
    while os.getppid() == parent:  # the tests may be killed
      with _queue(folder) as jobs:
        for name in list(jobs):
          _advance(jobs, name, processes)
      time.sleep(_LOOK)
  finally:
    for process in processes.values():
      _end(process)


def _advance(jobs, name, processes):
  """Does for a job what its state asks for."""
  job = jobs[name]
  if job['state'] == 'RUNNING':
    if processes[name].poll() is not None:
      del jobs[name], processes[name]
  elif job['state'] == 'COMPLETING':
    if name in processes:
      _end(processes.pop(name))
    if job['held']:
      job['state'] = 'PENDING'
    else:
      del jobs[name]
  elif not job['held'] and _running(jobs, job['submitted']) < job['limit']:
    processes[name] = _start(job)
    job['state'] = 'RUNNING'


def _running(jobs, submitted):
  """How many of an array run."""
  states = [
    job['state'] for job in jobs.values() if job['submitted'] == submitted
  ]
  return len(states) - states.count('PENDING')


def _start(job):
  with (
    _log(job['output'], job['env']) as output,
    _log(job['error'], job['env']) as error,
  ):
    return subprocess.Popen(
      ['bash', job['script']],
      cwd=job['chdir'],
      env=job['env'],
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=error,
      start_new_session=True,
    )


def _end(process):
  """Ends all that a job has started."""
  for number in (signal.SIGTERM, signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, number)
      if number == signal.SIGTERM:
        time.sleep(_KILL_WAIT)
  process.wait()


_COMMANDS = {
  'sbatch': _sbatch,
  'srun': _srun,
  'squeue': _squeue,
  'scontrol': _scontrol,
  'scancel': _scancel,
}

if __name__ == '__main__':
  {**_COMMANDS, 'daemon': _daemon}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:])
