"""Breaks experiments on purpose, and counts what was lost.

  python -m tests.faults --kills=30 --workdir=DIR [--real_width]

Tiny experiments of both tasks are run unbroken once, then killed by SIGKILL or
SIGTERM at moments drawn from a seed, in every stage and in the middle of
checkpoints, and started again until they end. Their results must be those of
the unbroken run to the last bit, with no finished stage done again and nothing
left lying about. Then, of AudioSet's, the disk is full, or read-only, or two
run at once. --tasks=dcase breaks the clips' experiment alone.
With --real_width the networks are as wide as the thesis's, in bfloat16.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aec_jax.datasets import synthetic_audioset
from aec_jax.run.console import table
from tests import dcase_data

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

ROOT = Path(__file__).parents[1]
TINY = {
    'batch_size': 8, 'max_steps': 12, 'eval_every': 4, 'checkpoint_every': 2,
    'steps_per_dispatch': 2, 'model.hidden': '(8,8,8)',
    'model.dtype': 'float32',
}  # fmt: skip
TINY_DCASE = {
    **TINY, 'folds': 2, 'segments': '(2,)', 'pitch_to': 8,
    'extractors': '("balanced_first","unbalanced_last")',
    'patience': 5, 'extractor.width': 0.03, 'extractor.batch_norm': 'True',
    'extractor.batch_size': 4, 'extractor.max_steps': 4,
    'extractor.eval_every': 2, 'extractor.patience': 5,
    'extractor.checkpoint_every': 1, 'extractor.optimizer.learning_rate': 1e-3,
    'extractor.init': 'random',
}  # fmt: skip
# Fields of these that make the networks small.
SMALL = ('model.hidden', 'model.dtype', 'extractor.width')

# Where an experiment stands, by what lies in its cache and its work folder.
# The folders of unfinished checkpoints are orbax's.
_HALF_SAVED = '{work}/checkpoints/**/*.orbax-checkpoint-tmp*'
MOMENTS = {
  'audioset': {
    'preparation': '{cache}/.*.audioset-*',
    'training': '{work}/checkpoints/*/latest/[0-9]*',
    'checkpoint': _HALF_SAVED,
    'scores': '{work}/predictions.npz',
    'report': '{work}/results.json',
  },
  'dcase': {
    'preparation': '{cache}/.*.clips-*',
    'fine-tuning': '{cache}/.extractor-*.training/checkpoints/latest/[0-9]*',
    'its checkpoint': '{cache}/.extractor-*.training/'
    'checkpoints/**/*.orbax-checkpoint-tmp*',
    'pitch shifts': '{cache}/.*.shifted-*',
    'embedding': '{cache}/.*.embeddings-*',
    'training': '{work}/checkpoints/*/latest/[0-9]*',
    'checkpoint': _HALF_SAVED,
    'scores': '{work}/predictions.npz',
    'report': '{work}/results.json',
  },
}
ANY = 'any'  # a moment drawn from the whole duration


@dataclasses.dataclass
class Experiment:
  """How one tiny experiment is started, and what an unbroken run gave.

  Attributes:
    task: 'audioset' or 'dcase'.
    options: of the command.
    programs: folder of compiled programs, which every run may use.
    whole: the results of the unbroken run.
    seconds: of a processor that it took.
  """

  task: str
  options: list[str]
  programs: Path
  whole: dict = dataclasses.field(default_factory=dict)
  seconds: float = 0.0

  def start(self, folder: Path, *options: str) -> subprocess.Popen:
    """Starts the command on `folder/work` and `folder/cache`."""
    return subprocess.Popen(
      [
        *(sys.executable, '-m', 'aec_jax.main', *self.options),
        f'--workdir={folder / "work"}',
        f'--cache_dir={folder / "cache"}',
        *options,
      ],
      cwd=ROOT,
      # An empty folder of compiled programs is as none.
      env=dict(os.environ, JAX_PLATFORMS='cpu', JAX_COMPILATION_CACHE_DIR=''),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )

  def fresh(self, folder: Path) -> Path:
    """An empty folder for runs, but for the compiled programs."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'cache').mkdir(parents=True)
    if self.programs.exists():
      shutil.copytree(self.programs, folder / 'cache' / 'xla')
    return folder


