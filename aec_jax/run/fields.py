"""The fields of an experiment's config: defaults, ranges, and what they change.

The one list of them. Optimisers and augmentations add their own to it, where
they stand; the fields of `model` are those of its Flax module. A field that an
older work folder, cache entry or bundle lacks equals its default, so a new one
refuses nobody's work.
"""

import copy
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from aec_jax.errors import UserError, check_choice

_ANY = 2**31 - 1
# In the place of a path: no weights, but random ones.
_RANDOM = 'random'
# What products are rounded to; 'auto' by `models.layers.product_dtype`.
DTYPES = ('auto', 'bfloat16', 'float32')


@dataclasses.dataclass(frozen=True)
class Field:
  """A field of the config.

  Attributes:
    default: its value where nobody says otherwise; None: by the data's size.
    low, high: the least and the most that it may be.
    choices: what it may be.
    role: 'what' changes what is computed; 'free' may change in a used work
      folder although it changes the result (how long, what is tolerated);
      'how' says where things lie and how they are done.
    is_path: whether it names a file or a folder. Of such a 'what' counts only
      that it does: what lies there is in the data's fingerprint.
  """

  default: Any
  low: float | None = None
  high: float | None = None
  choices: tuple[str, ...] = ()
  role: str = 'what'
  is_path: bool = False


def _training(role: str = 'what') -> dict[str, Field]:
  """The fields of whatever is trained; `role` of those that say how long."""
  return {
    'batch_size': Field(None, 1, 2**24),
    'max_steps': Field(None, 1, _ANY, role=role),
    'eval_every': Field(None, 1, _ANY),
    'patience': Field(None, 1, _ANY, role=role),
    # What is scored in the end: the 'best' evaluation's variables, and training
    # stops when `patience` of them bring no better; or the 'last' step's, so
    # that no clip chooses it. Out of fold, where this holds of extractors and
    # classifiers, all clips of the other folds train.
    'keep': Field('best', choices=('best', 'last')),
    'checkpoint_every': Field(500, 1, _ANY, role='how'),
    # 0: few on a CPU, and all to the next evaluation or checkpoint on an
    # accelerator.
    'steps_per_dispatch': Field(0, 0, 10_000, role='how'),
    # Where the training examples rest.
    'examples_on': Field('device', choices=('device', 'host'), role='how'),
    # Decay of a running mean of the parameters that is scored in their place;
    # 0 scores the parameters as they are, as the thesis does.
    'average': Field(0.0, 0, 0.999999),
  }


