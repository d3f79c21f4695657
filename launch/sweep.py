"""Runs the experiments of a table that are not finished, and compares them.

  python -m launch.sweep --sweep=launch/sweeps/table10.py \
      --workdir=runs/table10 --config.data_dir=AUDIOSET

Each experiment has its folder in the work folder. Run again, the command does
only what is missing. See docs/scale.md.
"""

import importlib.util
import itertools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags
from ml_collections import config_flags

from aec_jax import presets
from aec_jax.errors import UserError
from aec_jax.run import claim, console, fields
from aec_jax.train.progress import duration

from . import executors
from .executors import ROOT, Run

# Seconds between two looks at the runs, and between two tables in a log file.
_LOOK, _REPEAT = 1.0, 300.0
_DATASETS = ('audioset', 'fsdkaggle2018', 'folder')


def plan(options, overrides: Sequence[str]) -> list[Run]:
  """The runs of a sweep: experiments × grid × seeds.

  Raises:
    UserError: the sweep, a config or an option makes no sense.
  """
  grids = [_parse_grid(text) for text in options.grid]
  if options.seeds:
    grids.append([f'config.seed={seed}' for seed in range(options.seeds)])
  runs = []
  names = _experiments(options.sweep)
  _check_overrides(names, overrides)
  for name in names:
    given = _fitting(name, options, overrides)
    for point in itertools.product(*grids):
      labels = [name, *(x.removeprefix('config.') for x in point)]
      label = re.sub(r'[^\w.=,+-]', '_', '-'.join(labels))
      group = label.rsplit('-', 1)[0] if options.seeds else label
      workdir = Path(options.workdir).absolute() / label
      config = f'--config={console.config_path(name)}'
      chosen = (*given, *(f'--{x}' for x in point))
      files = (f'--workdir={workdir}', f'--cache_dir={options.cache_dir}')
      runs.append(Run(label, group, workdir, (config, *files, *chosen)))
  names = [run.name for run in runs]
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise UserError(f'two runs would be in {options.workdir}/{twice}')
  return runs


def _experiments(path: str) -> Sequence[str]:
  """The configs that a sweep file names, each once.

  It has a list EXPERIMENTS, or SWEEPS of other files beside it.
  """
  file = Path(path)
  if not file.exists():
    file = Path(__file__).parent / 'sweeps' / f'{file.stem}.py'
  try:
    spec = importlib.util.spec_from_file_location('sweep_file', file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if hasattr(module, 'SWEEPS'):
      parts = [_experiments(file.with_name(f'{s}.py')) for s in module.SWEEPS]
      return list(dict.fromkeys(itertools.chain(*parts)))
    names = module.EXPERIMENTS
  except (AttributeError, ImportError, OSError, SyntaxError) as error:
    raise UserError(
      f'--sweep={path}: {error}; give a file such as launch/sweeps/table10.py,'
      ' with a list EXPERIMENTS'
    ) from error
  for name in names:
    console.config_path(name)
  return names


def _fitting(name: str, options, overrides: Sequence[str]) -> list[str]:
  """The overrides that a config has the field of, its data and weights."""
  config = _load(name)
  data = dict(options.data).get(config.dataset)
  chosen = [f'--config.data_dir={data}'] if data else []
  real = data or any(_field(x) == 'data_dir' for x in overrides)
  if options.vggish and real and config.extractor.model == 'vggish':
    chosen.append(f'--config.extractor.init={options.vggish}')
  chosen += [x for x in overrides if fields.matters(_field(x), config)]
  return chosen


def _field(override: str) -> str:
  return override.removeprefix('--config.').partition('=')[0]


def _check_overrides(names: Sequence[str], overrides: Sequence[str]) -> None:
  """Raises `UserError` for a field that no experiment has."""
  configs = [_load(name) for name in names]
  for override in overrides:
    field = _field(override)
    if not any(fields.matters(field, config) for config in configs):
      raise UserError(f'no experiment of the sweep has config.{field}')


def _load(name: str):
  spec = importlib.util.spec_from_file_location(name, console.config_path(name))
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config()


def _parse_grid(text: str) -> list[str]:
  """'config.x=1,(2,3)' as ['config.x=1', 'config.x=(2,3)']."""
  field, equals, values = text.partition('=')
  if not (field.startswith('config.') and equals and values):
    raise UserError(
      f'--grid={text}: give --grid=config.optimizer.learning_rate=1e-3,3e-4'
    )
  # Commas within brackets are the values' own.
  return [f'{field}={v}' for v in re.findall(r'(?:\([^)]*\)|[^,(])+', values)]


def config_of(run: Run):
  """The config that a run's command makes.

  Raises:
    UserError: a field is unknown, or a value is not of its type.
  """
  chosen = [x for x in run.options if x.startswith('--config')]
  argv = ['sweep', *chosen]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=argv)
  try:
    values(argv)
  except (flags.Error, AttributeError, KeyError, OSError, TypeError) as error:
    # A KeyError's text is in quotes.
    text = error.args[0] if isinstance(error, KeyError) else error
    raise UserError(f'{run.name}: {text}'.replace('\n', ' ')) from error
  config = values.config
  return presets.resolve(config)


