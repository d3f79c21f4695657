"""The Dockerfile's steps without docker, in a virtual environment.

  python -m tests.dockerfile DIR [--python=python3.12] [-- ARGUMENT…]

Stands in for the image: COPY copies below DIR, RUN runs in a shell with a bare
virtual environment's programs first, and last comes ENTRYPOINT with ARGUMENT…,
or with CMD. It prints the seconds of each step. The base image, ENV and ARG are
docker's own.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def instructions(text: str) -> Iterator[tuple[str, str]]:
  """(name, rest) of each instruction of a Dockerfile."""
  for line in text.replace('\\\n', ' ').splitlines():
    if line.strip() and not line.startswith('#'):
      name, _, rest = line.partition(' ')
      yield name, rest


def steps(text: str, image: Path) -> Iterator[list[str]]:
  """The commands that fill `image`; the last one is the entry point's."""
  place, last = image, {}
  for name, rest in instructions(text):
    if name == 'COPY':
      what, _, where = rest.partition(' ')
      yield ['copy', str(ROOT / what), f'{image}{where}']
    elif name == 'RUN':
      yield ['sh', '-c', re.sub(r'(?<= )/(?=src)', f'{image}/', rest)]
    elif name == 'WORKDIR':
      place = image / rest.lstrip('/')
    elif name in ('ENTRYPOINT', 'CMD'):
      last[name] = json.loads(rest)
    elif name not in ('FROM', 'ARG', 'ENV'):
      raise ValueError(f'{name}: no step that is known')
  place.mkdir(parents=True, exist_ok=True)
  yield ['run', str(place), *last['ENTRYPOINT'], *last['CMD']]


def main() -> int:
  parser = argparse.ArgumentParser(prog='python -m tests.dockerfile')
  parser.add_argument('folder', type=Path)
  parser.add_argument('--python', default=sys.executable)
  mine, _, arguments = ' '.join(sys.argv[1:]).partition(' -- ')
  options = parser.parse_args(mine.split())
  folder = options.folder.absolute()
  subprocess.run([options.python, '-m', 'venv', folder / 'venv'], check=True)
  environment = {
    'PATH': f'{folder}/venv/bin:/usr/bin:/bin', 'HOME': str(folder / 'home'),
    'ACCELERATOR': '',
  }  # fmt: skip
  text = (ROOT / 'Dockerfile').read_text(encoding='utf-8')
  entry = dict(instructions(text))['ENTRYPOINT']
  for step in steps(text, folder / 'image'):
    start, (kind, *rest) = time.monotonic(), step
    if kind == 'copy':
      copy(*rest)
    elif kind == 'sh':
      subprocess.run(step, env=environment, check=True)
    else:
      place, *command = rest
      if arguments:
        command = [*json.loads(entry), *arguments.split()]
      command[0] = shutil.which(command[0], path=environment['PATH'])
      subprocess.run(command, env=environment, cwd=place, check=True)
    print(f'{time.monotonic() - start:6.1f} s  {" ".join(step)}', flush=True)
  return 0


def copy(what: str, where: str) -> None:
  """COPY, of what .dockerignore leaves."""
  left = (ROOT / '.dockerignore').read_text(encoding='utf-8').split()
  os.makedirs(where, exist_ok=True)
  if os.path.isfile(what):
    shutil.copy(what, where)
  else:
    names = [os.path.basename(name) for name in left]
    shutil.copytree(
      what, where, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*names)
    )


if __name__ == '__main__':
  sys.exit(main())
