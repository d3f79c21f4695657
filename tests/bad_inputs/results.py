"""Results of finished experiments with a field that is not as it was."""

import copy
import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aec_jax import compare, evaluate
from tests import finished_runs
from tests.bad_inputs.case import ANY, REFUSED, Case

_GONE = object()
_OTHERS = (
  _GONE, None, 10**400, 9e18, 1e308, float('inf'), 'x', '\ud800', ['x'],
  {'x': 'y'},
)  # fmt: skip
# Others are only held against those of other runs, whatever they are.
_OF_CONFIG = ('name', 'data_dir', 'objective', 'metric', 'seed', 'extractor')


def results_cases(folder: Path) -> Iterator[Case]:
  """Each field gone, or of another type."""
  runs = {
    'multi': finished_runs.audioset_run, 'single': finished_runs.dcase_run,
  }  # fmt: skip
  for name, make in runs.items():
    made = make(folder / name)
    for path in _paths(made):
      for i, other in enumerate(_OTHERS):
        damaged = _with(made, path, other)
        if damaged == made:
          continue
        where = '.'.join(map(str, path))
        copied = folder / f'{name}-{where}-{i}'.replace('/', ' ')
        run = functools.partial(_use, folder / name, copied, damaged)
        what = 'gone' if other is _GONE else repr(other)[:20]
        yield Case('results', f'{name} {where}: {what}', ANY, run)
    for what, text in (
      ('a list', '[]'), ('cut', json.dumps(made)[:-9]), ('deep', '[' * 10**5),
      ('another text', 'nothing to see'),
    ):  # fmt: skip
      copied = folder / f'{name}-{what}'
      run = functools.partial(_use, folder / name, copied, text)
      yield Case('results', f'{name} {what}', REFUSED, run, 'damaged')


def _paths(value: Any, above: tuple = ()) -> Iterator[tuple]:
  """The places of all values; of a list's its first."""
  if above:
    yield above
  if isinstance(value, dict):
    keys = list(value)
    if above[-1:] == ('config',):
      keys = [key for key in keys if key in _OF_CONFIG]
    elif above[-1:] == ('extractor',):
      keys = ['init', 'model']
    elif len(above) > 1 or above == ('per_class',):
      keys = keys[:1]  # the others are like it
  else:
    keys = [0] if isinstance(value, list) and value else []
  for key in keys:
    yield from _paths(value[key], (*above, key))


def _with(results, path, value):
  """A copy with another value at a place."""
  copied = copy.deepcopy(results)
  *above, last = path
  inside = functools.reduce(lambda x, key: x[key], above, copied)
  if value is _GONE:
    del inside[last]
  else:
    inside[last] = value
  return copied


def _use(whole, folder, results) -> list[dict]:
  """What the commands do with them."""
  folder.mkdir()
  shutil.copy(whole / 'predictions.npz', folder)
  text = results if isinstance(results, str) else json.dumps(results)
  (folder / 'results.json').write_text(text)
  evaluate.compare([folder])
  compare.compare(folder / 'page.html', [whole, folder])
  return []