class Watch:
  """A run as the sweep sees it.

  Attributes:
    state: 'missing', 'queued', 'running', 'done' or 'failed'.
    starts: how often it was started.
    note: why it failed.
  """

  def __init__(self, run: Run):
    self.run, self.config = run, config_of(run)
    self.job, self.starts, self.note = None, 0, ''
    self.results = self._finished()
    self.state = 'done' if self.results else 'missing'

  def _finished(self) -> dict | None:
    defaults = presets.model_defaults(self.config.model)
    return claim.finished_results(self.config, self.run.workdir, defaults)

  def start(self, job) -> None:
    self.job, self.state = job, job.state
    self.starts += 1

  def look(self, retries: int) -> None:
    """Asks the job how it is; what was cut off is missing again."""
    status = self.job.poll()
    if status is None:
      self.state = self.job.state
      return
    self.results = self._finished()
    error = _last_error(self.run.log())
    if self.results:
      self.state = 'done'
    elif status == 2 or error or self.starts > retries:
      self.state = 'failed'
      self.note = error or f'exit status {status}; see {self.run.log()}'
    else:
      self.state = 'missing'

  def row(self) -> tuple[str, ...]:
    progress = self._progress() if self.state in ('running', 'queued') else {}
    step = best = left = ''
    if self.results:
      metric = self.config.metric
      if value := self.results['metrics'].get(metric):
        best = f'{metric} {value:.4f}'
      step = f'{self.results.get("best_step", 0):,}'
    elif progress:
      step = f'{progress["step"]:,}/{progress["max_steps"]:,}'
      if progress['best'] is not None:
        best = f'{progress["metric"]} {progress["best"]:.4f}'
      if progress['seconds_left'] is not None:
        left = duration(progress['seconds_left'])
    starts = str(self.starts or '')
    return self.run.name, self.state, starts, step, best, left

  def _progress(self) -> dict:
    """What the trainer last said, of whatever it trains at the moment."""
    # There is one for each length of pieces.
    found = self.run.workdir.glob('checkpoints/*/progress.json')
    latest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return json.loads(latest.read_text()) if latest else {}


def _last_error(log: Path) -> str:
  """The line with which a run has said what the user can mend, or ''."""
  if not log.exists():
    return ''
  lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
  return lines[-1] if lines and lines[-1].startswith('error: ') else ''


class Screen:
  """Prints a table in the place of the last one; in a log file, when it says
  something new."""

  def __init__(self, file):
    self.file, self.lines, self.states, self.said = file, 0, None, 0.0

  def show(self, watches: Sequence[Watch]) -> None:
    rows = [('experiment', 'state', 'starts', 'step', 'best', 'left')]
    rows += [watch.row() for watch in watches]
    states = [watch.state for watch in watches]
    due = states != self.states or time.monotonic() - self.said > _REPEAT
    if not self.file.isatty() and not due:
      return
    if self.file.isatty() and self.lines:
      print(f'\033[{self.lines}F\033[J', end='', file=self.file)
    text = console.table(rows)
    print(text, file=self.file, flush=True)
    self.lines, self.states = text.count('\n') + 1, states
    self.said = time.monotonic()


def run_all(watches, executor, retries: int, screen: Screen) -> None:
  """Runs what is missing until all is done or has failed."""
  try:
    while any(w.state in ('missing', 'queued', 'running') for w in watches):
      active = [w for w in watches if w.state in ('queued', 'running')]
      for watch in active:
        watch.look(retries)
      active = [w for w in watches if w.state in ('queued', 'running')]
      missing = [w for w in watches if w.state == 'missing']
      todo = missing[: max(0, executor.capacity - len(active))]
      if todo:
        jobs = executor.start([watch.run for watch in todo])
        for watch, job in zip(todo, jobs, strict=True):
          watch.start(job)
      screen.show(watches)
      time.sleep(_LOOK)
  finally:
    for watch in watches:
      if watch.state in ('queued', 'running'):
        watch.job.stop()
  screen.show(watches)


def score_table(watches: Sequence[Watch]) -> str:
  """The scores of what is finished; of several seeds mean ± deviation."""
  groups = {}
  for watch in watches:
    if watch.results:
      groups.setdefault(watch.run.group, []).append(watch.results['metrics'])
  names = [
    name
    for name, value in next(iter(groups.values()))[0].items()
    if isinstance(value, float)
  ]
  rows = [('experiment', 'runs', *names)]
  for group, scores in groups.items():
    cells = [_cell([s[name] for s in scores if name in s]) for name in names]
    rows.append((group, str(len(scores)), *cells))
  return console.table(rows)


def _cell(values) -> str:
  if len(values) < 2:
    return ''.join(f'{value:.4f}' for value in values)
  return f'{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}'


