"""Bad bundles: damaged files, settings and arrays that do not fit."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from aec_jax.bundle import store
from aec_jax.errors import UserError
from configs import audioset_level3, dcase_l6
from tests.bad_inputs.archives import ZIPS, other_object
from tests.bad_inputs.case import READ, REFUSED, Broken, Case
from tests.bad_inputs.forging import (
  change_info,
  forge,
  lie_about_size,
  make_bundle,
  replace_weights,
)

# What may be wrong with an array, of which there is one in each member.
_ARRAYS = {
  'missing': lambda x: None,
  'transposed': lambda x: x.T,
  'without members': lambda x: x[0],
  'of two members': lambda x: np.repeat(x, 2, 0),
  'of no member': lambda x: x[:0],
  'one number for all': lambda x: x[..., :1],
  'one number': lambda x: x.sum(),
  'of one more axis': lambda x: x[..., None],
  'float64': lambda x: x.astype(np.float64),
  'float16': lambda x: x.astype(np.float16),
  'int32': lambda x: x.astype(np.int32),
  'complex': lambda x: x.astype(np.complex64),
  'bool': lambda x: x.astype(bool),
  'in words': lambda x: x.astype(str),
  'a date': lambda x: x.astype('datetime64[s]'),
  'a structure': lambda x: x.view([('x', np.float32)]),
  'NaN': lambda x: np.full_like(x, np.nan),
  'infinite': lambda x: np.full_like(x, np.inf),
}
# Values that files.json may not have; None leaves the field out.
_FIELDS = {
  'format': (99, None, '1', [1]),
  'files': (None, 3, {}),
  'classes': (None, 3, [], ['a', 'b'], ['a', 'b', 3], 'abc', {'a': 1}),
  'front_end': (None, 3, {}, [], {'sample_rate': [16_000]}),
  'objective': ('speech', None, [], ['multi_label']),
  'experiment': (None, 3),
  'extractors': (None, 3, ['a'], 'a'),
  'extractor': (None, 3, {}),
  'model': (None, 3, {'name': 'eval'}, {'name': ['dnn']}, {}),
  'ensembles': (None, 3, [], [{}], [3], [{'length': 'x'}]),
}
_MODEL = {
  'hidden': ([], [8, 8], [8, 8, 2**40], [0, 8, 8], ['8', '8', '8'], 8, 'x'),
  'levels': ([], [4], [1], ['3'], 3), 'dtype': ('int8', 3, []),
  'f_activation': ('exec', []), 'classes': (3,), 'x': (1,), 'parent': ('x',),
}  # fmt: skip
_EXTRACTOR = {'dtype': ('int8', 3, [])}
_ENSEMBLE = {
  'length': (0, -1, 2**40, '1', None, 1.5),
  'last_piece': (None, 'x', True, []),
  'members': (None, 3, 'ab', [1], ['a'] * 2),
  'extractors': ([], [1], [-1], [0, 0], ['a'], None, 3, [0.5]),
}  # fmt: skip
_HEARS = {
  'width': (-1, 0.5, 1e300, float('inf'), float('nan'), 'x', None),
  'batch_norm': (False,), 'embedding_activation': ('exec', []),
}  # fmt: skip


def bundle_cases(folder: Path) -> Iterator[Case]:
  """Damaged and forged bundles of both tasks, and two good ones."""
  wholes = [
    make_bundle(folder / module.__name__, module)
    for module in (audioset_level3, dcase_l6)
  ]
  for whole, damages in (
    (wholes[0], _damages), (wholes[0], _forgeries), (wholes[1], _deaf),
  ):  # fmt: skip
    for i, (what, change) in enumerate(damages(whole)):
      copy = folder / f'{damages.__name__}{i}'
      shutil.copytree(whole, copy)
      change(copy)
      run = lambda copy=copy: store.load(copy) and []
      yield Case('bundle', what, REFUSED, run, copy.name)
  run = lambda: store.load(folder / 'nowhere') and []
  yield Case('bundle', 'no folder', REFUSED, run, 'nowhere')
  yield Case('bundle', 'as it was', READ, lambda: _tag(wholes[0]))
  yield Case('bundle', 'with ears', READ, lambda: store.load(wholes[1]) and [])


def _damages(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy) of a bundle of AudioSet."""
  for name in ('bundle.json', 'weights.npz', 'README.md'):
    yield f'{name}: missing', lambda copy, name=name: (copy / name).unlink()
    for what, data in (('empty', b''), ('text', b'no\n')):
      yield (
        f'{name}: {what}',
        lambda copy, name=name, data=data: (copy / name).write_bytes(data),
      )
  flipped = bytearray((whole / 'weights.npz').read_bytes())
  flipped[len(flipped) // 2] ^= 1
  for what, data in (('a list', b'[]'), ('deep', b'[' * 100_000)):
    yield what, lambda copy, data=data: (copy / 'bundle.json').write_bytes(data)
  yield (
    'a bit of the weights',
    lambda copy: (copy / 'weights.npz').write_bytes(flipped),
  )
  yield (
    'files elsewhere',
    lambda copy: change_info(copy, files={'../../weights.npz': ''}),
  )
  for field, values in _FIELDS.items():
    for value in values:
      yield (
        f'{field}={value!r}',
        lambda copy, field=field, value=value: change_info(
          copy, **{field: value}
        ),
      )
  info = json.loads((whole / 'bundle.json').read_text())
  for section, fields in (
    ('model', _MODEL), ('extractor', _EXTRACTOR), ('ensembles', _ENSEMBLE)
  ):  # fmt: skip
    for field, values in fields.items():
      for value in values:
        old = info[section]
        new = [old[0] | {field: value}] if section == 'ensembles' else (
          old | {field: value}
        )  # fmt: skip
        yield (
          f'{section}.{field}={value!r}',
          lambda copy, new=new, s=section: change_info(copy, **{s: new}),
        )


def _forgeries(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy): other weights, with the right hashes."""
  with np.load(whole / 'weights.npz', allow_pickle=False) as file:
    arrays = dict(file)
  for name in ('params/hidden1/dense/kernel', 'batch_stats/hidden2/norm/mean'):
    name = f'ensembles/0/{name}'
    for what, change in _ARRAYS.items():
      new = {name: change(arrays[name])}
      yield f'{name} {what}', lambda copy, new=new: forge(copy, **new)
  for name in ('x', '../../../x', '/x'):
    yield (
      f'an array too many, {name}',
      lambda copy, name=name: forge(copy, **{name: np.zeros(3)}),
    )
  yield (
    'an array in the place of a folder',
    lambda copy: forge(copy, **{'ensembles/0': np.zeros(3)}),
  )
  yield 'no array', lambda copy: forge(copy, **dict.fromkeys(arrays))
  # A bomb takes a thousand times its size.
  yield 'compressed weights', lambda copy: forge(copy, np.savez_compressed)
  name = 'ensembles/0/params/output/bias'
  yield (
    'a header that lies',
    lambda copy: lie_about_size(copy, arrays[name], name),
  )
  yield (
    'weights that hide a pickle',
    lambda copy: replace_weights(copy, other_object('.npz')),
  )
  for what, data in (('empty', b''), ('text', b'no\n')):
    yield (
      f'weights: {what}',
      lambda copy, data=data: replace_weights(copy, data),
    )
  for what, change in ZIPS:
    yield (
      f'weights: {what}',
      lambda copy, change=change: (
        change(copy / 'weights.npz'),
        replace_weights(copy, (copy / 'weights.npz').read_bytes()),
      ),
    )


def _deaf(whole: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
  """(what, change of a copy) of a bundle of DCASE: its extractor."""
  extractor = json.loads((whole / 'bundle.json').read_text())['extractor']
  for field, values in _HEARS.items():
    for value in values:
      new = extractor | {field: value}
      yield (
        f'extractor.{field}={value!r}',
        lambda copy, new=new: change_info(copy, extractor=new),
      )
  for count in (0, 2):
    yield (
      f'{count} extractors',
      lambda copy, count=count: change_info(
        copy, extractors=['original'] * count
      ),
    )
  yield (
    'a kernel of another shape',
    lambda copy: forge(
      copy, **{'extractors/0/params/conv2/kernel': np.zeros((3, 3, 8, 9))}
    ),
  )
  yield 'without an ensemble', lambda copy: change_info(copy, ensembles=[])


def _tag(folder: Path) -> list:
  """Loads a bundle and tags a clip of embeddings with it."""
  found = store.load(folder)
  frames = np.zeros((10, 128), np.uint8)
  (tags,) = found.tag([frames])
  if isinstance(tags, UserError):
    raise tags
  if len(tags.tags) != 3 or not np.isfinite(tags.probabilities).all():
    raise Broken(f'{folder}: {tags}')
  return []
