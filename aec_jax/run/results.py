"""A finished experiment's results.json, checked before anything uses it.

What a command takes of it is there and of the right type, or is complained of
by its name.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aec_jax.errors import UserError
from aec_jax.run import files

FILE = 'results.json'
# Larger numbers are no counts, losses or scores, and not all whole ones floats.
_MOST = 2**63


class _Kind(NamedTuple):
  """What a value may be.

  Attributes:
    words: for it.
    types: of Python's.
  """

  words: str
  types: tuple[type, ...]


_TEXT = _Kind('text', (str,))
_COUNT = _Kind('a whole number', (int,))
_NUMBER = _Kind('a number', (int, float))
_NUMBER_OR_NULL = _Kind('a number or null', (int, float, type(None)))
_YES_OR_NO = _Kind('true or false', (bool,))
_ANYTHING = _Kind(
  'anything', (str, int, float, bool, type(None), list, dict)
)  # fmt: skip


class _Each(NamedTuple):
  """An object of any names, or a list, whose values are all of a kind.

  Attributes:
    kind: of the values.
    least: how many there are.
    most: the same; None is any number.
    container: dict or list.
  """

  kind: Any
  least: int = 0
  most: int | None = None
  container: Any = dict


class _Whole(dict):
  """The kinds of fields that must all be there."""


class _Some(NamedTuple):
  """An object of which some fields must be there.

  Attributes:
    needed: the kinds of these.
    beside: of those that need not be.
    rest: the kind of all others; None is any.
    empty: whether it may have no field.
  """

  needed: dict
  beside: dict
  rest: Any = None
  empty: bool = False


class _Either(NamedTuple):
  """A list, or an object; older results have lists.

  Attributes:
    a_list, an_object: their kinds.
  """

  a_list: Any
  an_object: Any


class _OrNull(NamedTuple):
  """What may be null, too.

  Attributes:
    kind: where it is not.
  """

  kind: Any


class _OneOf(tuple):
  """The words that a value may be."""


_NUMBERS = _Each(_NUMBER)
_COUNTS = _Each(_COUNT)
_ENTRIES = _Each({'file': _TEXT, 'reason': _TEXT}, container=list)
_LIST = _Each(_NUMBER, container=list)
# None of a member that has diverged, of a class without a scored clip.
_LACKING = _Each(_NUMBER_OR_NULL, container=list)
_BESIDE = {'members': _Each(_LACKING), 'scored': _NUMBERS}
_EVALUATION = _Some({'step': _COUNT, 'loss': _NUMBER}, _BESIDE, _NUMBER)
_START = _Some({'step': _COUNT}, _BESIDE, _NUMBER, empty=True)
_EVALUATIONS = _Each(_EVALUATION, least=1, container=list)
_TUNING = _Each(_EVALUATION, container=list)  # none of one that is fixed
_MEMBER = {'name': _TEXT, 'best_step': _COUNT, 'training_clips': _COUNT}
_SUSPECT = _Whole(
  clip=_TEXT, label=_TEXT, given=_NUMBER, better=_TEXT, found=_NUMBER,
  changed=_YES_OR_NO,
)  # fmt: skip
_INTERVAL = _Each(_NUMBER, least=2, most=2, container=list)
_LEARNED = _Whole({'scores': _NUMBERS, 'gain': _NUMBER,
                   'gain interval': _INTERVAL})  # fmt: skip
_GROUPS = _Each(
  _Whole(classes=_COUNT, clips=_COUNT, mAP=_NUMBER, AUC=_NUMBER), least=1
)
# The fields that something is made of; a dict has them where they are there.
_FIELDS = {
  'experiment': _TEXT,
  'expected': _NUMBERS,
  'config': {
    'name': _TEXT,
    'task': _TEXT,
    'data_dir': _ANYTHING,
    'dataset': _TEXT,
    'train_splits': _Each(_TEXT, container=list),
    'init_from': _TEXT,
    'metric': _TEXT,
    'objective': _TEXT,
    'seed': _COUNT,
    'test_shifts': _COUNT,
    'keep': _TEXT,
    'extractor': {'init': _TEXT, 'model': _TEXT},
  },
  'synthetic': _YES_OR_NO,
  'dataset_fingerprint': _TEXT,
  'n_train_examples': _COUNT,
  'n_training_clips': _COUNT,
  'n_examples': _COUNT,
  'best_step': _COUNT,
  'scored_on': _TEXT,
  'skipped': _ENTRIES,
  'notes': _ENTRIES,
  'data': {
    'clips': _Each(_COUNTS),
    'verified': _NUMBERS,
    'seconds': _Each(_Each(_NUMBER, container=list)),
    'without_class_above': _NUMBERS,
  },
  'versions': _Each(_TEXT),
  'metrics': _NUMBERS,
  'intervals': _Each(_INTERVAL),
  'per_class': _Each(_Each(_NUMBER_OR_NULL, least=1), least=1),
  'label_doctor': _Whole(
    examined=_COUNT,
    changed=_COUNT,
    list=_TEXT,
    suspects=_Each(_SUSPECT, container=list),
  ),
  'learned_ensembles': _Whole(
    fitted_to=_OneOf(('other folds', 'left out of training')),
    clips=_COUNT,
    mean=_Whole(scores=_NUMBERS),
    weights=_Whole(_LEARNED, of=_NUMBERS),
    stacking=_LEARNED,
  ),
  'hierarchy': _Whole(
    by_branch=_GROUPS,
    by_depth=_GROUPS,
    passed_up=_NUMBERS,
    unknown=_COUNT,
  ),
  'evaluations': _EVALUATIONS,
  'ensembles': _Each(
    _Some(
      {'evaluations': _EVALUATIONS},
      {
        'start': _START,
        'members': _Each(_MEMBER, container=list),
        'steps_a_pass': _NUMBER,
      },
    )
  ),
  'fine_tuning': _Each(
    _Either(
      _TUNING,
      _Some(
        {'evaluations': _TUNING}, {'start': _START, 'steps_a_pass': _NUMBER}
      ),
    )
  ),
  'folds': _Each(_Some({'n': _COUNT}, {}, _NUMBER)),
  # None is fitted to probabilities that are NaN.
  'decisions': _OrNull(
    {
      'ECE': _Whole(before=_NUMBER, after=_NUMBER),
      'calibration': _Whole(own=_Each(_YES_OR_NO, container=list)),
      'reliability': _Each(_Whole(probability=_LIST, share=_LIST)),
    }
  ),
  'parameters': _COUNTS,
  'seconds': _NUMBERS,
  'finished': _TEXT,
  'command': _TEXT,
}


def read(folder: str | Path, *needed: str) -> dict:
  """Reads the results of a finished experiment.

  Args:
    folder: its work folder.
    needed: keys that they must have. All that is there is of its type.

  Raises:
    UserError: they are not there, not whole, or not as they are written.
  """
  path = Path(folder) / FILE
  files.check_file(path)
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise UserError(f'{path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    raise _damaged(path, 'it is no JSON') from error
  if trouble := complaint(found, needed):
    raise _damaged(path, trouble)
  return found


def _damaged(path, trouble) -> UserError:
  return UserError(
    f'{path} is damaged: {trouble}; remove it, and the command that made it'
    ' writes it again'
  )


def complaint(found: Any, needed: Iterable[str]) -> str:
  """What is wrong with results, or with what a bundle repeats of them.

  Args:
    found: as they were read.
    needed: keys that they must have. All that is there is of its type.

  Returns:
    Words for it, with the field's name; '' where nothing is wrong.
  """
  if trouble := _trouble(found, _FIELDS, ''):
    return trouble
  lacking = [key for key in needed if key not in found]
  return f'it has no {lacking[0]!r}' if lacking else ''


def _trouble(value: Any, kind: Any, where: str) -> str:
  """What is wrong with a value; '' where nothing is."""
  if isinstance(kind, _Kind):
    # That of an AUC of 1 is infinite.
    fits = _is(value, kind) or ('d_prime' in where and value == float('inf'))
    return '' if fits else f'{where} is not {kind.words}'
  parts: list[tuple[Any, Any]]
  if isinstance(kind, _OneOf):
    return '' if value in kind else f'{where} is not {" or ".join(kind)}'
  if isinstance(kind, _OrNull):
    return '' if value is None else _trouble(value, kind.kind, where)
  if isinstance(kind, _Either):
    kind = kind.a_list if isinstance(value, list) else kind.an_object
  if isinstance(kind, _Each):
    if not isinstance(value, kind.container):
      what = 'a list' if kind.container is list else 'an object'
      return f'{where} is not {what}'
    if not kind.least <= len(value) <= (kind.most or len(value)):
      return f'{where} has {len(value)} values'
    keys = value if kind.container is dict else range(len(value))
    parts = [(key, kind.kind) for key in keys]
  elif not isinstance(value, dict):
    return f'{where or "it"} is not an object'
  else:
    known = _as_some(kind)
    lacking = [key for key in known.needed if key not in value]
    if lacking and (value or not known.empty):
      return f'{where} has no {lacking[0]!r}'
    inner = known.beside | known.needed
    parts = [(key, inner.get(key, known.rest)) for key in value]
    parts = [(key, kind) for key, kind in parts if kind is not None]
  troubles = (
    _trouble(value[key], inner, f'{where}.{key}' if where else str(key))
    for key, inner in parts
  )
  return next(filter(None, troubles), '')


def _as_some(kind: dict | _Some) -> _Some:
  if isinstance(kind, _Some):
    return kind
  whole = isinstance(kind, _Whole)
  return _Some(kind if whole else {}, {} if whole else kind)


def _is(value, kind: _Kind) -> bool:
  if isinstance(value, bool) and bool not in kind.types:
    return False  # which Python takes for a number
  if isinstance(value, int | float) and not _sensible(value):
    return False
  return isinstance(value, kind.types)


def _sensible(value: float) -> bool:
  """Whether a number is none (NaN), or of a size that figures can have."""
  return value != value or abs(value) <= _MOST
