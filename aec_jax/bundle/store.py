"""Bundles: the folder that a user carries away, and how it is read.

  bundle.json   format version, labels, front end, modules, scores, config, and
                the SHA-256 of the other two
  weights.npz   flat: extractors/I/…, ensembles/I/… (a leading member axis)
  README.md     the model card

Nothing in a bundle is run or unpickled, and no other file is opened.
"""

import dataclasses
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.audio import FrontEnd
from aec_jax.bundle.card import card
from aec_jax.bundle.tagger import Ensemble, Tagger, modules
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.input.pieces import LAST_PIECES
from aec_jax.models import convert, embedding_postprocess, extractors
from aec_jax.objective import OBJECTIVES
from aec_jax.run import files

# Format 1 had `task`, `loss` and `wrap`; it is still read.
FORMAT = 2
FOLDER = 'bundle'
WEIGHTS = 'weights.npz'
_INFO, _CARD = 'bundle.json', 'README.md'

# What is done before log-mel, and in what precision that is kept: experiments
# on recordings keep theirs on disk, as float16; released embeddings come from
# sound as it is.
_OF_RECORDINGS: dict[str, Any] = {
  'trim_db': 60.0, 'peak_normalise': True, 'precision': 'float16'
}  # fmt: skip
_OF_RELEASED: dict[str, Any] = {
  'trim_db': None, 'peak_normalise': False, 'precision': 'float32'
}  # fmt: skip
# The fields of `config.extractor` that make its module.
_EXTRACTOR = (
  'model', 'init', 'embedding_activation', 'width', 'dtype', 'batch_norm',
  'hidden', 'frames',
)  # fmt: skip
# What fails where a bundle was written by somebody else, for other purposes.
_MALFORMED = (
  *UNREADABLE, ArithmeticError, AttributeError, flax.errors.FlaxError,
)  # fmt: skip
_LONGEST = 100_000  # segments of a piece: a day
# What a results.json has that a bundle repeats.
_RESULTS = (
    'experiment', 'metrics', 'expected', 'n_examples', 'n_train_examples',
    'scored_on', 'best_step', 'dataset_fingerprint', 'versions',
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
  """What a bundle holds, checked.

  Attributes:
    info: what `bundle.json` holds, as of the newest format.
    extractors: the variables of each.
    ensembles: of classifiers.
  """

  info: dict
  extractors: list[dict]
  ensembles: list[Ensemble]


def write(
  workdir: Path,
  config,
  results: dict,
  classes: Sequence[str],
  trained: dict[str, dict],
  ensembles: Sequence[Ensemble],
) -> None:
  """Writes `workdir/bundle`, whole or not at all, in place of an older one.

  Args:
    workdir: of the finished experiment.
    config: of it, resolved.
    results: what results.json holds.
    classes: names.
    trained: {name: variables} of the extractors; of released embeddings none.
    ensembles: of classifiers; of the baseline none.
  """
  weights: dict[str, np.ndarray] = {}
  for kind, all_variables in (
    ('extractors', trained.values()),
    ('ensembles', [e.variables for e in ensembles]),
  ):
    for i, variables in enumerate(all_variables):
      flat = flax.traverse_util.flatten_dict(variables, sep='/')
      weights |= {f'{kind}/{i}/{k}': np.asarray(x) for k, x in flat.items()}
  section = config.extractor
  before = _OF_RECORDINGS
  if extractors.row(section).quantised:
    before = _OF_RELEASED
  info = {
    'format': FORMAT,
    'objective': config.objective,
    'classes': list(classes),
    'front_end': before | extractors.front_end(section)._asdict(),
    'extractor': {name: section[name] for name in _EXTRACTOR},
    'extractors': list(trained),
    'model': config.model.to_dict() if ensembles else None,
    'ensembles': [
      {'length': int(e.length), 'last_piece': e.last_piece,
       'extractors': np.asarray(e.extractors).tolist(),
       'members': list(e.members)}
      for e in ensembles
    ],
    **{name: results[name] for name in _RESULTS if name in results},
    'synthetic': not config.data_dir,
    'config': _without_paths(config),
  }  # fmt: skip
  info['extractor']['init'] = info['config']['extractor']['init']
  with files.whole_folder(workdir / FOLDER, replace=True) as folder:
    np.savez(folder / WEIGHTS, **weights)  # type: ignore[arg-type]
    (folder / _CARD).write_text(card(info), encoding='utf-8')
    info['files'] = {n: _sha256(folder / n) for n in (WEIGHTS, _CARD)}
    files.write_json(folder / _INFO, info)


def _without_paths(config) -> dict:
  """The config, without where things lay on the machine that trained."""
  out = config.to_dict() | {'data_dir': ''}
  init = os.path.basename(out['extractor']['init'])
  out['extractor'] = out['extractor'] | {'init': init}
  return json.loads(json.dumps(out))


def _sha256(path: Path) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def read(bundle: str | os.PathLike) -> Stored:
  """Reads a bundle.

  Raises:
    UserError: the folder is no bundle, a file of it is missing or changed, it
      is of another format, or its weights are not those of its modules.
  """
  folder = Path(bundle)
  info = _read_info(folder)
  for name in (WEIGHTS, _CARD):
    _check_file(folder / name, info.get('files'))
  try:
    info = _upgraded(info)
    _check_info(info)
    return Stored(info, *_variables(folder / WEIGHTS, info))
  except _MALFORMED as error:
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())
    raise UserError(
      f'{folder}: not a bundle that this version reads ({reason:.300})'
    ) from error


