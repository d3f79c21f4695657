"""Where the experiments of a sweep run: this machine, SLURM, TPU slices.

An executor has `capacity`, how many runs it takes at once; `start(runs)`, which
gives a job for each; `adopt(run)`, which gives one for a run that goes on since
another sweep; and `describe(runs)`, the lines that `--dry_run` prints. A job
has `poll()`: None as long as it is not over, then an exit status; `state`,
'queued' or 'running'; and `stop()`.
"""

import functools
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from aec_jax.errors import UserError
from aec_jax.run import files

from .jobs import ROOT, Adopted, Processes, Run

# In a run's folder, the place that it has.
_PLACE = 'place.json'
# Of a GPU's memory, what the runs on it share; JAX takes no more of its own.
_SHARED = 0.9
# Seconds between two questions about SLURM's queue.
_ASK = 5.0


class _Slots:
  """An executor with places that a run holds until it is over."""

  def __init__(self, slots: Sequence):
    self.slots = list(slots)
    self.held = {}

  @property
  def capacity(self) -> int:
    return len(self.slots)

  def start(self, runs: Sequence[Run]) -> list:
    return [self._start(run) for run in runs]

  def _start(self, run):
    for i, slot in enumerate(self.slots):
      if i not in self.held or self.held[i].poll() is not None:
        files.write_json(run.workdir / _PLACE, {'place': slot})
        self.held[i] = Processes(self.commands(run, slot))
        return self.held[i]
    raise ValueError('more runs than places')

  def adopt(self, run: Run) -> Adopted:
    """A job for a run that goes on, which keeps the place that it had."""
    job = Adopted(run)
    try:
      slot = files.read_json(run.workdir / _PLACE, 'place')['place']
    except UserError:  # it was started by hand, and may be anywhere
      return job
    if slot in self.slots:
      free = [i for i, other in enumerate(self.slots) if other == slot]
      self.held[min(free, key=lambda i: i in self.held)] = job
    return job

  def describe(self, runs: Sequence[Run]) -> list[str]:
    return [
      ' '.join([*(f'{k}={shlex.quote(v)}' for k, v in env.items()),
                shlex.join(argv)])
      for i, run in enumerate(runs)
      for argv, env, _ in self.commands(run, self.slots[i % self.capacity])
    ]  # fmt: skip


class Local(_Slots):
  """Packs runs on the devices of this machine.

  Args:
    hosts: processes of a run.
    devices: of each process. GPUs where there are some; else the processor
      takes the place of that many.
    parallel: runs at once on each of the GPUs, which then share its memory
      evenly, or on the processor where there are none.
  """

  def __init__(self, hosts: int, devices: int, parallel: int):
    gpus, need = _gpus(), hosts * devices
    if gpus and len(gpus) < need:
      raise UserError(
        f'{hosts} × {devices} devices for a run, and this machine has'
        f' {len(gpus)}: lower --hosts or --devices'
      )
    self.hosts, self.devices, self.parallel = hosts, devices, parallel
    if gpus:
      starts = range(0, len(gpus) - need + 1, need)
      places = [gpus[start : start + need] for start in starts]
      super().__init__(places * parallel)
    else:
      super().__init__([[]] * parallel)

  def commands(self, run, gpus):
    address = f'127.0.0.1:{_free_port()}'
    for process in range(self.hosts):
      env, more = {}, []
      if gpus:
        share = gpus[process * self.devices : (process + 1) * self.devices]
        env = {'CUDA_VISIBLE_DEVICES': ','.join(share)}
        if self.parallel > 1:
          # JAX would take three quarters of it for each at once.
          fraction = f'{_SHARED / self.parallel:.3f}'
          env['XLA_PYTHON_CLIENT_MEM_FRACTION'] = fraction
      elif self.devices > 1:
        env = {
          # Twice the devices, or their collectives wait for threads for ever.
          'NPROC': str(2 * self.devices),
          'XLA_FLAGS': f'--xla_force_host_platform_device_count={self.devices}',
        }
      if self.hosts > 1:
        more = [
          f'--coordinator={address}',
          f'--num_processes={self.hosts}',
          f'--process_id={process}',
        ]
      yield run.command(*more), env, run.log(process)


def _gpus() -> list[str]:
  """The GPUs of this machine that may be used."""
  if 'CUDA_VISIBLE_DEVICES' in os.environ:
    return [d for d in os.environ['CUDA_VISIBLE_DEVICES'].split(',') if d]
  if not shutil.which('nvidia-smi'):
    return []
  found = subprocess.run(
    ['nvidia-smi', '-L'], capture_output=True, text=True, check=False
  )
  count = found.stdout.count('GPU ') if found.returncode == 0 else 0
  return [str(i) for i in range(count)]


def _free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


