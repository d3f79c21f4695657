"""Bad configs: values, flags and files that make no sense."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from ml_collections import ConfigDict

import aec_jax.main  # noqa: F401 (defines the flags)
from aec_jax import experiment
from aec_jax.errors import UserError
from aec_jax.run import console
from configs import audioset_level3, dcase_l6
from tests import dcase_data
from tests.bad_inputs.case import REFUSED, Broken, Case
from tests.bad_inputs.tfrecords import good_record, write_release

# (field, value) of a shipped AudioSet and DCASE config.
_VALUES = {
  audioset_level3: {
    'dataset': ('', 'speech'), 'sampling': ('', 'Balanced'),
    'objective': ('', 'binary'), 'metric': ('', 'MAP@3', 'mAp'),
    'segments': ((), (6,), (10, 10)),
    'extractor.model': ('', 'vggish', 'resnet'),
    'on_bad': ('', 'ignore'), 'examples_on': ('disk', 'gpu'),
    'batch_size': (0, -1, 2**40), 'max_steps': (0, 2**31),
    'eval_every': (0, -5), 'patience': (0,), 'checkpoint_every': (0,),
    'steps_per_dispatch': (-1, 10**6), 'seed': (-1, 2**31),
    'mixup_alpha': (-0.1, np.nan, np.inf), 'average': (-1.0, 1.0, np.nan),
    'optimizer.name': ('', 'Adam', 'lion'),
    'optimizer.learning_rate': (0.0, -1e-3, np.nan, np.inf),
    'optimizer.b1': (1.0, -0.1), 'optimizer.b2': (1.0, np.nan),
    'optimizer.momentum': (1.0,), 'optimizer.l1': (-1.0, np.nan),
    'optimizer.l2': (-1.0, np.inf),
    'model.name': ('', 'transformer'), 'model.dtype': ('float64', 'int8'),
    'model.hidden': ((), (0,), (-3, 4, 5), ('a',), (1.5,)),
    'model.levels': ((), (0,), (4,), ('3',)),
    'model.f_activation': ('gelu',), 'model.dropout': (-0.1, 1.0, np.nan),
    'model.bn_momentum': (-0.1, 1.0), 'model.heads': (0, 101),
    'train_splits': ((), ('test',), ('eval', 'eval'), (3,)),
    'eval_splits': ((), ('bal_trian',)), 'data_dir': ('nowhere', '\0'),
  },
  dcase_l6: {
    'dataset': ('', 'esc50'), 'on_bad': ('', 'ignore'),
    'on_diverged': ('ignore',), 'objective': ('binary',),
    'metric': ('mAP',), 'last_piece': ('', 'wrap'),
    'extractors': ((), ('balanced',), ('original', 'best_first'),
                   ('original', 'original'), ('released',)),
    'segments': ((), (-1,), (10**6,), ('6',), (6, 6)), 'folds': (1, 0, 10**6),
    'pitch_to': (-1,), 'mixup_alpha': (-1.0,),
    'classes': (('nothing',), (3,)), 'data_dir': ('nowhere',),
    'extractor.model': ('', 'resnet', 'released'),
    'extractor.init': ('nowhere.npz',),
    'extractor.width': (0.0, -1.0, np.nan, 100.0), 'extractor.hidden': (0,),
    'extractor.embedding_activation': ('gelu',),
    'extractor.dtype': ('float16',), 'extractor.examples_on': ('disk',),
    'extractor.batch_size': (0,), 'extractor.max_steps': (0,),
    'extractor.eval_every': (-1,), 'extractor.patience': (0,),
    'extractor.checkpoint_every': (0,),
    'extractor.optimizer.name': ('Adam',),
    'extractor.optimizer.learning_rate': (0.0, np.nan),
    'extractor.optimizer.cosine_steps': (-1,), 'extractor.frames': (-1, 50),
    'extractor.augment.mixup_alpha': (-1.0, np.nan),
    'extractor.augment.mask_frames': (-1, 97),
    'extractor.augment.mask_bands': (65,),
  },
}  # fmt: skip

# Fields that are sound alone, and what is said of them together.
_TOGETHER = (
  (
    audioset_level3,
    {'objective': 'single_label', 'metric': 'MAP@3'},
    'config.objective',
  ),
  (dcase_l6, {'objective': 'multi_label'}, 'config.metric'),
  (audioset_level3, {'model.name': 'lstm'}, 'model.hidden'),
  (audioset_level3, {'model.hidden': (8,)}, 'model.levels'),
  (audioset_level3, {'model.name': 'lstm', 'model.hidden': (8,)}, 'model'),
  (
    audioset_level3,
    {'eval_splits': ('bal_train', 'bal_train')},
    'bal_train, bal_train',
  ),
  (dcase_l6, {'model.name': 'dnn'}, 'f_activation'),
  (
    dcase_l6,
    {'extractor.model': 'baseline', 'extractor.init': 'x.npz'},
    'no weights for a baseline',
  ),
)
_SHIPPED = ('--config=configs/audioset_level3.py',)


def config_cases(folder: Path) -> Iterator[Case]:
  """Values that make no sense, names that are misspelt, wrong types."""
  release = write_release(folder / 'release', good_record())
  fsd = dcase_data.write_fsd(folder / 'fsd', train=6, test=6)
  data = {audioset_level3: release, dcase_l6: fsd}

  def refusing(module, fields, name):
    config = module.get_config()
    config.data_dir = str(data[module])
    config.extractor.init = 'random'
    if module is audioset_level3:
      config.train_splits = ('eval',)
    config.update_from_flattened_dict(fields)
    return lambda: _refusing(config, folder / name)

  for i, (module, fields, says) in enumerate(_TOGETHER):
    run = refusing(module, fields, f'together{i}')
    yield Case('config', f'{fields} together', REFUSED, run, says)
  for module, fields in _VALUES.items():
    for field, values in fields.items():
      for i, value in enumerate(values):
        run = refusing(module, {field: value}, f'{module.__name__}-{field}{i}')
        says = '' if 'splits' in field or 'data' in field else field
        says = 'class' if field == 'classes' else says
        says = 'nowhere' if 'nowhere' in str(value) else says
        yield Case('config', f'{field}={value!r}', REFUSED, run, says)
  for path in _leaves(audioset_level3.get_config()):
    name = path.rpartition('.')[2]
    if len(name) < 4:
      continue
    typo = f'--config.{path[:-2]}{path[-1]}{path[-2]}=1'
    if name[-1] == name[-2]:
      typo = f'--config.{path[:-1]}=1'
    # Of extractors and extractor, either is near.
    yield _flags('a misspelt ' + path, [typo], name.rstrip('s'))
  for option, says in (
    ('--config.batch_size=many', 'batch_size'),
    ('--config.seed=1.5', 'seed'),
    ('--config.model=3', 'model'),
    ('--config.model.hidden=(1,', 'hidden'),
    ('--config.model.batch_norm=maybe', 'batch_norm'),
    ('--config.optimizer.learning_rate=fast', 'learning_rate'),
    ('--config.optimizer.learning_rate.x=1', ''),
    ('--mode=tset', 'mode'),
    ('--wokdir=x', 'workdir'),
  ):
    yield _flags(option, [option], says)
  for i, (what, text) in enumerate((
    ('that is missing', None), ('that is no Python', 'def get_config(:'),
    ('without get_config', 'x = 1'), ('that fails', 'x = 1 / 0'),
    ('that gives a number', 'get_config = lambda: 3'),
    ('that imports what is not there', 'import nothing_of_the_kind'),
    ('that gives no experiment',
     'from ml_collections import ConfigDict as get_config'),
  )):  # fmt: skip
    path = folder / f'config{i}.py'
    if text is not None:
      path.write_text(text)
    yield _flags(f'a file {what}', [f'--config={path}'], '', ())


def _leaves(config, prefix='') -> list[str]:
  """'model.dropout' and so on."""
  found = []
  for name, value in config.items():
    inner = isinstance(value, ConfigDict)
    found += _leaves(value, f'{prefix}{name}.') if inner else [prefix + name]
  return found


def _refusing(config, work: Path) -> list:
  try:
    experiment.run(config, work, work.with_name(f'{work.name}-cache'))
  except UserError:
    # Else the mended config would be refused as another experiment's.
    if (work / 'experiment.json').exists():
      raise Broken('the work folder is claimed') from None
    raise
  return []


def _flags(what: str, options: list[str], says: str, first=_SHIPPED) -> Case:
  argv = ['main', *first, *options]

  def run():
    before = sys.argv
    flags.FLAGS.unparse_flags()
    sys.modules.pop('config_config', None)  # the file before
    try:
      console.parse_flags(argv)
    finally:
      sys.argv = before
    return []

  return Case('config', what, REFUSED, run, says)