def load(
  bundle: str | os.PathLike,
  vggish_path: str | os.PathLike | None = None,
  pca_path: str | os.PathLike | None = None,
) -> Tagger:
  """The tagger of a bundle.

  Args:
    bundle: its folder.
    vggish_path, pca_path: for a bundle of released embeddings to hear sound:
      the file of `python -m aec_jax.models.convert`, and the released
      `vggish_pca_params.npz`.

  Raises:
    UserError: as `read` does, or the two paths don't fit it.
  """
  stored = read(bundle)
  released, pca = _released(stored.info, vggish_path, pca_path)
  return Tagger(
    stored.info, stored.extractors + released, stored.ensembles, pca
  )


def _upgraded(info: dict) -> dict:
  """What the newest format would hold."""
  if info['format'] == FORMAT:
    return info
  released = info['task'] == 'audioset'
  extractor = {'init': '', 'frames': 0, **info['extractor']}
  if released:
    extractor['model'] = 'released'
  objectives = {'binary': 'multi_label', 'categorical': 'single_label'}
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


def _read_info(folder: Path) -> dict:
  path = folder / _INFO
  try:
    info = json.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise UserError(
      f'{folder} is no bundle (no readable {_INFO}: {error.strerror}); give'
      ' the folder bundle/ of a finished experiment'
    ) from error
  except (ValueError, RecursionError) as error:
    raise UserError(f'{path} is damaged: {error}') from error
  found = info.get('format') if isinstance(info, dict) else None
  if found not in (1, FORMAT):
    raise UserError(
      f'{path} has format {found!r}, and this version reads formats 1 and'
      f' {FORMAT}'
    )
  return info


def _check_file(path: Path, digests) -> None:
  try:
    found = _sha256(path)
  except OSError as error:
    raise UserError(
      f'{path} cannot be read ({error.strerror}): copy the whole bundle'
    ) from error
  if not isinstance(digests, dict) or digests.get(path.name) != found:
    raise UserError(
      f'{path} is not the file that the bundle was made with: copy it again'
    )