FIELDS: dict[str, Field] = {
  'name': Field(''),
  # 'audioset' (released embeddings), 'fsdkaggle2018', or 'folder': recordings
  # in any layout that docs/data.md names.
  'dataset': Field('folder'),
  # Where the data set lies; empty: a synthetic one is made.
  'data_dir': Field('', role='how', is_path=True),
  # Of AudioSet, which of its splits.
  'train_splits': Field(()),
  'eval_splits': Field(()),
  # The share of its training clips that is held out to choose the step by; 0:
  # the step is the best one on what is scored, as the thesis has it.
  'holdout': Field(0.0, 0, 0.5),
  # The floats that 0 and 255 of AudioSet's embeddings stand for, where records
  # hold floats: (-2, 2) before the release's quantisation; empty: refused.
  'float_range': Field(()),
  # Classifiers of AudioSet's embeddings: trained side by side, and averaged.
  'members': Field(1, 1, 1000),
  # Finished experiments, or bundles, as 'DIR,DIR', whose probabilities the
  # training clips' targets are made of in part, and in how large a part.
  'teacher': Field('', role='how', is_path=True),
  'teacher_weight': Field(0.0, 0, 1),
  # A finished experiment, or its bundle, whose extractors and hidden layers
  # training starts from.
  'init_from': Field('', role='how', is_path=True),
  # Whether training clips have the classes above their labels, too, by the
  # ontology.json beside the class list. What is scored keeps its labels.
  'pass_up': Field(False),
  # What a clip's labels are: see `aec_jax.objective`.
  'objective': Field('single_label'),
  # Between the labels of a cell of a list; empty: found out.
  'label_separator': Field(''),
  # Names of some classes to use, all when empty.
  'classes': Field(()),
  # What a record or a file does that is damaged, missing, silent or of another
  # scale: 'skip' counts and lists it, 'error' stops.
  'on_bad': Field('skip', choices=('skip', 'error'), role='how'),
  # What a member does whose training diverges: 'error' stops, 'skip' leaves it
  # out and names it.
  'on_diverged': Field('error', choices=('skip', 'error'), role='free'),
  'seed': Field(0, 0, _ANY),
  # Whether GPUs take only kernels that give the same bits every time.
  'deterministic': Field(False, role='how'),
  'synthetic.clips_per_class': Field(12, 2, 10_000),
  'synthetic.test_per_class': Field(4, 0, 10_000),
  # The share of wrong labels among those that are not verified.
  'synthetic.wrong_labels': Field(0.2, 0, 1),
  # Which extractors; 'original' is not fine-tuned.
  'extractors': Field(
    ('balanced_first', 'balanced_last', 'unbalanced_first', 'unbalanced_last')
  ),
  # A row of `aec_jax.models.extractors.EXTRACTORS`.
  'extractor.model': Field('vggish'),
  # What training starts from: a file of VGGish's weights, or 'random'.
  'extractor.init': Field('', is_path=True),
  'extractor.width': Field(None, 0.001, 16),
  # Frames of an example; 0: as many as the extractor has by itself.
  'extractor.frames': Field(0, 0, 10_000),
  # What becomes of less than an example at a clip's end: 'drop' it as the
  # thesis, or 'repeat' the clip's beginning after it.
  'extractor.tail': Field('drop', choices=('drop', 'repeat')),
  'extractor.hidden': Field(100, 1, 100_000),
  'extractor.embedding_activation': Field('linear'),
  'extractor.batch_norm': Field(None),
  'extractor.dtype': Field('auto', choices=DTYPES),
  **{f'extractor.{k}': v for k, v in _training().items()},
  'extractor.batch_size': Field(41, 1, 2**24),
  'extractor.checkpoint_every': Field(200, 1, _ANY, role='how'),
  # Segments of a piece, L; several train an ensemble each. 0 leaves clips
  # whole, of different lengths.
  'segments': Field((6,)),
  # What becomes of a last piece that would not be full: 'repeat' as the thesis,
  # 'align' it to the clip's end, or 'mask' what it lacks.
  'last_piece': Field('repeat', choices=('repeat', 'align', 'mask')),
  # Clips of each class with pitch-shifted copies; 0 makes none.
  'pitch_to': Field(0, 0, 1_000_000),
  # Of clips that have no fold of their own.
  'folds': Field(5, 2, 1000),
  # What a clip's loss counts whose label nobody has verified.
  'unverified_weight': Field(1.0, 0, 1),
  'sampling': Field('balanced', choices=('balanced', 'unbalanced')),
  'mixup_alpha': Field(0.0, 0, 1e3),
  # What early stopping goes by: any score of the objective.
  'metric': Field('MAP@3'),
  **_training('free'),
  # Steps of which a profile is taken, 'FIRST-LAST'; empty: of none.
  'profile_steps': Field('', role='how'),
  # At how many offsets, evenly spaced over an example's step, a recording is
  # cut to be scored and tagged; trained on and stopped by it is as at 1.
  'test_shifts': Field(1, 1, 16, role='free'),
  # The scores of the thesis's row.
  'expected': Field({}, role='how'),
}

# Of the model, whichever it is: ranges alone.
_MODEL_RANGES = {
  'dropout': (0, 0.999), 'bn_momentum': (0, 0.999999), 'heads': (1, 100),
}  # fmt: skip

# Fields of a model that came later, and what cached members without them have.
_LATER_OF_MODEL = {'model.heads': 1}

