"""Scores: probabilities of a trained model, and means over several models.

  python -m aec_jax.evaluate DIR…

prints a table of finished experiments on the same examples, and of the mean of
their probabilities.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jax import lax

from aec_jax import bootstrap, metrics
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.input import batches
from aec_jax.run import console, files
from aec_jax.train.step import AXIS, on_device, replicate

# Each maps logits (example, class) to probabilities.
PROBABILITIES = {'binary': jax.nn.sigmoid, 'categorical': jax.nn.softmax}


class Predictor:
  """Probabilities of every example under a given state.

  Args:
    config: of the experiment.
    model: a Flax module with `axis_name=AXIS`.
    examples: the `Examples` to predict.
  """

  def __init__(self, config, model, examples):
    self.config = config
    self.count = len(examples)
    self.table = batches.rows(examples)
    self.resident = replicate(self.table) if on_device(config) else {}
    to_probabilities = PROBABILITIES[config.loss]

    def predict(variables, table, step):
      gathered = batches.gather(table, step) if table else step
      batch = batches.assemble(gathered, model.classes)
      logits = model.apply(variables, batch['embeddings'], batch['mask'])
      # All of the batch on every host.
      return lax.all_gather(to_probabilities(logits), AXIS, tiled=True)

    self.predict = jax.pmap(
      predict, axis_name=AXIS, in_axes=(None, None, 0), out_axes=None
    )

  def __call__(self, state) -> np.ndarray:
    """(example, class) float32, in the examples' order, none left out."""
    variables = replicate(state.variables())
    out = []
    for indices in self._index_batches():
      step = {'first': indices}
      if not self.resident:
        step = batches.gather(self.table, step)
      out.append(self.predict(variables, self.resident, step))
    return np.concatenate([np.asarray(rows) for rows in out])[: self.count]

  def _index_batches(self):
    """This host's (device, example) indices of each batch.

    The last batch is padded with example 0.
    """
    devices, here = jax.device_count(), jax.local_device_count()
    size = -(-self.config.batch_size // devices) * devices
    first = jax.process_index() * here
    for start in range(0, self.count, size):
      indices = np.arange(start, start + size, dtype=np.int32)
      indices[indices >= self.count] = 0
      yield indices.reshape(devices, -1)[first : first + here]


def save_predictions(path: Path, examples, probabilities: np.ndarray) -> None:
  """Writes what ensembles and comparisons need of a scored experiment."""
  with files.whole(path) as unfinished, open(unfinished, 'wb') as file:
    np.savez(
      file,
      probabilities=probabilities,
      ids=examples.ids,
      label_ids=examples.label_ids,
      label_offsets=examples.label_offsets,
    )


_PREDICTIONS = ('probabilities', 'ids', 'label_ids', 'label_offsets')


def load_predictions(folder: str | Path) -> dict[str, np.ndarray]:
  """The predictions of a finished experiment.

  Raises:
    UserError: the folder holds none.
  """
  path = Path(folder) / 'predictions.npz'
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name] for name in _PREDICTIONS}
  except UNREADABLE as error:
    raise UserError(
      f'{folder} holds no finished experiment (cannot read {path.name}): run'
      ' it first'
    ) from error


def mean_probabilities(folders: Sequence[str | Path]):
  """Targets and the mean probabilities of experiments on the same examples.

  Returns:
    targets (example, class) bool and probabilities (example, class) float32.

  Raises:
    UserError: a folder is unfinished, or scored on other examples.
  """
  total = 0.0
  for folder in folders:
    found = load_predictions(folder)
    if folder == folders[0]:
      first = found
    elif not np.array_equal(found['ids'], first['ids']):
      raise UserError(
        f'{folder} was scored on other examples than {folders[0]}'
      )
    total = total + found['probabilities']
  return targets_of(first), total / len(folders)


def targets_of(predictions) -> np.ndarray:
  """The labels of what `load_predictions` returns: (example, class) bool."""
  targets = np.zeros(predictions['probabilities'].shape, bool)
  counts = np.diff(predictions['label_offsets'])
  rows = np.repeat(np.arange(len(counts)), counts)
  targets[rows, predictions['label_ids']] = True
  return targets


def intervals(results: Mapping, predictions) -> dict[str, Sequence[float]]:
  """95 % intervals, [low, high], of scores of a finished experiment.

  Those in its results; where an older run has none, of its main score.
  """
  if 'intervals' in results:
    return results['intervals']
  targets, found = targets_of(predictions), predictions['probabilities']
  if 'MAP@3' not in results['metrics']:
    return {'mAP': bootstrap.map_interval(targets, found)}
  ranks = metrics.reciprocal_rank(targets, found, 3)
  return {'MAP@3': bootstrap.mean_interval(ranks)}


def compare(folders: Sequence[str]) -> str:
  """The table that the command prints."""
  found = []
  for folder in folders:
    load_predictions(folder)
    path = Path(folder) / 'results.json'
    found.append(files.read_json(path, 'experiment', 'metrics', 'seconds'))
  names = [n for n in _COLUMNS if all(n in r['metrics'] for r in found)]
  rows = [
    ('experiment', *(_COLUMNS[name] for name in names), 'best step', 'seconds')
  ]
  for results in found:
    steps = results.get('best_step')
    seconds = results['seconds']['train']
    rows.append(
      (
        results['experiment'],
        *_cells(results['metrics'], names),
        f'{steps:,}' if steps else '',
        f'{seconds:,.0f}',
      )
    )
  if len(folders) > 1:
    targets, probabilities = mean_probabilities(folders)
    if 'MAP@3' in names:
      scores = metrics.single_label_summary(targets, probabilities)
    else:
      scores = metrics.summary(targets, probabilities)
    rows.append((f'mean of {len(folders)}', *_cells(scores, names), '', ''))
  return console.table(rows)


# What `compare` shows, where all experiments have it.
_COLUMNS = {
  'mAP': 'mAP',
  'AUC': 'AUC',
  'd_prime': "d'",
  'MAP@3': 'MAP@3',
  'MAP@3_public': 'public',
  'MAP@3_private': 'private',
  'accuracy': 'accuracy',
}


def _cells(scores, names):
  return [f'{scores[n]:.4f}' if n in scores else '' for n in names]


def main(argv: Sequence[str]) -> int:
  folders = argv[1:]
  if not folders or folders[0].startswith('-'):
    print(__doc__)
    return 2
  try:
    print(compare(folders))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