def _check_info(info: dict) -> None:
  """Raises `ValueError` for a value that `write` never writes."""
  names, section = info['extractors'], SimpleNamespace(**info['extractor'])
  released = section.model == 'released'
  sound = {
    'experiment': isinstance(info['experiment'], str),
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
  before = _OF_RELEASED if released else _OF_RECORDINGS
  if info['front_end'] != before | extractors.front_end(section)._asdict():
    raise ValueError('it was made with another front end')


def _are_names(value) -> bool:
  return isinstance(value, list) and all(isinstance(x, str) for x in value)


def _is_ensemble(value, extractors: int) -> bool:
  return (
    value['length'] in range(1, _LONGEST + 1)
    and value['last_piece'] in LAST_PIECES
    and _are_names(value['members'])
    and len(value['members']) in (0, len(value['extractors']))
    and bool(value['extractors'])
    and all(i in range(extractors) for i in value['extractors'])
  )


def _variables(path, info) -> tuple[list[dict], list[Ensemble]]:
  with np.load(path, allow_pickle=False) as file:
    # Stored as they are, so that they take the memory of the file's size.
    if any(i.compress_type != zipfile.ZIP_STORED for i in file.zip.infolist()):
      raise ValueError(f'{path.name} is compressed')
    arrays = dict(file)
  _check_arrays(path.name, arrays, _shapes(info))
  tree = flax.traverse_util.unflatten_dict(arrays, sep='/')
  trained = [tree['extractors'][str(i)] for i in range(len(info['extractors']))]
  ensembles = [
    Ensemble(
      int(e['length']),
      e['last_piece'],
      np.array(e['extractors'], np.int32),
      tuple(e['members']),
      tree['ensembles'][str(i)],
    )
    for i, e in enumerate(info['ensembles'])
  ]
  return trained, ensembles


def _shapes(info) -> dict[str, tuple[int, ...]]:
  """{'extractors/0/params/conv1/kernel': (3, 3, 1, 64), …}: all weights."""
  try:
    extractor, classifier = modules(info)
  except UserError as error:  # of a config, which the user has not written
    raise ValueError(str(error)) from error
  found: dict[str, tuple[int, ...]] = {}
  section = SimpleNamespace(**info['extractor'])
  if info['extractors']:
    spec = FrontEnd(**{k: info['front_end'][k] for k in FrontEnd._fields})
    one = _shapes_of(extractor, jnp.zeros((1, spec.frames, spec.bands)))
    for i in range(len(info['extractors'])):
      found |= {f'extractors/{i}/{name}': shape for name, shape in one.items()}
  if classifier:
    segment = jnp.zeros((1, 1, extractors.embedding_size(section)))
    one = _shapes_of(classifier, segment, jnp.ones((1, 1), bool))
    for i, e in enumerate(info['ensembles']):
      members = len(e['extractors'])
      found |= {
        f'ensembles/{i}/{name}': (members, *shape)
        for name, shape in one.items()
      }
  return found


def _shapes_of(module, *inputs) -> dict[str, tuple[int, ...]]:
  """Of a module's variables, by name, without making any."""
  found = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
  flat = flax.traverse_util.flatten_dict(found, sep='/')
  return {name: x.shape for name, x in flat.items()}


def _check_arrays(file: str, found: dict, wanted: dict) -> None:
  """Raises `ValueError` unless arrays have their names, shapes and types."""
  for name in sorted(found.keys() ^ wanted.keys()):
    fault = 'lacks' if name in wanted else 'has the unknown'
    raise ValueError(f'{file} {fault} {name}')
  for name, shape in wanted.items():
    array = found[name]
    if array.shape != shape or array.dtype != np.float32:
      raise ValueError(
        f'{file}: {name} is {array.dtype} {array.shape}, not float32 {shape}'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{file}: {name} has NaN or infinite weights')


def _released(info, vggish_path, pca_path):
  """The released VGGish's variables and PCA, where they are given."""
  if not vggish_path and not pca_path:
    return [], None
  if info['extractor']['model'] != 'released':
    raise UserError(
      '--vggish and --pca are for bundles of AudioSet experiments; this one'
      ' has its own extractors'
    )
  if not vggish_path or not pca_path:
    missing = 'pca' if vggish_path else 'vggish'
    raise UserError(f'--{missing} is missing: VGGish and its PCA go together')
  params, width = convert.load_any_width(str(vggish_path))
  info['extractor'] = info['extractor'] | {'width': width}
  pca = embedding_postprocess.load_pca(str(pca_path))
  return [{'params': params}], pca


def from_arguments(arguments) -> Tagger:
  """The tagger that the options of a `console.BundleParser` name.

  Compiled programs are kept in the user's cache folder, so that the next
  command starts faster: $XDG_CACHE_HOME/aec_jax/xla, or ~/.cache/aec_jax/xla.
  """
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  folder = os.path.join(home, 'aec_jax', 'xla')
  jax.config.update('jax_compilation_cache_dir', folder)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  return load(arguments.bundle, arguments.vggish, arguments.pca)
