"""Odd command lines of `launch.sweep` and `launch.prepare`, and their lists."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from launch import prepare, sweep
from tests.bad_inputs.case import REFUSED, Case

# Sweep files by what they hold.
_SWEEPS = (
  b'1/0', b'EXPERIMENTS = 5', b'EXPERIMENTS = (5,)', b'EXPERIMENTS = ()',
  b'SWEEPS = 5', b"SWEEPS = ('2',)", b'raise SystemExit(3)', b'\xff\xfe\0',
  b'def', b"EXPERIMENTS = ('/dev/null',)", b"EXPERIMENTS = ('/tmp',)",
  b"EXPERIMENTS = ('nowhere',)", b"EXPERIMENTS = ('\\0',)",
)  # fmt: skip
_OPTIONS = (
  '--sweep=', '--sweep=\0', '--sweep=/tmp', '--sweep=/dev/null', '--workdir=',
  '--workdir=\0', '--workdir=/dev/null', '--workdir=/dev/null/x', '--data',
  '--cache_dir=/dev/null', '--seeds=x', '--seeds=1.5', '--seeds=-1',
  '--seeds=1000000', '--parallel=1000000000000', '--devices=-1', '--hosts=0',
  '--hosts=99999', '--retries=-1', '--grid=config.seed=', '--grid=seed=1',
  '--grid=config.seed=((', '--grid=config.seed=,', '--grid=config.=1',
  '--grid=config.seed=a', '--grid=config.seed=1,1', '--grid=config.model=3',
  '--grid=config.model.hidden=(8', '--grid=config.extractor.x=3',
  f'--grid=config.name={"x" * 300}', '--config.=3', '--config.modle.x=1',
  '--config.seed=1e400', '--config.expected=3', '--config.metric=x',
  '--data=audioset=', '--data=x=y', '--executor=cloud', '--executor=tpu',
  '--dry_run=1', 'x', '--x',
)  # fmt: skip
_MORE = (
  ('--executor=slurm', '--slurm=x='), ('--executor=slurm', '--slurm='),
  ('--executor=tpu', '--tpu=,', '--zone=x'),
  ('--executor=tpu', '--tpu=a', '--zone=x', "--tpu_create='"),
  ('--grid=config.seed=1', '--grid=config.seed=2'),
  ('--grid=config.seed=1', '--seeds=2'),
)  # fmt: skip
_PREPARE = (
  '--width=nan', '--width=inf', '--width=-1', '--width=x', '--files=0',
  '--files=x', '--out=', '--split=x', '--split=', '--audio=', '--segments=',
  '--classes=', '--segments=/tmp', '--segments=\0', '--segments=nowhere',
  '--segments=PIPE', '--classes=/tmp', '--classes=nowhere', '--classes=PIPE',
  '--weights=nowhere', '--weights=/tmp', '--weights=\0', '--x', 'x',
  *(f'--audio={x}' for x in (
    '{id.x}', '{id[0]}', '{}', '{0}', '{', '{id', '{id:9999999999}', '{name}',
    'x', '{id!z}', '{id:q}',
  )),
)  # fmt: skip
_CLASSES = (
  b'', b'a,b\n', b'mid,display_name\n', b'mid\n/m/0\n', b'\xff\xfe',
  b'mid,display_name\n/m/0\n', b'mid,display_name\n"/m/0\n', b'\0\0', b'[]',
  b'mid,display_name\n' + b'x' * 200_000 + b',a\n',
  b'mid,display_name\n/m/0,a\n/m/0,b\n',
)  # fmt: skip
_SEGMENTS = (
  b'', b'# x\n', b'a,0,1\n', b'a,0,inf,/m/0\n', b'a,nan,1,/m/0\n', b'\n\n',
  b'a,x,1,/m/0\n', b'a,0,1,/m/9\n', b'a,0,1,\n', b'\xff', b'a,0,1,"/m/0\n',
  b'a,0,1e400,/m/0\n',
)  # fmt: skip


def command_cases(folder: Path) -> Iterator[Case]:
  """Each is refused before anything is made."""
  good = folder / 'good.py'
  good.write_text("EXPERIMENTS = ('audioset_dnn1',)\n")
  start = (f'--sweep={good}', f'--workdir={folder / "w"}', '--dry_run')
  lines = [(option,) for option in _OPTIONS] + list(_MORE)
  for i, text in enumerate(_SWEEPS):
    (folder / f'{i}.py').write_bytes(text)
    lines.append((f'--sweep={folder / f"{i}.py"}',))
  for line in lines:
    run = functools.partial(sweep.sweep, [*start, *line])
    yield Case('commands', f'sweep {line}'[:80], REFUSED, run)
  yield from _prepare_cases(folder)


def _prepare_cases(folder):
  files = {'classes': b'mid,display_name\n/m/0,a\n', 'segments': b'a,0,1,/m/0'}
  for name, text in files.items():
    (folder / name).write_bytes(text)
  pipe = folder / 'pipe'
  os.mkfifo(pipe)
  start = [f'--{name}={folder / name}' for name in files]
  start += ['--audio={id}', f'--out={folder / "out"}', '--weights=', '--pca=']
  lines = [option.replace('PIPE', str(pipe)) for option in _PREPARE]
  for i, (name, text) in enumerate(
    [('classes', x) for x in _CLASSES] + [('segments', x) for x in _SEGMENTS]
  ):
    (folder / f'{name}{i}').write_bytes(text)
    lines.append(f'--{name}={folder / f"{name}{i}"}')
  for line in lines:
    run = functools.partial(prepare.prepare, [*start, line])
    yield Case('commands', f'prepare {line}'[:80], REFUSED, run)
