"""Splits and folds, by what folders are called."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from aec_jax.datasets.lists import SPLITS

# Of DCASE and FSD50K: what there is to train on, beside an evaluation set.
_DEVELOPMENT = ('dev', 'development')
_SPLITS = {**SPLITS, 'development': 'validation'}
_NUMBERS = (
  'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
  'nine', 'ten',
)  # fmt: skip
_FOLDS = ('fold', 'split', 'part', 'partition', 'subset', 'set', 'cv', 'k')
# What a split may be delivered in.
_PIECES = ('part', 'partition', 'subset')
# Words that say nothing of a side.
_PLAIN = (
  'audio', 'clips', 'data', 'dataset', 'files', 'recordings', 'samples', 'set',
  'sounds', 'wav', 'wavs', 'clean', 'curated', 'noisy', 'list', 'filtered',
)  # fmt: skip
_SURE_FOLD = re.compile(r'fold[ _-]?\d{1,4}', re.ASCII | re.I)
_BARE = re.compile(r'(.+?)(?:set|data|audio)')
_HUMP = re.compile(r'(?<=[a-z])(?=[A-Z])')
_WORD = re.compile(r'[^\W\d_]+|\d+')


class Side(NamedTuple):
  """What a folder is called.

  Attributes:
    what: 'split' or 'fold'.
    value: one of `clips.SPLITS`, or a number.
    word: that says so.
    sure: whether it is called by nothing else, as train and fold1 are; in doubt
      are trainset, FSD50K.dev_audio, part1.
  """

  what: str
  value: str | int
  word: str
  sure: bool


def of(names: Collection[str]) -> dict[str, Side]:
  """The folders of some that are called by splits or folds.

  A name is one of `lists.SPLITS`, with such words around it as say nothing, or
  as all the names have, where these are different sides; or a fold's number.
  Without others to train on, development clips are that.

  Args:
    names: of folders that lie side by side.

  Returns:
    Sides by name. All are splits, or all folds, where all names have one.
  """
  words = {name: _WORD.findall(_HUMP.sub(' ', name).lower()) for name in names}
  shared = _shared(words.values())
  found = _sides(words, shared)
  if len({(side.what, side.value) for side in found.values()}) < 2:
    # A word that all have is part of a class's name (of ToyCar and ToyTrain),
    # unless it stands beside different sides.
    found = _sides(words, set())
  return found


def _sides(words, shared) -> dict[str, Side]:
  """Sides by name, from the words of names and those that say nothing."""
  splits = {n: s for n, some in words.items() if (s := _split(some, shared))}
  trains = any(_SPLITS[word] == 'train' for word in splits.values())
  tests = any(_SPLITS[word] == 'test' for word in splits.values())
  found = {}
  for name, word in splits.items():
    develops = word in _DEVELOPMENT and tests and not trains
    value = 'train' if develops else _SPLITS[word]
    found[name] = Side('split', value, word, name.lower() in SPLITS)
  for name, some in words.items():
    kind, number = _fold(some, shared)
    if kind and name not in splits:
      sure = bool(_SURE_FOLD.fullmatch(name))
      found[name] = Side('fold', number, kind, sure)
  return found


def notes_on(found: Mapping[str, Side]) -> list[str]:
  """Notes on development clips that are trained on, for lack of others."""
  return [
    f'the folder {name} is taken as train, for no other is'
    for name, side in sorted(found.items())
    if side.value == 'train' and side.word in _DEVELOPMENT
  ]


def _shared(names: Iterable[list[str]]) -> set[str]:
  """The words that all of several names have."""
  sets = [set(words) for words in names]
  return set.intersection(*sets) if len(sets) > 1 else set()


def _split(words, shared) -> str:
  """The word for a split in a name; '' where it is called by more than that."""
  found, plain = [], {*_PLAIN, *_PIECES, *shared}
  for word in words:
    bare = _BARE.fullmatch(word)
    if word in _SPLITS:
      found.append(word)
    elif bare and bare[1] in _SPLITS:
      found.append(bare[1])
    elif not (word in plain or word.isdecimal()):
      return ''
  return found[0] if len(set(found)) == 1 else ''


def _fold(words, shared) -> tuple[str, int]:
  """The word and the number of a fold that a name is; ('', 0) where none."""
  telling = [word for word in words if word in _FOLDS or word not in _PLAIN]
  if len(telling) < 2 or telling[-2] not in _FOLDS:
    return '', 0
  *others, kind, number = telling
  if not shared.issuperset(others):
    return '', 0
  if number in _NUMBERS:
    return kind, _NUMBERS.index(number)
  if re.fullmatch(r'\d{1,4}', number, re.ASCII):
    return kind, int(number)
  return '', 0