def experiments(
  folder: Path,
  tasks: Sequence[str] = ('audioset', 'dcase'),
  real_width: bool = False,
) -> list[Experiment]:
  """The tiny experiments, with their data, each run unbroken once.

  Args:
    folder: for the data and the runs.
    tasks: which experiments.
    real_width: whether their networks are not tiny.
  """
  data = {'audioset': folder / 'audioset', 'dcase': folder / 'fsd'}
  synthetic_audioset.make(
    str(data['audioset']), classes=5, train=90, unbalanced=0, evaluation=70
  )
  dcase_data.write_fsd(data['dcase'])
  shipped = {
    'audioset': (
      'audioset_level13',
      {**TINY, 'train_splits': '("bal_train",)'},
    ),
    'dcase': ('dcase_l6', TINY_DCASE),
  }
  found = []
  for task in tasks:
    config, fields = shipped[task]
    fields = {'data_dir': data[task], **fields}
    if real_width:
      fields = {k: v for k, v in fields.items() if k not in SMALL}
    options = [f'--config=configs/{config}.py']
    options += [f'--config.{k}={v}' for k, v in fields.items()]
    one = Experiment(task, options, folder / f'xla-{task}')
    run = one.fresh(folder / f'whole-{task}')
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    ok(one.start(run))
    one.seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    one.whole = results(run)
    shutil.copytree(run / 'cache' / 'xla', one.programs)
    found.append(one)
  return found


def ok(process: subprocess.Popen) -> None:
  """Waits for a run that must succeed."""
  _, err = process.communicate()
  assert process.returncode == 0, err


def results(folder: Path) -> dict:
  """What must not depend on interruptions."""
  found = json.loads((folder / 'work' / 'results.json').read_text())
  keys = ('metrics', 'per_class', 'ensembles', 'fine_tuning', 'skipped',
          'best_step', 'n_examples', 'dataset_fingerprint')  # fmt: skip
  return {key: found[key] for key in keys if key in found}


def finished_stages(folder: Path) -> dict[str, tuple[int, int]]:
  """The cache's whole stages: {name: (inode, time of the last change)}."""
  return {
    path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
    for path in (folder / 'cache').glob('[!.]*-*')
  }


def leftovers(folder: Path) -> list[str]:
  """Unfinished files and folders."""
  found = [*folder.glob('cache/.*'), *folder.glob('work/.*')]
  found += folder.glob('work/**/*tmp*')
  # A lock is held by a process, and means nothing without one.
  return [str(p.relative_to(folder)) for p in found if p.suffix != '.lock'
          and p.name != '.lock']  # fmt: skip


def _found(folder: Path, pattern: str) -> set[Path]:
  try:
    return set(folder.glob(pattern))
  except FileNotFoundError:  # renamed or removed while it was looked at
    return set()


def kill_at(
  experiment: Experiment, folder: Path, moment: str, number: int, draw
) -> str | None:
  """Starts a run and kills it a little after a moment has come.

  Returns:
    What went wrong, '' if nothing, None if it ended before the moment.
  """
  before = finished_stages(folder)
  if moment == ANY:
    process = experiment.start(folder)
    rest = draw.uniform(0, experiment.seconds / 2)
  else:
    pattern = MOMENTS[experiment.task][moment]
    place = pattern.format(work='work', cache='cache')
    old = _found(folder, place)
    process = experiment.start(folder)
    while process.poll() is None and not _found(folder, place) - old:
      time.sleep(0.004)
    # A tiny stage takes little longer; what is saved is soon whole.
    saving = 'checkpoint' in moment or moment == 'scores'
    rest = 0 if saving else draw.uniform(0, 0.2)
  with contextlib.suppress(subprocess.TimeoutExpired):
    process.wait(rest)
  process.send_signal(number)
  _, err = process.communicate()
  if process.returncode == 0:
    return 'it went on' if 'stopped by' in err else None
  expected = -9 if number == signal.SIGKILL else 128 + number
  # Python itself dies of a signal that comes before ours is set up.
  if process.returncode not in (expected, -number):
    return f'exit status {process.returncode}: {err[-300:]}'
  after = finished_stages(folder)
  redone = [name for name in before if after.get(name) != before[name]]
  return f'done again: {redone}' if redone else ''


def killed(
  found: list[Experiment], folder: Path, kills: int, seed: int
) -> Iterator[tuple[str, str, str, str]]:
  """Kills experiments again and again; yields (task, moment, signal, loss).

  One experiment is killed at each of its moments in turn and then finishes,
  after it the other task's; then both at random, and so on until all kills are
  done. Where one has ended before its moment, a new one is begun.
  """
  draw = random.Random(seed)
  turn = 0
  while kills:
    experiment = found[turn % len(found)]
    run = experiment.fresh(folder / f'killed-{turn}')
    moments = [*MOMENTS[experiment.task]]
    if turn // len(found) % 2:
      moments = [ANY] * 4
    if kills < len(moments):
      chosen = sorted(draw.sample(range(len(moments)), kills))
      moments = [moments[i] for i in chosen]
    for moment in moments:
      number = draw.choice((signal.SIGKILL, signal.SIGTERM))
      loss = kill_at(experiment, run, moment, number, draw)
      if loss is None:
        yield experiment.task, 'the end', '', compare(experiment, run)
        run = experiment.fresh(run)
      else:
        kills -= 1
        yield experiment.task, moment, number.name, loss
    yield experiment.task, 'the end', '', compare(experiment, run)
    turn += 1


