"""What training starts from that a finished experiment has learned.

Its extractors and hidden layers, with new output layers: transfer learning
(Yosinski et al., How transferable are features in deep neural networks?, 2014,
arXiv:1411.1792). The classes may be others; layers whose size depends on their
number are not taken over.
"""

import json
from collections.abc import Sequence
from types import SimpleNamespace

import flax
import jax
import numpy as np

from aec_jax import models
from aec_jax.bundle import checks, store
from aec_jax.errors import UserError
from aec_jax.input.folds import Member
from aec_jax.models import extractors
from aec_jax.run import cache
from aec_jax.train import start

# Of `config.extractor`, what a bundle's must equal.
_SAME = ('model', 'width', 'frames', 'batch_norm', 'embedding_activation')


def check(config) -> None:
  """Raises `UserError` where `config.init_from` doesn't fit the other fields.

  Args:
    config: resolved.
  """
  if not config.init_from:
    return
  if config.extractor.init not in ('', 'random'):
    raise UserError(
      f'config.init_from and config.extractor.init ({config.extractor.init})'
      ' both say what extractors start from: give one of them'
    )
  info = Finished(config).info
  _check_extractor(config, info['extractor'])
  there, here = _learned(info), _learned(_info_of(config))
  both = _kinds(there) & _kinds(here)
  if any(there.get(k) != here.get(k) for k in there | here if _kind(k) in both):
    theirs, mine = info['model'], config.model.to_dict()
    theirs = models.defaults(theirs['name']) | theirs  # of an older bundle
    changed = [
      f'{name} {theirs.get(name)} there, {value} here'
      for name, value in mine.items()
      if theirs.get(name) != json.loads(json.dumps(value))
    ]
    raise UserError(
      f'config.init_from: the hidden layers of {config.init_from} are others'
      f' than those of config.model ({"; ".join(changed)}): give the same'
    )


def _check_extractor(config, theirs: dict) -> None:
  for name in _SAME:
    mine, there = config.extractor[name], theirs.get(name)
    if mine != there:
      raise UserError(
        f'config.extractor.{name} is {mine!r}, and that of {config.init_from}'
        f' {there!r}: what starts from it must have the same'
      )


def of(config) -> 'Finished | None':
  """What `config.init_from` names; None where it names nothing.

  Raises:
    UserError: it is no finished experiment, or no bundle.
  """
  return Finished(config) if config.init_from else None


def extractors_of(config) -> start.Start:
  """What a config's extractors start from.

  Raises:
    UserError: it cannot be read.
  """
  found = of(config)
  return found.extractors() if found else start.of_file(config.extractor)


class Finished:
  """A finished experiment to start from.

  Args:
    config: of the experiment that starts from it, resolved.

  Attributes:
    info: what its `bundle.json` holds.
    key: names its weights, for the cache.
  """

  def __init__(self, config) -> None:
    self._folder = config.init_from
    self.info = self._read(hears=False).info
    self.key = cache.digest([self.info['files'][store.WEIGHTS]])

  def _read(self, hears: bool) -> store.Stored:
    try:
      return store.read(self._folder, hears)
    except UserError as error:
      raise UserError(f'config.init_from: {error}') from error

  def __str__(self) -> str:
    return f'{self._folder} ({self.info["experiment"]})'

  def knows(self, scored: Sequence[str]) -> bool:
    """Whether it was scored on the very clips that have these fingerprints.

    Older bundles do not tell.
    """
    return self.info.get('scored_fingerprint') == cache.digest(scored)

  def extractors(self) -> start.Start:
    """Its extractors, each for the one of its name, or of the like."""
    return start.Start(self.key, self._extractor)

  def _extractor(self, title: str) -> dict:
    stored = self._read(hears=True)
    return _placed(self.info, stored.extractors[self._which(title)])

  def _which(self, title: str) -> int:
    """The index of the extractor there for one of here."""
    names = self.info['extractors']
    name = title.partition('/')[0]
    like = [i for i, n in enumerate(names) if n.partition('/')[0] == name]
    return names.index(title) if title in names else (like or [0])[0]

  def hidden(
    self, members: Sequence[Member], titles: Sequence[str], length: int
  ) -> dict:
    """Its hidden layers, for members.

    Each has those of a classifier of the embeddings that its own extractor
    started from.

    Args:
      members: that start.
      titles: of the extractors that they are about; of released embeddings
        none.
      length: of their pieces; taken are those of the same, or of the first.

    Returns:
      Variables with a leading member axis; {} where it has no classifiers.
    """
    ensembles = self._read(hears=False).ensembles
    if not ensembles:
      return {}
    same = [e for e in ensembles if e.length == length]
    ensemble, rows = (same or ensembles)[0], []
    for i, member in enumerate(members):
      there = self._which(titles[member.extractor]) if titles else 0
      fit = np.flatnonzero(ensemble.extractors == there)
      rows.append(fit[i % len(fit)])
    learned = _of_any_classes(self.info, ensemble.variables, 'ensembles')
    return jax.tree.map(lambda x: np.asarray(x)[rows], learned)


def _placed(info: dict, variables: dict) -> dict:
  """An extractor's variables, as `extractors.example_classifier` has them."""
  learned = _of_any_classes(info, variables, 'extractors')
  if extractors.row(SimpleNamespace(**info['extractor'])).classifies:
    return learned
  return {kind: {'extractor': tree} for kind, tree in learned.items()}


def _of_any_classes(info: dict, variables: dict, kind: str) -> dict:
  """Of variables, those whose shapes don't depend on the number of classes."""
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  names = _learned(info)
  kept = {k: x for k, x in flat.items() if f'{kind}/0/{k}' in names}
  return flax.traverse_util.unflatten_dict(kept, sep='/')


def _learned(info: dict) -> checks.Shapes:
  """What does not depend on the number of classes, of an extractor and of a
  classifier: {'extractors/0/params/conv1/kernel': shape, …}.
  """
  one = info | {
    'extractors': info['extractors'][:1],
    'ensembles': [e | {'extractors': [0]} for e in info['ensembles'][:1]],
  }
  two, three = (
    checks.shapes_of(one | {'classes': range(count)}) for count in (2, 3)
  )
  return {name: shape for name, shape in two.items() if three[name] == shape}


def _kind(name: str) -> str:
  return name.partition('/')[0]


def _kinds(shapes: checks.Shapes) -> set[str]:
  return set(map(_kind, shapes))


def _info_of(config) -> dict:
  """What a bundle would say of the modules of a config."""
  row = extractors.row(config.extractor)
  return {
    'extractor': config.extractor.to_dict(),
    'front_end': extractors.front_end(config.extractor).record(),
    'extractors': [] if row.quantised else ['one'],
    'model': config.model.to_dict(),
    'ensembles': [] if row.classifies else [{'length': 1}],
  }
