"""Stages whose outputs several experiments share."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import checksums, files, hosts, lock

_LOCK = '.lock'  # of a work folder
# What `only_user` says of one that another holds.
IN_USE = 'is in use by'


def digest(value: Any) -> str:
  """A short hexadecimal hash of a JSON-able value."""
  text = json.dumps(value, sort_keys=True, default=str)
  return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def folder_of(cache_dir: str | Path, name: str, depends: dict) -> Path:
  """Where a stage's output lies, or will lie."""
  return Path(cache_dir) / f'{name}-{digest(depends)}'


def stage(
  cache_dir: str | Path,
  name: str,
  depends: dict,
  build: Callable[[Path], object],
) -> Path:
  """The folder of a stage's output, built if it is not there.

  The folder is named by a hash of `depends`, which it also holds as
  `depends.json`. It appears whole or not at all: it is built under another
  name and renamed, and what a killed run has left of it is removed. Of several
  runs that need it, one builds and the others wait; of the hosts of one run the
  first builds, and those that do not see its disk build their own.

  Args:
    cache_dir: where the stages of all experiments lie.
    name: of the stage.
    depends: everything that the output is a function of, JSON-able.
    build: fills the empty folder that it is given.

  Raises:
    UserError: what is there has been damaged since it was built.
  """
  folder = folder_of(cache_dir, name, depends)
  was_there = folder.exists()
  hosts.lead(lambda: build_here(folder, depends, build))
  build_here(folder, depends, build)
  if was_there:
    checksums.check(folder)
  return folder


def build_here(folder: Path, depends: dict, build) -> None:
  """As `stage`, of this host alone; it checks nothing that is there."""
  with lacking(folder) as lacks:
    if lacks:
      fill(folder, depends, build)


@contextlib.contextmanager
def lacking(folder: Path) -> Iterator[bool]:
  """Whether a stage is not there once nobody else builds it.

  If it is not, nobody else builds it meanwhile.
  """
  if folder.exists():
    yield False
    return
  folder.parent.mkdir(parents=True, exist_ok=True)
  wait = lambda: logging.info('waiting for who builds %s', folder.name)
  with lock.held(folder.with_name(f'.{folder.name}.lock'), wait):
    yield not folder.exists()


def fill(folder: Path, depends: dict, build) -> None:
  """Builds a stage that is `lacking`."""
  files.remove_left(folder)
  unfinished = files.own_name(folder)
  unfinished.mkdir()
  try:
    build(unfinished)
    files.write_json(unfinished / 'depends.json', depends)
    checksums.write(unfinished)
    files.settle_folder(unfinished)
    try:
      os.rename(unfinished, folder)
    except OSError:
      # On a network disk it may have been there, and be seen only now.
      if not folder.exists():
        raise
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def only_user(workdir: str | Path) -> Iterator[None]:
  """Holds a work folder, which two runs would spoil for each other.

  The hold ends with the process, however that ends.

  Raises:
    UserError: another process holds it, or the folder cannot be written.
  """
  workdir = Path(workdir)
  with contextlib.ExitStack() as stack:
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      stack.enter_context(lock.held(workdir / _LOCK))
    except lock.Busy as busy:
      raise UserError(
        f'{workdir} {IN_USE} {busy}: wait for it, or use another --workdir'
      ) from busy
    except OSError as error:
      raise UserError(f'cannot write to {workdir}: {error.strerror}') from error
    yield


def user_of(workdir: Path) -> str:
  """Who holds a work folder, as 'process 12 on HOST'; '' where nobody does."""
  return lock.holder(workdir / _LOCK)
