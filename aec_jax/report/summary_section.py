"""The section at the top: what was trained, how good, what is weak, what next.

`results` is as in results.json; of older ones some sentences are missing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from aec_jax.objective import OBJECTIVES
from aec_jax.report.page import Points, Section
from aec_jax.report.score_sections import (
  NAMES,
  interval_text,
  is_single,
  range_text,
  validation_loss,
)
from aec_jax.report.scored import Scored, guessed

# Names of folders of sound in data sets of any name.
_OF_ANY = {'audio', 'clips', 'data', 'sounds', 'train', 'wav'}
# Classes with fewer training clips are called small.
_SMALL = 20
# A validation loss that is so many times its least has risen.
_RISEN = 1.2
# A best step in the last tenth came at the end.
_AT_THE_END = 0.9


def summary(results: Mapping, scored: Scored) -> Section:
  """A few sentences that say it all."""
  points = [
    _made(results),
    _good(results, scored),
    *_weak(results, scored),
    *_next(results),
  ]
  return Section('In short', [Points(points)])


def data_name(results: Mapping) -> str:
  """What it was trained on, in words."""
  config = results['config']
  name = config.get('dataset') or 'the data'
  if results.get('synthetic', not config.get('data_dir')):
    return f'a SYNTHETIC set in the form of {name}'
  folder = Path(config['data_dir'])
  # 'audio' says nothing of whose it is.
  parts = folder.parts[-2:] if folder.name in _OF_ANY else folder.parts[-1:]
  within = '/'.join(part for part in parts if part != '/')
  return name if within == name else f'{name} ({within})'


def _made(results) -> str:
  config = results['config']
  ensembles = results.get('ensembles', {}).values()
  members = [m for e in ensembles for m in e.get('members', [])]
  model = config.get('model', {}).get('name', '')
  one = 'A classifier' if len(members) <= 1 else f'{len(members)} classifiers'
  what = f'{one} ({model})' if model and ensembles else 'A classifier'
  tuned = len(results.get('fine_tuning', {}))
  if tuned:
    kind = config.get('extractor', {}).get('model', '')
    what += f' on {tuned} fine-tuned extractor{"s" * (tuned > 1)} ({kind})'
  size = sum(results.get('parameters', {}).values())
  if size:
    what += f', {size:,} parameters in all'
  text = (
    f'{what}, trained on {data_name(results)}:'
    f' {results["n_train_examples"]:,} clips of {len(results["per_class"])}'
    ' classes'
  )
  seen = [m['training_clips'] for m in members if 'training_clips' in m]
  if seen:
    one = 'the' if len(members) == 1 else 'each'
    text += f'; {one} classifier saw {range_text(seen)}'
    if max(seen) > results['n_train_examples']:
      text += ', copies shifted in pitch among them'
  return f'{text}.'


def _good(results, scored) -> str:
  main = next(iter(results['metrics']))
  name, value = NAMES.get(main, main), results['metrics'][main]
  interval = interval_text(results.get('intervals', {}).get(main))
  text = f'{name} is {value:.3f}'
  text += f' (95 % interval {interval})' if interval else ''
  text += f' on {results["n_examples"]:,} clips'
  if results.get('scored_on') == 'out-of-fold':
    text += ', each by models that have not seen it'
  folds = [fold[main] for fold in results.get('folds', {}).values()]
  if len(folds) > 1:
    spread = np.std(folds, ddof=1)
    text += f'; over {len(folds)} folds {np.mean(folds):.3f} ± {spread:.3f}'
  theirs = results['expected'].get(main)
  if theirs is not None:
    text += f'. The thesis has {theirs:.3f}'
  kind = 'single_label' if is_single(results) else 'multi_label'
  objective = OBJECTIVES[kind]
  if main in objective.metrics:
    guess = objective.chance(main, scored.targets.mean(0))
    text += f'. A guess that does not listen gets {guess:.3f}'
  return f'{text}.'


def _weak(results, scored) -> Iterator[str]:
  entries = results['per_class']
  name = next(iter(next(iter(entries.values()))))
  values = [
    (entry[name], label, int(count))
    for (label, entry), count in zip(
      entries.items(), scored.targets.sum(0), strict=True)
    if entry[name] is not None
  ]  # fmt: skip
  worst = [
    f'{label} ({name} {value:.2f}, {count:,} clips)'
    for value, label, count in sorted(values)[:3]
    if value < 1
  ]
  if worst and len(values) > 3:
    yield f'Weakest: {"; ".join(worst)}.'
  if is_single(results):
    yield from _mistaken(scored)


def _mistaken(scored) -> Iterator[str]:
  counts = guessed(scored)
  clips = counts.sum(1)
  np.fill_diagonal(counts, 0)
  a, b = np.unravel_index(counts.argmax(), counts.shape)
  if counts[a, b]:
    yield (
      f'Most often mistaken: {scored.classes[a]} for {scored.classes[b]}'
      f' ({counts[a, b]:,} of {clips[a]:,} clips).'
    )


def _from_nothing(config) -> bool:
  started = config.get('init_from')
  return not started and config.get('extractor', {}).get('init') == 'random'


def _next(results) -> Iterator[str]:
  """What to try, by what the numbers show."""
  config, found = results['config'], []
  if results.get('synthetic', not config.get('data_dir')):
    found.append(
      'sounds of your own, --config.data_dir=FOLDER: these scores say nothing'
      ' of real ones'
    )
  elif _from_nothing(config):
    found.append(
      'VGGish’s weights instead of random ones, --config.extractor.init=FILE'
      ' of python -m aec_jax.models.fetch vggish'
    )
  found += _by_curves(results)
  small = _small_classes(results)
  if small:
    found.append(
      f'more clips of the classes with fewer than {_SMALL} to train on:'
      f' {", ".join(small[:5])}{" …" * (len(small) > 5)}'
    )
  told = '; '.join(found or [_whatever_they_show(results)])
  yield f'To try next: {told}{"" if told.endswith("…") else "."}'


def _whatever_they_show(results) -> str:
  """What to try where the numbers ask for nothing else."""
  members = [
    m for e in results.get('ensembles', {}).values() for m in e['members']
  ]
  if len(members) == 1 and results['config'].get('members') == 1:
    return 'several members side by side, whose mean counts, --config.members=5'
  return (
    'another seed, --config.seed=1, and both runs in aec_jax.compare: how far'
    ' scores differ by chance'
  )


def _by_curves(results) -> Iterator[str]:
  config, best = results['config'], results.get('best_step')
  most = config.get('max_steps') or np.inf
  chosen = config.get('keep') != 'last'
  if chosen and best and best >= _AT_THE_END * most:
    yield (
      'more steps, --config.max_steps: the best one was among the last'
      f' ({best:,} of {config["max_steps"]:,})'
    )
  for ensemble in results.get('ensembles', {}).values():
    entries = ensemble['evaluations']
    losses = [
      (loss, entry['step'])
      for entry in entries
      if (loss := validation_loss(entry)) is not None
    ]
    if losses and losses[-1][0] > _RISEN * max(min(losses)[0], 1e-9):
      at = min(losses)[1]
      yield (
        f'more variety (mixup_alpha, pitch_to, model.dropout) or more clips:'
        f' the validation loss has risen since step {at:,}'
      )
      return


def _small_classes(results) -> list[str]:
  clips = results.get('data', {}).get('clips', {})
  counts: dict[str, int] = next(iter(clips.values()), {})
  small = [name for name, count in counts.items() if count < _SMALL]
  return sorted(small, key=counts.__getitem__)
