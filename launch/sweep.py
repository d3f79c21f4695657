"""Runs the experiments of a table that are not finished, and compares them.

  python -m launch.sweep --sweep=launch/sweeps/table10.py \
      --workdir=runs/table10 --config.data_dir=AUDIOSET

Each experiment has its folder in the work folder. Run again, the command does
only what is missing. See docs/scale.md.
"""

import difflib
import importlib.util
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path

import numpy as np

from aec_jax import presets
from aec_jax.errors import UserError, naming
from aec_jax.features import log_mels
from aec_jax.models import extractors
from aec_jax.run import cache, console, fields, files

from . import executors
from .jobs import ROOT, Run
from .watch import Screen, Watch

# Seconds between two looks at the runs.
_LOOK = 1.0
# Of anything that is counted; bytes of a folder's name.
_MOST, _LONGEST = 10_000, 200
_DATASETS = ('audioset', *log_mels.DATASETS)


def plan(options, overrides: Sequence[str]) -> list[Run]:
  """The runs of a sweep: experiments × grid × seeds.

  Raises:
    UserError: the sweep, a config or an option makes no sense.
  """
  grids = [_parse_grid(text) for text in options.grid]
  varied = [text.partition('=')[0] for text in options.grid]
  if options.seeds:
    varied.append('config.seed')
  if len(set(varied)) < len(varied):
    raise UserError(f'{", ".join(varied)} are varied: one of them twice')
  if options.seeds:
    grids.append([f'config.seed={seed}' for seed in range(options.seeds)])
  runs = []
  names = _experiments(options.sweep)
  chosen_fields = [f'--{some[0]}' for some in grids]
  _check_overrides(names, [*overrides, *chosen_fields])
  for name in names:
    given = _fitting(name, options, overrides)
    for point in itertools.product(*grids):
      labels = [name, *(x.removeprefix('config.') for x in point)]
      label = re.sub(r'[^\w.=,+-]', '_', '-'.join(labels))
      if len(label.encode()) > _LONGEST:
        raise UserError(f'{label[:80]}…: too long a name for a folder')
      group = label.rsplit('-', 1)[0] if options.seeds else label
      workdir = Path(options.workdir).absolute() / label
      config = f'--config={os.path.abspath(console.config_path(name))}'
      chosen = _absolute((*given, *(f'--{x}' for x in point)))
      files = (f'--workdir={workdir}', f'--cache_dir={options.cache_dir}')
      runs.append(Run(label, group, workdir, (config, *files, *chosen)))
  names = [run.name for run in runs]
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise UserError(f'two runs would be in {options.workdir}/{twice}')
  return runs


def _experiments(path: str) -> Sequence[str]:
  """The configs of a file's EXPERIMENTS, or of the files in its SWEEPS."""
  file = Path(path)
  if not file.is_dir():
    files.check_file(file, needed=False)
  if not file.is_file():
    file = Path(__file__).parent / 'sweeps' / f'{file.stem}.py'
  try:
    module = _module(file)
    if hasattr(module, 'SWEEPS'):
      parts = [_experiments(file.with_name(f'{s}.py')) for s in module.SWEEPS]
      return list(dict.fromkeys(itertools.chain(*parts)))
    names = list(module.EXPERIMENTS)
    if not names or not all(isinstance(name, str) for name in names):
      raise TypeError('EXPERIMENTS is no list of names of configs')
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # a file may raise anything
    raise UserError(
      f'--sweep={path}: {error}; give a file such as launch/sweeps/table10.py,'
      ' with a list EXPERIMENTS'.replace('\n', ' ')
    ) from error
  for name in names:
    console.config_path(name)
  return names


def _module(file: Path):
  """A Python file, run."""
  spec = importlib.util.spec_from_file_location(file.stem, file)
  if spec is None or spec.loader is None:
    raise ValueError('no Python file')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _fitting(name: str, options, overrides: Sequence[str]) -> list[str]:
  """The overrides that a config has the field of, its data and weights."""
  config = _shipped(name, overrides)
  data = dict(options.data).get(config.dataset)
  chosen = [f'--config.data_dir={data}'] if data else []
  real = data or any(_field(x) == 'data_dir' for x in overrides)
  if options.vggish and real and config.extractor.model == 'vggish':
    chosen.append(f'--config.extractor.init={options.vggish}')
  chosen += [x for x in overrides if _matters(_field(x), config)]
  return chosen


def _shipped(name: str, overrides: Sequence[str]):
  """A shipped config, of the extractor that the overrides say."""
  config = presets.shipped(name)
  for override in overrides:
    if _field(override) == 'extractor.model':
      config.extractor.model = override.partition('=')[2]
  return config


def _matters(path: str, config) -> bool:
  """Whether a config has a field, and its data and extractor a use for it."""
  section, _, name = path.partition('.')
  row = extractors.row(config.extractor)
  used = section != 'extractor' or row.has_use_for(name)
  return used and fields.matters(path, config)


def _absolute(overrides: Sequence[str]) -> tuple[str, ...]:
  """Overrides whose paths are the user's: runs have another working folder."""
  found = []
  for override in overrides:
    name, _, value = override.partition('=')
    if fields.names_place(_field(override), value):
      # Of teachers there may be several.
      several = value.split(',') if _field(override) == 'teacher' else [value]
      value = ','.join(
        os.path.abspath(os.path.expanduser(path)) for path in several
      )
    found.append(f'{name}={value}')
  return tuple(found)