# Of `model.dtype`, what stands in the names of cached members. By default it
# was 'float32' before there was 'auto', which keeps that name. A float32 that
# is asked for has another one, or on accelerators it would be given what
# 'auto' has trained there.
_DTYPE_OF_MEMBERS = {'auto': 'float32', 'float32': 'float32 everywhere'}

# What only one kind of data asks for: AudioSet's embeddings, or recordings.
_OF_EMBEDDINGS = (
  'train_splits', 'eval_splits', 'holdout', 'float_range', 'members', 'teacher',
  'teacher_weight', 'pass_up',
)  # fmt: skip
_OF_RECORDINGS = (
  'extractor', 'extractors', 'pitch_to', 'folds', 'synthetic', 'classes',
  'label_separator', 'unverified_weight', 'test_shifts',
)  # fmt: skip

# Fields that are gone or have another name, and where their value goes.
RENAMED = {
  'damaged': 'on_bad',
  'extractor.cosine_steps': 'extractor.optimizer.cosine_steps',
  'task': None,
  'loss': None,
}
# What `task`, of older work folders, stood for.
_OF_TASK: dict[str, dict[str, Any]] = {
  'audioset': {
    'dataset': 'audioset', 'objective': 'multi_label', 'segments': (10,),
    'last_piece': 'mask', 'extractors': ('released',),
    'extractor.model': 'released',
  },
  'dcase': {'objective': 'single_label'},
}  # fmt: skip


def add(section: str, found: Mapping[str, Field]) -> None:
  """Adds the fields of a section, such as 'optimizer', to the list."""
  FIELDS.update({f'{section}.{name}': field for name, field in found.items()})


def defaults() -> dict:
  """All fields but `model`, as nested dicts."""
  return nested({path: copy.copy(f.default) for path, f in FIELDS.items()})


def nested(flat: Mapping[str, Any]) -> dict:
  """{'a.b': 1} to {'a': {'b': 1}}."""
  out: dict = {}
  for path, value in flat.items():
    *parents, name = path.split('.')
    section = out
    for parent in parents:
      section = section.setdefault(parent, {})
    section[name] = value
  return out


