"""Whose a work folder is: what it was made from, and its results.

`experiment.json` appears when an experiment starts, `results.json` at its end.
"""

import datetime
import importlib.metadata
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
from absl import logging

from aec_jax import __version__
from aec_jax.errors import UserError
from aec_jax.run import fields, files
from aec_jax.run import results as results_lib

_FILE = 'experiment.json'
_NEEDED = ('config', 'dataset_fingerprint')
# Those that the thesis has scores of.
_THESIS = ('audioset', 'fsdkaggle2018')

_PACKAGES = (
    'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy',
)  # fmt: skip


def make_claim(
  config,
  workdir: Path,
  model: dict,
  about: dict,
  goes_on: Callable[[dict | None], None] = lambda before: None,
) -> dict:
  """Marks the work folder as this experiment's, or refuses another's.

  Args:
    config, workdir: as `experiment.run` takes them.
    model: the defaults of the model's own fields.
    about: of the data: `dataset_fingerprint`, `n_train_examples`, `skipped`, …
    goes_on: raises `UserError` where what was done by the settings that it is
      given is not to go on by other free ones; None: they are not known.

  Returns:
    What results.json begins with.

  Raises:
    UserError: the folder holds an experiment with other settings or data.
  """
  claim = {
    'experiment': config.name,
    'expected': _of_the_thesis(config),
    'config': config.to_dict(),
    'synthetic': not config.data_dir,
    **about,
    'versions': versions(),
  }
  check(config, workdir, model, about['dataset_fingerprint'], goes_on)
  path = workdir / _FILE
  files.write_json(path, claim)
  return files.read_json(path)


def check(
  config,
  workdir: Path,
  model: dict,
  fingerprint: str | None,
  goes_on: Callable[[dict | None], None],
) -> None:
  """Raises `UserError` where the work folder is another experiment's.

  Args:
    config, workdir, model, goes_on: as of `make_claim`.
    fingerprint: of the data; None where it is not known yet.
  """
  path = workdir / _FILE
  if not path.exists():
    goes_on(None)
    return
  before = _read(path)
  changed = _changes(before['config'], config.to_dict(), model)
  if fingerprint not in (None, before['dataset_fingerprint']):
    changed.append(_other_data(config, before['config']))
  if changed:
    raise UserError(
      f'{workdir} holds an experiment with other settings'
      f' ({"; ".join(changed)}): use another --workdir'
    )
  if _changes(before['config'], config.to_dict(), model, ('free',)):
    goes_on(before['config'])


def _of_the_thesis(config) -> dict:
  """The thesis's scores; none where the data are others than the thesis's."""
  theirs = config.data_dir and config.dataset in _THESIS and not config.classes
  return config.expected.to_dict() if theirs else {}


def _other_data(config, before: dict) -> str:
  """What may be another where the fingerprint of the data is.

  Args:
    config: of now.
    before: the record of the config that the folder was claimed with.
  """
  was = before.get('teacher', '')
  if was != config.teacher:
    return (
      f'config.teacher: {was or "none"} there, {config.teacher or "none"} here,'
      ' or another data set'
    )
  was = before.get('init_from', '')
  if was != config.init_from:
    return (
      f'config.init_from: {was or "none"} there, {config.init_from or "none"}'
      ' here, or another data set'
    )
  if config.init_from:
    return f'the data set, or the experiment in {config.init_from}'
  init = config.extractor.init
  if fields.names_place('extractor.init', init):
    return f'the data set, or the weights in {init}'
  if config.teacher:
    return f'the data set, or the teachers in {config.teacher}'
  return 'the data set'


def read_claim(config, workdir: Path, model: dict) -> dict:
  """The claim that training left; `UserError` if it is another's."""
  path = workdir / _FILE
  if not path.exists():
    raise UserError(f'{workdir} holds no experiment: train first')
  claim = _read(path)
  changed = _changes(claim['config'], config.to_dict(), model)
  if changed:
    raise UserError(
      f'{workdir} was trained with other settings ({"; ".join(changed)})'
    )
  return claim


def _read(path: Path) -> dict:
  """A claim that was made; `UserError` if it is damaged."""
  remedy = 'remove it, and the command that trained writes it again'
  claim = files.read_json(path, *_NEEDED, remedy=remedy)
  if not isinstance(claim['config'], dict):
    raise UserError(f'{path} is damaged: config is not an object; {remedy}')
  return claim


def _changes(before, after, model, roles=('what',)) -> list[str]:
  return fields.differences(
    fields.upgraded(before), fields.upgraded(after), model, roles
  )


def finished_results(config, workdir: Path, model: dict) -> dict | None:
  """The results of this config, if they are there.

  Where things lie and how they are done may differ.

  Raises:
    UserError: they are damaged.
  """
  if not (workdir / results_lib.FILE).exists():
    return None
  results = results_lib.read(workdir, 'experiment', 'config', 'metrics')
  after = config.to_dict()
  changed = _changes(results['config'], after, model, ('what', 'free'))
  if changed:
    logging.info(
      '%s goes on with other settings: %s', workdir, '; '.join(changed)
    )
    return None
  # An evaluation of an unfinished training leaves results, too.
  seconds = results.get('seconds', {})
  if seconds and not {'fine_tune', 'train'} & seconds.keys():
    return None
  logging.info('%s is finished already', workdir)
  return results


def versions() -> dict[str, str]:
  """What the numbers were computed with."""
  found = {name: importlib.metadata.version(name) for name in _PACKAGES}
  found['python'] = platform.python_version()
  device = jax.devices()[0]
  found['device'] = f'{jax.device_count()} × {device.device_kind}'
  found['aec_jax'] = __version__
  if revision := _revision(Path(__file__).parents[2]):
    found['revision'] = revision
  return found


def _revision(folder: Path) -> str:
  """Of a checkout; '' where the package is installed, or git is not.

  An environment may lie in a repository of something else.
  """
  if not (folder / '.git').exists() or not shutil.which('git'):
    return ''
  found = subprocess.run(
    ['git', 'describe', '--always', '--dirty'],
    cwd=folder,
    capture_output=True,
    text=True,
    check=False,
  )
  return found.stdout.strip()


def made() -> dict[str, str]:
  """When and by what command this process finished an experiment."""
  now = datetime.datetime.now(datetime.UTC)
  return {
    'finished': now.isoformat(sep=' ', timespec='seconds'),
    'command': shlex.join(sys.orig_argv),
  }
