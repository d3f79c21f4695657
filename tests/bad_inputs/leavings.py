"""Bad leavings of a run: checkpoints, and whatever else it wrote."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from aec_jax import predictions
from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.examples import Examples
from aec_jax.features import embeddings
from aec_jax.models import convert
from aec_jax.run import claim
from aec_jax.train import checkpoint as checkpoint_lib
from tests.bad_inputs.archives import ZIPS, other_object
from tests.bad_inputs.case import ANY, REFUSED, Broken, Case
from tests.bad_inputs.tfrecords import good_record, write_release


def checkpoint_cases(folder: Path) -> Iterator[Case]:
  """Wrong templates, and damage to each file of a checkpoint."""
  saved = folder / 'saved'
  with contextlib.closing(checkpoint_lib.Checkpoints(saved)) as checkpoints:
    checkpoints.save(3, _state(), {'evaluations': []})
    checkpoints.save_best(3, _state(), {'evaluations': []})
  wide = np.ones((5, 3), np.float32)
  for what, template in (
    ('a wrong shape', _state(w=wide)),
    ('a missing variable', _state(c=wide)),
    ('a variable too many', {'w': _state()['w']}),
    ("another experiment's", {'x': {'w': wide}}),
  ):
    yield Case(
      'checkpoint', what, REFUSED, _restoring(saved, template), 'latest'
    )
  files = [p for p in (saved / 'latest').rglob('*') if p.is_file()]
  for i, path in enumerate(files):
    name = path.relative_to(saved / 'latest' / '3')
    if name.name == 'commit_success.txt':
      continue
    for what, change in (
      ('missing', lambda p: p.unlink()),
      ('emptied', lambda p: p.write_bytes(b'')),
      ('cut', lambda p: os.truncate(p, p.stat().st_size // 2)),
      ('overwritten', lambda p: p.write_bytes(b'\xff' * p.stat().st_size)),
      ('of a flipped byte', _flip),
      ('a list', lambda p: p.write_bytes(b'[1, 2]')),
      ('a number', lambda p: p.write_bytes(b'0')),
      ('an empty object', lambda p: p.write_bytes(b'{}')),
    ):
      copy = folder / f'{what}{i}'
      shutil.copytree(saved, copy)
      change(copy / 'latest' / '3' / name)
      # Some files are not needed to restore; then what is read is right.
      run = _restoring(copy, _state())
      yield Case('checkpoint', f'{name} {what}', ANY, run)
  empty = folder / 'never'
  run = lambda: checkpoint_lib.Checkpoints(empty).restore_best(_state()) and []
  yield Case('checkpoint', 'none', REFUSED, run, 'train first')


def _state(**changes) -> dict:
  # Large enough that TensorStore has values without a checksum.
  w = np.random.default_rng(0).standard_normal((300, 200), np.float32)
  return {'w': w, 'b': np.zeros(3, np.float32), **changes}


def _flip(path: Path) -> None:
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x40
  path.write_bytes(data)


def _restoring(folder: Path, template) -> Callable[[], list]:
  def run():
    with contextlib.closing(checkpoint_lib.Checkpoints(folder)) as checkpoints:
      state, history = checkpoints.restore(template)
    same = jax.tree.all(jax.tree.map(np.array_equal, state, template))
    if not same or history != {'evaluations': []}:
      raise Broken('restored what was not saved')
    return []

  return run


def leavings_cases(folder: Path) -> Iterator[Case]:
  """Damaged packed examples, predictions, extractors, weights, JSON."""
  whole = folder / 'examples'
  root = write_release(folder / 'release', good_record())
  audioset_tfrecord.pack(str(root), 'eval', str(whole))
  np.savez(folder / 'variables.npz', **{'params/w': np.ones(3)})
  keys = ('probabilities', 'ids', 'label_ids', 'label_offsets')
  np.savez(folder / 'predictions.npz', **dict.fromkeys(keys, np.ones(3)))
  weights = {k: np.zeros(shape) for k, shape in convert.shapes(0.03).items()}
  np.savez(folder / 'weights.npz', **weights)
  (folder / 'experiment.json').write_text('{"config": {}}')
  readers = {
    **{
      f'examples/{name}': lambda copy: Examples.load(str(copy / 'examples'))
      for name in sorted(os.listdir(whole))
    },
    'variables.npz': embeddings.load_variables,
    'predictions.npz': predictions.load,
    'weights.npz': lambda copy: convert.load(str(copy / 'weights.npz'), 0.03),
    'experiment.json': lambda copy: claim.read_claim(ConfigDict(), copy, {}),
  }
  for name, read in readers.items():
    for what, change in (
      ('missing', lambda p: p.unlink()),
      ('empty', lambda p: p.write_bytes(b'')),
      ('cut', lambda p: os.truncate(p, p.stat().st_size // 2)),
      ('text', lambda p: p.write_bytes(b'nothing to see\n')),
      ('another object', lambda p: p.write_bytes(other_object(p.suffix))),
      *(ZIPS if name.endswith('.npz') else ()),
    ):
      copy = folder / f'{name}-{what}'.replace('/', '-')
      copy.mkdir()
      for path in (whole, *folder.glob('*.npz'), *folder.glob('*.json')):
        copying = shutil.copytree if path.is_dir() else shutil.copy
        copying(path, copy / path.name)
      change(copy / name)
      run = lambda read=read, copy=copy: read(copy) and []
      yield Case('leavings', f'{name}: {what}', REFUSED, run, copy.name)
  for what, width in (('another width', 0.5), ('full width', 1.0)):
    run = lambda width=width: convert.load(str(folder / 'weights.npz'), width)
    yield Case('leavings', f'weights of {what}', REFUSED, run, 'conv')