def _field(override: str) -> str:
  return override.removeprefix('--config.').partition('=')[0]


def _check_overrides(names: Sequence[str], overrides: Sequence[str]) -> None:
  """Raises `UserError` for a field that no experiment has."""
  configs = [_shipped(name, overrides) for name in names]
  for override in overrides:
    field = _field(override)
    if not any(_matters(field, config) for config in configs):
      known = {
        path
        for config in configs
        for path, _ in fields.flattened(config.to_dict())
        if _matters(path, config)
      }
      near = difflib.get_close_matches(field, known, 5, cutoff=0.5)
      told = ', '.join(f'config.{path}' for path in near or sorted(known))
      raise UserError(
        f'no experiment of the sweep has config.{field};'
        f' {"nearest to it" if near else "there"} are {told}'
      )


def _parse_grid(text: str) -> list[str]:
  """'config.x=1,(2,3)' as ['config.x=1', 'config.x=(2,3)']."""
  field, _, values = text.partition('=')
  # Commas within brackets are the values' own.
  found = re.findall(r'(?:\([^)]*\)|[^,(])+', values)
  good = re.fullmatch(r'config\.[\w.]+', field) and ','.join(found) == values
  if not good or not found:
    raise UserError(
      f'--grid={text}: give --grid=config.optimizer.learning_rate=1e-3,3e-4'
    )
  return [f'{field}={v}' for v in found]


def run_all(watches, executor, retries: int, screen: Screen) -> None:
  """Runs what is missing until all is done or has failed."""
  try:
    while any(w.state in ('missing', 'queued', 'running') for w in watches):
      active = [w for w in watches if w.state in ('queued', 'running')]
      for watch in active:
        watch.look(retries)
      active = [w for w in watches if w.state in ('queued', 'running')]
      active += _adopted(watches, executor)
      missing = [w for w in watches if w.state == 'missing']
      todo = missing[: max(0, executor.capacity - len(active))]
      if todo:
        for watch in todo:
          watch.mark()
        jobs = executor.start([watch.run for watch in todo])
        for watch, job in zip(todo, jobs, strict=True):
          watch.start(job)
      screen.show(watches)
      time.sleep(_LOOK)
  finally:
    active = [w for w in watches if w.state in ('queued', 'running')]
    with futures.ThreadPoolExecutor(max(1, len(active))) as pool:
      for watch in active:  # all at once: each may take some seconds to save
        pool.submit(watch.job.stop)
  screen.show(watches)


def _adopted(watches, executor) -> list[Watch]:
  """Those whose runs go on since another sweep; they are not started."""
  found = []
  for watch in watches:
    user = watch.state == 'missing' and cache.user_of(watch.run.workdir)
    if user:
      print(f'{watch.run.name} goes on as {user}', file=sys.stderr)
      watch.adopt(executor.adopt(watch.run))
      found.append(watch)
  return found


def score_table(watches: Sequence[Watch]) -> str:
  """The scores of what is finished; of several seeds mean ± deviation."""
  groups = {}
  for watch in watches:
    if watch.results:
      groups.setdefault(watch.run.group, []).append(watch.results['metrics'])
  # Experiments of several objectives have several kinds of scores.
  names = list(
    dict.fromkeys(
      name
      for scores in itertools.chain(*groups.values())
      for name, value in scores.items()
      if isinstance(value, float)
    )
  )
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
  slices = [name for name in options.tpu.split(',') if name]
  return executors.Tpu(
    slices, options.zone, options.tpu_create, options.tpu_setup
  )


def _named(text: str) -> tuple[str, str]:
  name, _, folder = text.partition('=')
  if name not in _DATASETS or not folder:
    raise UserError(
      f'--data={text}: give --data=SET=DIR, SET one of {", ".join(_DATASETS)}'
    )
  return name, folder


def _setting(text: str):
  name, _, value = text.partition('=')
  if not name or not value:
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
  add('--parallel', type=int, default=0, help='runs at once, of each GPU')
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
  for name in ('hosts', 'seeds', 'devices', 'parallel', 'retries'):
    value, least = getattr(options, name), int(name == 'hosts')
    if not least <= value <= _MOST:
      raise UserError(f'--{name} is {value}; it takes {least} to {_MOST:,}')
  cache_dir = options.cache_dir or Path(options.workdir) / 'cache'
  options.cache_dir = Path(cache_dir).absolute()
  for name in ('workdir', 'cache_dir'):
    files.check_folder_can_be(f'--{name}', getattr(options, name))
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
  advice = 'the same command goes on from there'
  with naming(options.workdir, advice=advice):
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
  """0 when all is done, 1 when a run has failed, 2 for a wrong option.

  Ctrl-C, SIGTERM and SIGHUP end the runs, too: 128 and the signal's number.
  """
  for number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
      signal.signal(number, lambda number, _: sys.exit(128 + number))
  return console.run_command(lambda: sweep(argv[1:]))


if __name__ == '__main__':
  sys.exit(main(sys.argv))