def compare(watches: Sequence[Watch], page: Path) -> int:
  """Writes the comparison page; the exit status of the command."""
  folders = [str(w.run.workdir) for w in watches if w.results]
  return subprocess.run(
    [sys.executable, '-m', 'aec_jax.compare', f'--out={page}', *folders],
    cwd=ROOT,
    check=False,
  ).returncode


def make_executor(options):
  """The executor that the options name."""
  if options.executor == 'local':
    devices = options.devices or 1
    return executors.Local(options.hosts, devices, options.parallel or 1)
  if options.executor == 'slurm':
    settings = dict(_setting(text) for text in options.slurm)
    return executors.Slurm(
      Path(options.workdir).absolute() / 'slurm', options.hosts,
      options.devices, options.parallel or 256, settings,
    )  # fmt: skip
  slices = options.tpu.split(',') if options.tpu else []
  return executors.Tpu(
    slices, options.zone, options.tpu_create, options.tpu_setup
  )


def _named(text: str) -> tuple[str, str]:
  name, equals, folder = text.partition('=')
  if name not in _DATASETS or not equals:
    raise UserError(
      f'--data={text}: give --data=SET=DIR, SET one of {", ".join(_DATASETS)}'
    )
  return name, folder


def _setting(text: str):
  name, equals, value = text.partition('=')
  if not equals:
    raise UserError(f'--slurm={text}: give --slurm=partition=gpu')
  return name, int(value) if value.isdigit() else value


def _parse(argv: Sequence[str]):
  """The options, and the `--config.…` for all runs."""

  parser = console.Parser(
    f'{__doc__}\n--config.FIELD=VALUE sets a field of all experiments that'
    ' have it.'
  )
  add = parser.add_argument
  add('--sweep', required=True, help='a file of launch/sweeps')
  add('--workdir', required=True, help="the runs' folders are in it")
  add('--cache_dir', help='stages that runs share [WORKDIR/cache]')
  add('--data', action='append', default=[], type=_named, metavar='SET=DIR',
      help='where audioset, fsdkaggle2018 or folder lies')  # fmt: skip
  add('--vggish', default='', help='the weights that extractors start from')
  add('--executor', choices=('local', 'slurm', 'tpu'), default='local')
  add('--grid', action='append', default=[], metavar='config.FIELD=A,B,…')
  add('--seeds', type=int, default=0, help='run with seeds 0 to SEEDS - 1')
  add('--hosts', type=int, default=1, help='processes or nodes of a run')
  add('--devices', type=int, default=0, help='devices of each host')
  add('--parallel', type=int, default=0, help='runs at once')
  add('--retries', type=int, default=3, help='restarts of a run cut off')
  add('--dry_run', action='store_true', help='print what would be run')
  add('--slurm', action='append', default=[], metavar='NAME=VALUE',
      help="a setting of submitit's, such as partition=gpu")  # fmt: skip
  add('--tpu', default='', help='names of TPU slices, with commas')
  add('--zone', default='', help="the slices' zone")
  add('--tpu_create', default='', help='flags to create a slice with')
  add('--tpu_setup', default='', help="a new slice's first command")
  options, overrides = parser.parse_known_args(argv)
  for override in overrides:
    if not re.match(r'--config\.[\w.]+=', override):
      raise UserError(f'unknown option {override}; see --help')
  for name in ('seeds', 'devices', 'parallel', 'retries'):
    if getattr(options, name) < 0:
      raise UserError(f'--{name} is {getattr(options, name)}; 0 is the least')
  if options.hosts < 1:
    raise UserError(f'--hosts is {options.hosts}; 1 is the least')
  cache_dir = options.cache_dir or Path(options.workdir) / 'cache'
  options.cache_dir = Path(cache_dir).absolute()
  return options, overrides


def sweep(argv: Sequence[str]) -> int:
  """Runs the command; see `main`."""
  options, overrides = _parse(argv)
  watches = [Watch(run) for run in plan(options, overrides)]
  executor = make_executor(options)
  page = Path(options.workdir).absolute() / 'comparison.html'
  if options.dry_run:
    missing = [watch.run for watch in watches if watch.state == 'missing']
    print(f'{len(watches) - len(missing)} of {len(watches)} are done')
    print(*executor.describe(missing), sep='\n')
    return 0
  run_all(watches, executor, options.retries, Screen(sys.stdout))
  for watch in watches:
    if watch.note:
      print(f'{watch.run.name}: {watch.note}', file=sys.stderr)
  if not any(watch.results for watch in watches):
    return 1
  print()
  print(score_table(watches))
  status = compare(watches, page)
  done = all(watch.state == 'done' for watch in watches)
  return status if done else 1


def main(argv: Sequence[str]) -> int:
  """0 when all is done, 1 when a run has failed, 2 for a wrong option."""
  # Ends as Ctrl-C does, which stops the runs.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
  try:
    return sweep(argv[1:])
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(main(sys.argv))
