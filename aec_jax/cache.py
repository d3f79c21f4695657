"""Stages whose outputs several experiments share."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def digest(value) -> str:
  """A short hexadecimal hash of a JSON-able value."""
  text = json.dumps(value, sort_keys=True, default=str)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def stage(
  cache_dir: str | Path,
  name: str,
  depends: dict,
  build: Callable[[Path], None],
) -> Path:
  """The folder of a stage's output, built if it is not there.

  The folder is named by a hash of `depends`, which it also holds as
  `depends.json`. It appears whole or not at all: it is built under another
  name and renamed.

  Args:
    cache_dir: where the stages of all experiments lie.
    name: of the stage.
    depends: everything that the output is a function of, JSON-able.
    build: fills the empty folder that it is given.
  """
  cache_dir = Path(cache_dir)
  folder = cache_dir / f'{name}-{digest(depends)}'
  if folder.exists():
    return folder
  cache_dir.mkdir(parents=True, exist_ok=True)
  unfinished = Path(tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=cache_dir))
  try:
    build(unfinished)
    write_json(unfinished / 'depends.json', depends)
    # Where another process was faster, its equal folder stays.
    with contextlib.suppress(FileExistsError):
      os.rename(unfinished, folder)
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
  return folder


def write_json(path: str | Path, value) -> None:
  """Writes a JSON file that appears whole or not at all."""
  path = Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  unfinished = path.with_name(f'.{path.name}.{os.getpid()}')
  text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
  unfinished.write_text(text + '\n', encoding='utf-8')
  os.replace(unfinished, path)
