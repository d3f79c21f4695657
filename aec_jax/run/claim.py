"""Whose a work folder is: what it was made from, and its results.

`experiment.json` appears when an experiment starts, `results.json` at its end.
"""

import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

import jax
from absl import logging

from aec_jax.errors import UserError
from aec_jax.run import cache, files

# Fields that may change when a work folder is used again: they say where things
# lie and how long to train, not what is computed. Of a section, only those that
# say how: a longer trained extractor is another.
_HOW_FIELDS = frozenset(
  {'examples_on', 'checkpoint_every', 'steps_per_dispatch'}
)
_FREE_FIELDS = _HOW_FIELDS | {
    'data_dir', 'damaged', 'on_bad', 'on_diverged', 'expected', 'max_steps',
    'patience',
}  # fmt: skip
_NEEDED = ('config', 'dataset_fingerprint')

_PACKAGES = (
    'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scipy',
)  # fmt: skip


def make_claim(
  config,
  workdir: Path,
  fingerprints: list,
  n_train: int,
  skipped: list[dict],
  data: dict,
) -> dict:
  """Marks the work folder as this experiment's, or refuses another's.

  Args:
    config, workdir: as `run` takes them.
    fingerprints: of the data that is trained and scored on.
    n_train: how many examples train.
    skipped: what of the data was left out.
    data: how it is distributed, for the report: 'clips' of each split and
      class, and perhaps more by class.

  Returns:
    What results.json begins with.

  Raises:
    UserError: the folder holds an experiment with other settings or data.
  """
  claim = {
    'experiment': config.name,
    'expected': config.expected.to_dict(),
    'config': config.to_dict(),
    'dataset_fingerprint': cache.digest(fingerprints),
    'n_train_examples': n_train,
    'skipped': skipped,
    'data': data,
    'versions': versions(),
  }
  path = workdir / 'experiment.json'
  if path.exists():
    before = files.read_json(path, *_NEEDED)
    changed = _changes(before['config'], claim['config'])
    if before['dataset_fingerprint'] != claim['dataset_fingerprint']:
      changed.append('the data set')
    if changed:
      raise UserError(
        f'{workdir} holds an experiment with other settings'
        f' ({"; ".join(changed)}): use another --workdir'
      )
  files.write_json(path, claim)
  return files.read_json(path)


def read_claim(config, workdir: Path) -> dict:
  """The claim that training left; `UserError` if it is another's."""
  path = workdir / 'experiment.json'
  if not path.exists():
    raise UserError(f'{workdir} holds no experiment: train first')
  claim = files.read_json(path, *_NEEDED)
  changed = _changes(claim['config'], config.to_dict())
  if changed:
    raise UserError(
      f'{workdir} was trained with other settings ({"; ".join(changed)})'
    )
  return claim


def _changes(before, after, prefix='config'):
  """Which settled fields differ, as 'config.seed: 0 there, 1 here'."""
  before, after = json.loads(json.dumps(before)), json.loads(json.dumps(after))
  out = []
  free = _FREE_FIELDS if prefix == 'config' else _HOW_FIELDS
  for name in sorted(before.keys() | after.keys()):
    a, b = before.get(name), after.get(name)
    if name in free or a == b:
      continue
    if isinstance(a, dict) and isinstance(b, dict):
      out += _changes(a, b, f'{prefix}.{name}')
    else:
      out.append(f'{prefix}.{name}: {a} there, {b} here')
  return out


def finished_results(config, workdir: Path) -> dict | None:
  """The results of this very config, if they are there."""
  path = workdir / 'results.json'
  if not path.exists():
    return None
  results = files.read_json(path, 'config')
  same = results['config'] == json.loads(json.dumps(config.to_dict()))
  if not same:
    return None
  logging.info('%s is finished already', workdir)
  return results


def versions() -> dict[str, str]:
  """What the numbers were computed with."""
  found = {name: importlib.metadata.version(name) for name in _PACKAGES}
  found['python'] = platform.python_version()
  device = jax.devices()[0]
  found['device'] = f'{jax.device_count()} × {device.device_kind}'
  revision = subprocess.run(
    ['git', 'describe', '--always', '--dirty'],
    cwd=Path(__file__).parent,
    capture_output=True,
    text=True,
    check=False,
  )
  found['revision'] = revision.stdout.strip() or 'unknown'
  return found
