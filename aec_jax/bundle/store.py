"""Bundles: the folder that a user carries away, and how it is read.

  bundle.json   format version, labels, front end, modules, scores, config, and
                the SHA-256 of the other two
  weights.npz   flat: extractors/I/…, ensembles/I/… (a leading member axis)
  README.md     the model card

Nothing in a bundle is run or unpickled, and no other file is opened.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.audio import FRONT_END
from aec_jax.bundle.tagger import Ensemble, Tagger, modules
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.models import convert, embedding_postprocess

FORMAT = 1
_INFO, _WEIGHTS, _CARD = 'bundle.json', 'weights.npz', 'README.md'

# What each task does before log-mel, and in what precision that is kept: the
# experiments on clips keep theirs on disk, as float16.
_FRONT_ENDS = {
  'dcase': {'trim_db': 60.0, 'peak_normalise': True, 'precision': 'float16'},
  'audioset': {
    'trim_db': None,
    'peak_normalise': False,
    'precision': 'float32',
  },
}
# The released VGGish before its PCA.
_RELEASED = {
  'model': 'vggish',
  'embedding_activation': 'linear',
  'width': 1.0,
  'dtype': 'float32',
  'batch_norm': False,
  'hidden': 0,
}
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


def write(
  workdir: Path,
  config,
  results: dict,
  classes: Sequence[str],
  extractors: dict[str, dict],
  ensembles: Sequence[Ensemble],
) -> None:
  """Writes `workdir/bundle`, whole or not at all, in place of an older one.

  Args:
    workdir: of the finished experiment.
    config: of it, resolved.
    results: what results.json holds.
    classes: names.
    extractors: {name: variables}; of AudioSet experiments none.
    ensembles: of classifiers; of the baseline none.
  """
  weights = {}
  for kind, all_variables in (
    ('extractors', extractors.values()),
    ('ensembles', [e.variables for e in ensembles]),
  ):
    for i, variables in enumerate(all_variables):
      flat = flax.traverse_util.flatten_dict(variables, sep='/')
      weights |= {f'{kind}/{i}/{k}': np.asarray(x) for k, x in flat.items()}
  if config.task == 'audioset':
    extractor = _RELEASED
  else:
    extractor = {name: config.extractor[name] for name in _RELEASED}
  info = {
    'format': FORMAT,
    'task': config.task,
    'loss': config.loss,
    'classes': list(classes),
    'front_end': _FRONT_ENDS[config.task] | FRONT_END._asdict(),
    'extractor': extractor,
    'extractors': list(extractors),
    'model': config.model.to_dict() if ensembles else None,
    'ensembles': [
      {'length': int(e.length), 'wrap': bool(e.wrap),
       'extractors': np.asarray(e.extractors).tolist()}
      for e in ensembles
    ],
    **{name: results[name] for name in _RESULTS if name in results},
    'synthetic': not config.data_dir,
    'config': _without_paths(config),
  }  # fmt: skip
  target = workdir / 'bundle'
  folder, old = workdir / '.bundle', workdir / '.bundle.old'
  for rest in (folder, old):
    shutil.rmtree(rest, ignore_errors=True)
  try:
    folder.mkdir()
    np.savez(folder / _WEIGHTS, **weights)
    (folder / _CARD).write_text(card(info), encoding='utf-8')
    info['files'] = {n: _sha256(folder / n) for n in (_WEIGHTS, _CARD)}
    text = json.dumps(info, indent=1, ensure_ascii=False)
    (folder / _INFO).write_text(text + '\n', encoding='utf-8')
    if target.exists():
      os.rename(target, old)
    os.rename(folder, target)
  finally:
    for rest in (folder, old):
      shutil.rmtree(rest, ignore_errors=True)


def _without_paths(config) -> dict:
  """The config, without where things lay on the machine that trained."""
  out = config.to_dict() | {'data_dir': ''}
  if 'extractor' in out:
    init = os.path.basename(out['extractor']['init'])
    out['extractor'] = out['extractor'] | {'init': init}
  return json.loads(json.dumps(out))


def _sha256(path: Path) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def load(
  bundle: str | Path,
  vggish_path: str | Path | None = None,
  pca_path: str | Path | None = None,
) -> Tagger:
  """Reads a bundle.

  Args:
    bundle: its folder.
    vggish_path, pca_path: for a bundle of an AudioSet experiment to hear sound:
      the file of `python -m aec_jax.models.convert`, and the released
      `vggish_pca_params.npz`.

  Raises:
    UserError: the folder is no bundle, a file of it is missing or changed, it
      is of another format, its weights are not those of its modules, or the
      two paths don't fit it.
  """
  folder = Path(bundle)
  info = _read_info(folder)
  for name in (_WEIGHTS, _CARD):
    _check_file(folder / name, info.get('files'))
  try:
    _check_info(info)
    extractors, ensembles = _variables(folder / _WEIGHTS, info)
  except _MALFORMED as error:
    reason = ' '.join(f'{type(error).__name__}: {error}'.split())
    raise UserError(
      f'{folder}: not a bundle that this version reads ({reason:.300})'
    ) from error
  released, pca = _released(info, vggish_path, pca_path)
  return Tagger(info, extractors + released, ensembles, pca)


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
  if found != FORMAT:
    raise UserError(
      f'{path} has format {found!r}, and this version reads format {FORMAT}'
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
  extractors, task = info['extractors'], info['task']
  sound = {
    'task': task in tuple(_FRONT_ENDS),
    'experiment': isinstance(info['experiment'], str),
    'loss': info['loss'] in ('binary', 'categorical'),
    'classes': _are_names(info['classes']) and info['classes'],
    # Those of AudioSet have none, those of DCASE are never without.
    'extractors': _are_names(extractors)
    and bool(extractors) == (task == 'dcase'),
    'ensembles': isinstance(info['ensembles'], list)
    and (info['ensembles'] or task == 'dcase')
    and all(_is_ensemble(e, len(extractors) or 1) for e in info['ensembles']),
  }
  for name, is_sound in sound.items():
    if not is_sound:
      raise ValueError(f'{name} is {info[name]!r:.80}')
  if info['front_end'] != _FRONT_ENDS[task] | FRONT_END._asdict():
    raise ValueError('it was made with another front end')


def _are_names(value) -> bool:
  return isinstance(value, list) and all(isinstance(x, str) for x in value)


def _is_ensemble(value, extractors: int) -> bool:
  return (
    value['length'] in range(1, _LONGEST + 1)
    and isinstance(value['wrap'], bool)
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
  extractors = [
    tree['extractors'][str(i)] for i in range(len(info['extractors']))
  ]
  ensembles = [
    Ensemble(
      int(e['length']),
      e['wrap'],
      np.array(e['extractors'], np.int32),
      tree['ensembles'][str(i)],
    )
    for i, e in enumerate(info['ensembles'])
  ]
  return extractors, ensembles


def _shapes(info) -> dict[str, tuple[int, ...]]:
  """{'extractors/0/params/conv1/kernel': (3, 3, 1, 64), …}: all weights."""
  try:
    extractor, classifier = modules(info)
  except UserError as error:  # of a config, which the user has not written
    raise ValueError(str(error)) from error
  found = {}
  if info['extractors']:
    one = _shapes_of(extractor, jnp.zeros((1, *convert.EXAMPLE)))
    for i in range(len(info['extractors'])):
      found |= {f'extractors/{i}/{name}': shape for name, shape in one.items()}
  if classifier:
    segment = jnp.zeros((1, 1, embedding_postprocess.SIZE))
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
  if info['task'] != 'audioset':
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


def card(info: dict) -> str:
  """The model card, in Markdown."""
  config, audioset = info['config'], info['task'] == 'audioset'
  title = f'# {info["experiment"]}'
  return '\n\n'.join(
    (title, _what(info), _data(info, config), _scores(info), _use(audioset))
  ) + _limits(info, audioset)  # fmt: skip


def _what(info):
  if not info['ensembles']:
    kind = 'The convolutional network of the challenge, on log-mel examples'
  else:
    members = sum(len(e['extractors']) for e in info['ensembles'])
    lengths = ', '.join(str(e['length']) for e in info['ensembles'])
    kind = (
      f'{members} × `{info["model"]["name"]}`, on pieces of {lengths}'
      ' segments of 0.96 s, over'
    )
    names = ', '.join(f'`{name}`' for name in info['extractors'])
    kind += f' {names or "embeddings of the released VGGish"}'
  many = 'independent probabilities' if info['loss'] == 'binary' else (
    'probabilities that add up to 1'
  )  # fmt: skip
  return (
    f'{kind}.\n\n{len(info["classes"])} classes, {many}. The labels, the'
    ' settings of the front end and the whole config are in `bundle.json`,'
    ' the parameters in `weights.npz`.'
  )


def _data(info, config):
  name = config.get('dataset', 'AudioSet')
  if name == 'AudioSet':
    name += f', {" + ".join(config["train_splits"])}'
  if info['synthetic']:
    name += ', but a synthetic set of its form: it knows no real sounds'
  return (
    f'## Data\n\n{name}: {info["n_train_examples"]:,} clips to train on,'
    f' {info["n_examples"]:,} scored; fingerprint'
    f' `{info["dataset_fingerprint"]}`.'
  )


def _scores(info):
  lines = ['## Scores', '', '| | here | thesis |', '|---|---|---|']
  for name, value in info['metrics'].items():
    if isinstance(value, float):
      theirs = info['expected'].get(name)
      theirs = f'{theirs:.3f}' if theirs is not None else ''
      lines.append(f'| {name} | {value:.4f} | {theirs} |')
  if info.get('scored_on') == 'out-of-fold':
    lines += ['', (
      'Scored out of fold, each clip by the members that had not seen it. The'
      ' bundle takes the mean over all members, for sounds that none has seen;'
      ' what it says of its own training clips is no score.'
    )]  # fmt: skip
  return '\n'.join(lines)


def _use(audioset):
  options = ' --vggish=vggish.npz --pca=vggish_pca_params.npz'
  return (
    '## Use\n\n```\npython -m aec_jax.predict --bundle=BUNDLE'
    f'{options if audioset else ""} SOUND…\n```\n\n```python\n'
    'import aec_jax\n'
    f'tagger = aec_jax.load(BUNDLE{", VGGISH, PCA" if audioset else ""})\n'
    'tagger.predict(waveform, sample_rate).tags\n```'
  )


def _limits(info, audioset):
  lines = [
    'It knows its classes alone: every sound gets a probability for each,'
    ' also one that is none of them.',
    'It was trained on clips of at most some tens of seconds; of a longer'
    ' sound it tags piece after piece, and gives their mean.',
  ]
  if audioset:
    lines.append(
      'AudioSet was labelled by people who heard 10 s clips of web videos; many'
      ' labels are missing or wrong.'
    )
  made = ', '.join(f'{k} {v}' for k, v in info['versions'].items())
  body = '\n'.join(f'- {line}' for line in lines)
  return f'\n\n## Limits\n\n{body}\n\nMade with {made}.\n'