def flattened(config: Mapping, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """('a.b', 1), …; a section that is a field, as `expected`, stays whole."""
  for name, value in config.items():
    path = f'{prefix}{name}'
    if isinstance(value, Mapping) and path not in FIELDS:
      yield from flattened(value, f'{path}.')
    else:
      yield path, value


def allowed(field: Field) -> str:
  """What a field may be, in words; '' where that is not known here."""
  if field.choices:
    return f'one of {", ".join(field.choices)}'
  return '' if field.low is None else f'{field.low:,} to {field.high:,}'


def role(path: str) -> str:
  """Of a field; those of `model` all change what is computed."""
  return FIELDS[path].role if path in FIELDS else 'what'


def matters(path: str, config) -> bool:
  """Whether a config has a field, and its kind of data asks for it."""
  path = RENAMED.get(path) or path
  known = path in dict(flattened(config.to_dict()))
  other = _OF_RECORDINGS if config.dataset == 'audioset' else _OF_EMBEDDINGS
  return known and path.partition('.')[0] not in other


def upgraded(record: Mapping) -> dict[str, Any]:
  """The fields of an older record of a config, flat, by their names of today.

  What it lacks is not in it: it equals its default.
  """
  flat = dict(flattened(record))
  out = dict(_OF_TASK.get(flat.get('task', ''), {}))
  for path, value in flat.items():
    name = RENAMED.get(path, path)
    if name is not None:
      out[name] = value
  # It was 0.5 by default, and without a teacher counts nothing.
  if 'teacher_weight' in out and not out.get('teacher'):
    out['teacher_weight'] = FIELDS['teacher_weight'].default
  return out


def renamed_option(option: str) -> str | None:
  """A command-line option by the name of today, None where it is gone."""
  field, _, value = option.removeprefix('--config.').partition('=')
  if not option.startswith('--config.') or field not in RENAMED:
    return option
  new = RENAMED[field]
  what = f'config.{new} now' if new else 'gone: it is ignored'
  print(f'config.{field} is {what}', file=sys.stderr)
  return new and f'--config.{new}={value}'


def changed(flat: Mapping[str, Any]) -> dict[str, Any]:
  """The fields that change what is computed and are not at their default."""
  default = {path: f.default for path, f in FIELDS.items()} | _LATER_OF_MODEL
  found = {
    path: value
    for path, value in flat.items()
    if role(path) == 'what'
    and not (path in default and _same(default[path], value))
  }
  if 'model.dtype' in found:
    dtype = found['model.dtype']
    found['model.dtype'] = _DTYPE_OF_MEMBERS.get(dtype, dtype)
  return found


def differences(
  before: Mapping[str, Any],
  after: Mapping[str, Any],
  model: Mapping,
  roles: tuple[str, ...] = ('what',),
) -> list[str]:
  """Which fields of two configs differ.

  Args:
    before, after: flat, as `upgraded` returns them.
    model: the defaults of the model's own fields.
    roles: of the fields to look at.

  Returns:
    'config.seed: 0 there, 1 here', …
  """
  default = {path: f.default for path, f in FIELDS.items()}
  default |= {f'model.{name}': value for name, value in model.items()}
  out = []
  for path in sorted(before.keys() | after.keys()):
    if role(path) not in roles:
      continue
    a, b = (flat.get(path, default.get(path)) for flat in (before, after))
    # Or none is given, to score again: training asks for one.
    if path in FIELDS and FIELDS[path].is_path and _RANDOM not in (a, b):
      continue
    if not _same(a, b) and not _goes_on(path, a, b):
      out.append(f'config.{path}: {a} there, {b} here')
  return out


def _goes_on(path: str, before, after) -> bool:
  """Whether work of the default of then is taken for the default of now.

  Not the other way round: on accelerators 'auto' is not float32.
  """
  dtype = path in ('model.dtype', 'extractor.dtype')
  return dtype and (before, after) == ('float32', 'auto')


def names_place(path: str, value) -> bool:
  """Whether a field's value is the path of a file or folder."""
  return (
    path in FIELDS and FIELDS[path].is_path and bool(value) and value != _RANDOM
  )


def places(config: Mapping) -> dict[str, str]:
  """The paths that a config, or a record of one, names, by their fields."""
  flat = upgraded(config)
  return {path: value for path, value in flat.items()
          if names_place(path, value)}  # fmt: skip


def _same(a, b) -> bool:
  """Equality after JSON, which has no tuples."""
  return _plain(a) == _plain(b)


def _plain(x):
  return [_plain(y) for y in x] if isinstance(x, list | tuple) else x


def check(config) -> None:
  """Raises `UserError` for a field that is out of its range or choices.

  Args:
    config: as `aec_jax.presets.resolve` returns it.
  """
  flat = dict(flattened(config.to_dict()))
  for path, field in FIELDS.items():
    value = flat.get(path, field.default)
    if field.choices:
      check_choice(f'config.{path}', value, field.choices)
    _check_range(path, value, field.low, field.high)
  for name, (low, high) in _MODEL_RANGES.items():
    _check_range(f'model.{name}', flat.get(f'model.{name}'), low, high)
  _check_kind(config)


def _check_kind(config):
  """Raises `UserError` for a field that only embeddings have a use for."""
  if config.dataset == 'audioset':
    return
  for name in _OF_EMBEDDINGS:
    if not _same(config.get(name, FIELDS[name].default), FIELDS[name].default):
      raise UserError(
        f"config.{name} is for classifiers of AudioSet's embeddings, and"
        f' config.dataset is {config.dataset!r}: leave it out'
      )


def _check_range(path, value, low, high):
  if value is not None and low is not None and not low <= value <= high:
    raise UserError(f'config.{path} is {value}; it must be {low} to {high}')