def compare(experiment: Experiment, run: Path) -> str:
  """Finishes a run; what differs from the unbroken one, or was done again."""
  before = finished_stages(run)
  process = experiment.start(run)
  _, err = process.communicate()
  if process.returncode:
    return f'exit status {process.returncode}: {err[-300:]}'
  found, after = results(run), finished_stages(run)
  loss = [f'{k} differ' for k, v in experiment.whole.items() if found[k] != v]
  loss += [f'{k} done again' for k in before if after[k] != before[k]]
  for name in ('report/index.html', 'bundle/bundle.json'):
    if not (run / 'work' / name).exists():
      loss.append(f'no {name}')
  return '; '.join(loss + [f'{name} is left' for name in leftovers(run)])


# What a machine may do besides.


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
  """A disk of its own for a folder, in memory; needs root.

  Yields:
    A function that gives it another size, in kB.
  """
  mount = ['mount', '-t', 'tmpfs', '-o', f'size={kilobytes}k', 'tmpfs']
  folder.mkdir()
  subprocess.run([*mount, folder], check=True)
  try:
    yield lambda size: subprocess.run(
      ['mount', '-o', f'remount,size={size}k', folder], check=True
    )
  finally:
    subprocess.run(['umount', '-l', folder], check=True)


def complaint(process: subprocess.Popen) -> str:
  """The one line of a run that must end with exit status 2."""
  _, err = process.communicate()
  lines = [x for x in err.splitlines() if not re.match(r'\d\d:\d\d:\d\d ', x)]
  assert process.returncode == 2 and len(lines) == 1, err
  assert lines[0].startswith('error: '), err
  return lines[0]


def disk_full(experiment: Experiment, folder: Path) -> str:
  """A disk that is full again and again, until it is large enough."""
  run = experiment.fresh(folder / 'full')
  shutil.rmtree(run)
  size, full, saved = 64, [], []
  with small_disk(run, size) as resize:
    (run / 'cache').mkdir()
    while (process := experiment.start(run)).wait():
      line = complaint(process)
      assert 'No space left' in line, line
      full.append(f'{size} kB')
      names = [p.name for p in run.glob('work/checkpoints/*/latest/*')]
      saved.append(max(map(int, filter(str.isdecimal, names)), default=0))
      size = size * 5 // 4
      resize(size)
    resize(1_000_000)
    assert saved == sorted(saved), saved
    loss = compare(experiment, run)
  assert not loss, loss
  return f'full at {", ".join(full)}, with steps {saved} saved'


def read_only(experiment: Experiment, folder: Path) -> str:
  """A finished work folder and its cache, read-only; needs root."""
  run = folder / f'whole-{experiment.task}'
  subprocess.run(['mount', '--bind', run, run], check=True)
  try:
    subprocess.run(['mount', '-o', 'remount,ro,bind', run], check=True)
    line = complaint(experiment.start(run))
  finally:
    subprocess.run(['umount', '-l', run], check=True)
  assert 'Read-only file system' in line, line
  assert results(run) == experiment.whole
  return line


def two_at_once(experiment: Experiment, folder: Path) -> str:
  """A second run on a work folder names the first, which goes on."""
  run = experiment.fresh(folder / 'twice')
  first = experiment.start(run)
  while not (run / 'work' / '.lock').exists():
    time.sleep(0.01)
  line = complaint(experiment.start(run))
  assert f'in use by process {first.pid} on ' in line, line
  loss = compare(experiment, run) if first.wait() else ''
  assert not loss and results(run) == experiment.whole, loss
  return line


def torn_programs(experiment: Experiment, folder: Path) -> str:
  """Compiled programs that were cut off in the middle are compiled again."""
  run = experiment.fresh(folder / 'torn')
  torn = [p for p in (run / 'cache' / 'xla').glob('*') if p.is_file()]
  for path in torn:
    os.truncate(path, path.stat().st_size // 2)
  loss = compare(experiment, run)
  assert not loss, loss
  return f'{len(torn)} files cut'


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--kills', type=int, default=30)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--workdir', type=Path, required=True)
  parser.add_argument('--real_width', action='store_true')
  parser.add_argument('--tasks', default='audioset,dcase')
  options = parser.parse_args()
  options.workdir.mkdir(parents=True)
  tasks = options.tasks.split(',')
  found = experiments(options.workdir, tasks, options.real_width)
  rows, lost = [('task', 'moment', 'signal', 'survived')], 0
  for task, moment, number, loss in killed(
    found, options.workdir, options.kills, options.seed
  ):
    lost += bool(loss)
    rows.append((task, moment, number, loss or 'yes'))
    print(*rows[-1], flush=True)
  print(table(rows))
  checks = (disk_full, read_only, two_at_once, torn_programs)
  for check in checks if 'audioset' in tasks else ():
    print(f'{check.__name__}: {check(found[0], options.workdir)}')
  print(f'kills: {options.kills} · lost: {lost}')
  return int(bool(lost))


if __name__ == '__main__':
  sys.exit(main())
