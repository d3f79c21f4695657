"""What a `bundle.json` may hold."""

from types import SimpleNamespace
from typing import Any

from aec_jax.bundle import checks, decisions
from aec_jax.input import shifts
from aec_jax.input.pieces import LAST_PIECES
from aec_jax.models import extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import fields, results

# Format 1 had `task`, `loss` and `wrap`; it is still read.
FORMAT = 2
_LONGEST = 100_000  # segments of a piece: a day
# What it repeats of results.json, of the same types: what its card and the page
# of a demo tell, and what they can do without.
_TOLD = (
  'experiment', 'metrics', 'expected', 'n_examples', 'n_train_examples',
  'dataset_fingerprint', 'versions', 'synthetic', 'config',
)  # fmt: skip
_BESIDE = ('scored_on', 'best_step', 'scored_fingerprint')

# What is done before log-mel, and in what precision that is kept: experiments
# on recordings keep theirs on disk, as float16; released embeddings come from
# sound as it is.
OF_RECORDINGS: dict[str, Any] = {
  'trim_db': 60.0, 'peak_normalise': True, 'precision': 'float16'
}  # fmt: skip
OF_RELEASED: dict[str, Any] = {
  'trim_db': None, 'peak_normalise': False, 'precision': 'float32'
}  # fmt: skip


def step(info: dict) -> int | None:
  """Frames from one example to the next; None of released embeddings."""
  released = info['extractor']['model'] == 'released'
  return None if released else info['front_end']['step']


def upgraded(info: dict) -> dict:
  """What the newest format would hold."""
  if info['format'] == FORMAT:
    return info
  released = info['task'] == 'audioset'
  extractor = {'init': '', 'frames': 0, **info['extractor']}
  if released:
    extractor['model'] = 'released'
  objectives = {'binary': 'multi_label', 'categorical': 'single_label'}
  # The first bundles did not tell whether they are of a synthetic set.
  info = {'synthetic': False, **info}
  return info | {
    'objective': objectives[info['loss']],
    'front_end': {'step': info['front_end']['frames'], **info['front_end']},
    'extractor': extractor,
    'ensembles': [
      e | {'last_piece': 'repeat' if e['wrap'] else 'mask', 'members': []}
      for e in info['ensembles']
    ],
    'config': {'dataset': 'audioset', **info['config']},
  }


def check(info: dict) -> None:
  """Raises `ValueError` for a value that `store.write` never writes."""
  names, section = info['extractors'], SimpleNamespace(**info['extractor'])
  released = section.model == 'released'
  checks.check_sizes(info)
  sound = {
    'experiment': _are_names([info['experiment']]),
    'objective': info['objective'] in tuple(OBJECTIVES),
    'classes': _are_names(info['classes']) and info['classes'],
    # Released embeddings have none, recordings are never without.
    'extractors': _are_names(names) and bool(names) != released,
    'ensembles': isinstance(info['ensembles'], list)
    and (info['ensembles'] or not released)
    and all(_is_ensemble(e, len(names) or 1) for e in info['ensembles']),
  }
  for name, is_sound in sound.items():
    if not is_sound:
      raise ValueError(f'{name} is {info[name]!r:.80}')
  # A classifier's is looked at where it is built.
  dtype = getattr(section, 'dtype', 'float32')
  if dtype not in fields.DTYPES:
    raise ValueError(f'extractor.dtype is {dtype!r:.80}')
  decisions.check(info.get('decisions'), len(info['classes']))
  before = OF_RELEASED if released else OF_RECORDINGS
  if info['front_end'] != before | extractors.front_end(section).record():
    raise ValueError('it was made with another front end')
  _check_told(info)
  config = info['config']
  for count in (info.get('test_shifts', 1), config.get('test_shifts', 1)):
    if type(count) is not int or not 1 <= count <= shifts.most(step(info)):
      raise ValueError(f'test_shifts is {count!r:.80}')


def _check_told(info):
  """Raises `ValueError` for what cannot be told of the experiment."""
  told = {name: info[name] for name in (*_TOLD, *_BESIDE) if name in info}
  if trouble := results.complaint(told, _TOLD):
    raise ValueError(trouble)
  config = info['config']
  if 'dataset' not in config:
    raise ValueError("config has no 'dataset'")
  # Every command says it in a line.
  if not checks.check_names([config.get('init_from', '')]):
    raise ValueError(f'config.init_from is {config["init_from"]!r:.80}')


def _are_names(value) -> bool:
  named = isinstance(value, list) and all(isinstance(x, str) for x in value)
  return named and checks.check_names(value)


def _is_ensemble(value, extractors: int) -> bool:
  return (
    value['length'] in range(1, _LONGEST + 1)
    and value['last_piece'] in LAST_PIECES
    and _are_names(value['members'])
    and len(value['members']) in (0, len(value['extractors']))
    and bool(value['extractors'])
    and all(i in range(extractors) for i in value['extractors'])
  )
