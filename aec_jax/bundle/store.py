"""Bundles: the folder that a user carries away, and how it is read.

  bundle.json   format version, labels, front end, modules, scores, config, and
                the SHA-256 of the other two
  weights.npz   flat: extractors/I/…, ensembles/I/… (a leading member axis)
  README.md     the model card

Nothing in a bundle is run or unpickled, and no other file is opened.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import flax
import numpy as np

from aec_jax.bundle import checks, contents
from aec_jax.bundle.card import card, caveats
from aec_jax.bundle.network import Ensemble
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.input import shifts
from aec_jax.models import convert, embedding_postprocess, extractors
from aec_jax.run import devices, files
from aec_jax.run.text import printable

FOLDER = 'bundle'
WEIGHTS = 'weights.npz'
_INFO, _CARD = 'bundle.json', 'README.md'
FILES = (WEIGHTS, _INFO, _CARD)

# The fields of `config.extractor` that make its module.
_EXTRACTOR = (
  'model', 'init', 'embedding_activation', 'width', 'dtype', 'batch_norm',
  'hidden', 'frames',
)  # fmt: skip
# What fails where a bundle was written by somebody else, for other purposes.
_MALFORMED = (
  *UNREADABLE, ArithmeticError, AttributeError, flax.errors.FlaxError,
)  # fmt: skip
# What a results.json has that a bundle repeats.
_RESULTS = (
    'experiment', 'metrics', 'expected', 'n_examples', 'n_train_examples',
    'scored_on', 'best_step', 'dataset_fingerprint', 'scored_fingerprint',
    'versions', 'decisions',
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
  """What a bundle holds, checked.

  Attributes:
    info: what `bundle.json` holds, as of the newest format.
    extractors: the variables of each that was read.
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

  What else a user has put there, such as a licence or .git, stays.

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
  before = contents.OF_RECORDINGS
  if extractors.row(section).quantised:
    before = contents.OF_RELEASED
  info = {
    'format': contents.FORMAT,
    'objective': config.objective,
    'classes': list(classes),
    'front_end': before | extractors.front_end(section).record(),
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
  if section.tail != 'drop':
    info['extractor']['tail'] = section.tail
  if config.test_shifts > 1:
    info['test_shifts'] = config.test_shifts
  info['extractor']['init'] = info['config']['extractor']['init']
  with files.whole_folder(workdir / FOLDER, replace=True) as folder:
    _copy_others(workdir / FOLDER, folder, but=FILES)
    np.savez(folder / WEIGHTS, **weights)  # type: ignore[arg-type]
    (folder / _CARD).write_text(card(info), encoding='utf-8', errors='replace')
    info['files'] = {n: _sha256(folder / n) for n in (WEIGHTS, _CARD)}
    files.write_json(folder / _INFO, info)


def add_decisions(workdir: Path, found: dict | None) -> None:
  """Gives `workdir/bundle`, if it is of an older version, what lets it decide.

  What else is there stays.

  Args:
    workdir: of an experiment with a bundle.
    found: of `decisions.fit`, of the clips that the experiment is scored on.
  """
  folder = workdir / FOLDER
  info = _read_info(folder)
  if not found or 'decisions' in info:
    return
  info = contents.upgraded(info) | {
    'format': contents.FORMAT,
    'decisions': found,
  }
  with files.whole_folder(folder, replace=True) as new:
    _copy_others(folder, new, but=(_CARD, _INFO))
    (new / _CARD).write_text(card(info), encoding='utf-8', errors='replace')
    info['files'] = {n: _sha256(new / n) for n in (WEIGHTS, _CARD)}
    files.write_json(new / _INFO, info)


def _copy_others(folder: Path, new: Path, but: Sequence[str]) -> None:
  """Copies what a user may have put into a bundle that is made again."""
  if folder.is_dir():
    shutil.copytree(
      folder, new, symlinks=True, dirs_exist_ok=True,
      ignore=lambda of, _: set(but) if Path(of) == folder else set(),
    )  # fmt: skip


def _without_paths(config) -> dict:
  """The config, without where things lay on the machine that trained."""
  out = config.to_dict() | {'data_dir': ''}
  init = Path(out['extractor']['init']).name
  out['extractor'] = out['extractor'] | {'init': init}
  for field in ('init_from', 'teacher'):
    out[field] = ','.join(Path(path).name for path in out[field].split(','))
  return json.loads(json.dumps(out))


def _sha256(path: Path) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def read(bundle: str | os.PathLike, hears: bool = True) -> Stored:
  """Reads a bundle.

  Args:
    bundle: its folder, or the work folder that has it.
    hears: whether the extractors are read, too, which are most of it.

  Raises:
    UserError: the folder is no bundle, a file of it is missing or changed, it
      is of another format, or its weights are not those of its modules.
  """
  folder = Path(bundle).expanduser()
  if not (folder / _INFO).exists() and (folder / FOLDER / _INFO).exists():
    folder /= FOLDER
  info = _read_info(folder)
  with checks.open_regular(folder / _CARD, checks.CARD_BYTES) as file:
    _check_digest(file, folder / _CARD, info.get('files'))
  with _refusing(folder):
    info = contents.upgraded(info)
    contents.check(info)
    shapes = checks.shapes_of(info)
  path = folder / WEIGHTS
  with checks.open_regular(path, checks.file_size(shapes)) as file:
    _check_digest(file, path, info['files'])
    with _refusing(folder):
      part = '' if hears else 'ensembles/'
      arrays = checks.read_arrays(file, WEIGHTS, shapes, part)
      variables = _variables(arrays, info)
  return Stored(info, *variables)


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
  """Makes one line, of bounded length, of whatever fails of a bundle."""
  try:
    yield
  except (UserError, *_MALFORMED) as error:
    # Also a `UserError` tells of settings that the user has not written.
    kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
    reason = ' '.join(f'{kind}{error}'.split())
    raise UserError(
      f'{folder}: not a bundle that this version reads ({reason:.300})'
    ) from error


def load(
  bundle: str | os.PathLike,
  vggish_path: str | os.PathLike | None = None,
  pca_path: str | os.PathLike | None = None,
  test_shifts: int | None = None,
) -> Tagger:
  """The tagger of a bundle.

  Args:
    bundle: its folder.
    vggish_path, pca_path: for a bundle of released embeddings to hear sound:
      the file of `python -m aec_jax.models.convert`, and the released
      `vggish_pca_params.npz`.
    test_shifts: at how many shifts sounds are cut to be tagged; None: as the
      experiment was scored.

  Raises:
    UserError: as `read` does, or the two paths or the shifts don't fit it.
  """
  stored = read(bundle)
  info = stored.info
  released, pca = _released(info, vggish_path, pca_path)
  if test_shifts is not None:
    shifts.check('--test_shifts', test_shifts, contents.step(info))
    info = info | {'test_shifts': test_shifts}
  return Tagger(info, stored.extractors + released, stored.ensembles, pca)


def _read_info(folder: Path) -> dict:
  path = folder / _INFO
  if not os.path.lexists(path):
    why = files.why_no_folder(folder) or f'no {_INFO}'
    raise UserError(
      f'{folder} is no bundle ({why}); give the folder bundle/ of a'
      ' finished experiment'
    )
  try:
    with checks.open_regular(path, checks.INFO_BYTES) as file:
      info = json.loads(file.read().decode())
  except (ValueError, RecursionError) as error:
    # Over a folder that is there, a finished experiment writes no other.
    raise UserError(
      f'{path} is damaged ({error}): copy the bundle again, or delete its'
      " folder and run the experiment's command again, which writes it"
    ) from error
  found = info.get('format') if isinstance(info, dict) else None
  if found not in (1, contents.FORMAT):
    raise UserError(
      f'{path} has format {found!r:.80}, and this version reads formats 1 and'
      f' {contents.FORMAT}'
    )
  return info


def _check_digest(file: io.BufferedReader, path: Path, digests) -> None:
  found = hashlib.file_digest(file, 'sha256').hexdigest()
  file.seek(0)
  if not isinstance(digests, dict) or digests.get(path.name) != found:
    raise UserError(
      f'{path} is not the file that the bundle was made with: copy it again'
    )


def _variables(arrays, info) -> tuple[list[dict], list[Ensemble]]:
  tree = flax.traverse_util.unflatten_dict(arrays, sep='/')
  # By number: none where they were not read.
  by_number = tree.get('extractors', {})
  trained = [by_number[str(i)] for i in range(len(by_number))]
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

  What is to be known of its scores is said on stderr.

  Compiled programs are kept in the user's cache folder, so that the next
  command starts faster: $XDG_CACHE_HOME/aec_jax/xla, or ~/.cache/aec_jax/xla,
  or where $JAX_COMPILATION_CACHE_DIR says.
  """
  home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  devices.keep_programs(Path(home) / 'aec_jax' / 'xla', small=True)
  asked = getattr(arguments, 'test_shifts', None)
  tagger = load(arguments.bundle, arguments.vggish, arguments.pca, asked)
  for what in caveats(tagger.info):
    line = printable(f'{arguments.bundle}: {what}')
    print(f'note: {line}', file=sys.stderr)
  return tagger