class Slurm:
  """Array jobs through submitit, put back in the queue where preempted.

  Args:
    folder: for submitit's files; on a disk that all nodes see.
    hosts: nodes of a run.
    devices: GPUs of each node.
    parallel: runs at once.
    settings: more of submitit's, as {'partition': 'gpu', 'time': '600'}.
  """

  def __init__(self, folder, hosts, devices, parallel, settings):
    self.folder, self.capacity = folder, sys.maxsize  # SLURM has a queue
    self.settings = {
      'job_name': 'aec_jax',
      'nodes': hosts,
      'ntasks_per_node': 1,
      'time': 24 * 60,
      'array_parallelism': parallel,
      'srun_args': ['--kill-on-bad-exit=1'],
      'additional_parameters': {'chdir': str(ROOT)},
      **({'gpus_per_node': devices} if devices else {}),
      **settings,
    }
    self.queue, self.asked = {}, 0.0

  @functools.cached_property
  def executor(self):
    """Submitit's, which nothing but starting needs.

    Raises:
      UserError: it or SLURM is not there, or has no such setting.
    """
    try:
      import submitit  # an extra
    except ImportError as error:
      raise UserError(
        '--executor=slurm needs submitit: pip install ".[slurm]"'
      ) from error
    if not shutil.which('sbatch'):
      raise UserError('--executor=slurm: there is no sbatch on this machine')
    # Time is lost with every preemption, and that is no reason to give up.
    made = submitit.SlurmExecutor(self.folder, max_num_timeout=1000)
    try:
      made.update_parameters(**self.settings)
    except ValueError as error:
      raise UserError(f'--slurm: {error}'.replace('\n', ' ')) from error
    return made

  def adopt(self, run: Run) -> Adopted:
    return Adopted(run)

  def start(self, runs: Sequence[Run]) -> list:
    with self.executor.batch():
      jobs = [
        self.executor.submit(_Command(run.command(), run)) for run in runs
      ]
    self.asked = 0.0
    return [_SlurmJob(self, job) for job in jobs]

  def describe(self, runs: Sequence[Run]) -> list[str]:
    settings = [f'{k}={v}' for k, v in self.settings.items()]
    return [
      f'an array of {len(runs)} jobs with {" ".join(settings)}:',
      *(shlex.join(run.command()) for run in runs),
    ]

  def states(self) -> dict[str, str]:
    """SLURM's word for each job of the queue; asked every 5 seconds."""
    if time.monotonic() - self.asked > _ASK:
      # Not sacct, as submitit does: many clusters keep no accounts.
      found = subprocess.run(
        ['squeue', '--noheader', '--array', '--format=%i %T'],
        capture_output=True,
        text=True,
        check=False,
      )
      if found.returncode == 0:
        self.queue = dict(row.split() for row in found.stdout.splitlines())
        self.asked = time.monotonic()
    return self.queue


class _SlurmJob:
  def __init__(self, slurm, job):
    self.slurm, self.job = slurm, job

  @property
  def state(self) -> str:
    word = self.slurm.states().get(self.job.job_id)
    return 'running' if word == 'RUNNING' else 'queued'

  def poll(self) -> int | None:
    if self.job.job_id in self.slurm.states():
      return None
    outputs = [self.job.task(i) for i in range(self.job.num_tasks)]
    try:
      codes = [task.result() for task in outputs if _has_result(task)]
    except Exception:  # whatever the node's Python raised, the log has it
      return 1
    return max(codes) if len(codes) == len(outputs) else 1

  def stop(self) -> None:
    self.job.cancel()


def _has_result(task) -> bool:
  return task.paths.result_pickle.exists()


class _Command:
  """What a node does for a run; submitit pickles it.

  Gives the exit status where that is a result: 0, or 2 for what the user can
  mend.
  """

  def __init__(self, argv: list[str], run: Run):
    self.argv, self.run = argv, run

  def __call__(self) -> int:
    process = int(os.environ.get('SLURM_PROCID', 0))
    self.run.workdir.mkdir(parents=True, exist_ok=True)
    with open(self.run.log(process), 'ab') as log:
      status = subprocess.run(
        self.argv, cwd=ROOT, stdout=log, stderr=log, check=False
      ).returncode
    if status < 0:
      # SLURM preempts all processes of a job, first the experiment and a
      # little later this one: until then no result, or the job would be over.
      time.sleep(120)
    if status not in (0, 2):
      raise RuntimeError(f'{self.run.name}: exit status {status}')
    return status

  def checkpoint(self):
    """What submitit puts in the queue when the time is up."""
    import submitit

    return submitit.helpers.DelayedSubmission(self)


class Tpu(_Slots):
  """Runs on TPU slices, one at a time on each, over gcloud.

  The repository, its Python, the data and the work folder lie on a disk that
  all hosts mount at the same path as this machine.

  Args:
    slices: names of TPU VMs.
    zone: theirs.
    create: flags of `gcloud compute tpus tpu-vm create`, with which a slice
      that is not there or was preempted is made anew.
    setup: a shell command for every host of a new slice, such as a mount.
  """

  def __init__(self, slices, zone, create, setup):
    if not slices or not zone:
      raise UserError('--executor=tpu needs --tpu=NAME,… and --zone=ZONE')
    super().__init__(slices)
    self.zone, self.setup = zone, setup
    try:
      self.create = shlex.split(create)
    except ValueError as error:
      raise UserError(f'--tpu_create={create}: {error}') from error

  def commands(self, run, name):
    """One shell script: the slice is made anew where it is gone, and used."""
    script = [self._gcloud('ssh', name, self._everywhere(
      f'cd {shlex.quote(str(ROOT))} && '
      + shlex.join(run.command('--coordinator=auto'))
    ))]  # fmt: skip
    if self.create:
      state = self._gcloud('describe', name, ['--format=value(state)'])
      script = [
        f'state=$({state} || echo ABSENT)',
        'if [ "$state" != READY ]; then',
        f'[ "$state" = ABSENT ] || {self._gcloud("delete", name, ["--quiet"])}',
        self._gcloud('create', name, self.create),
        *([self._gcloud('ssh', name, self._everywhere(self.setup))]
          if self.setup else []),
        'fi',
        *script,
      ]  # fmt: skip
    yield ['bash', '-ec', '\n'.join(script)], {}, run.log()

  def _gcloud(self, verb, name, more):
    command = ['gcloud', 'compute', 'tpus', 'tpu-vm', verb, name]
    return shlex.join([*command, f'--zone={self.zone}', *more])

  def _everywhere(self, command):
    return ['--worker=all', f'--command={command}']
