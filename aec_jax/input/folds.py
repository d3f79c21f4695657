"""Which clips each extractor and each member trains on, stops by and scores.

Where the test clips have labels, they are scored, as in DCASE 2018 Task 2: each
member leaves one fold out of its training and stops by it, or stops by the
validation clips where the data set has some. Where no test clip is there, the
training clips are scored, each by the members that have not seen it: then an
extractor, too, is trained without the fold that it is scored on, and a member
stops by its extractor's validation clips.
"""

import dataclasses
from typing import Protocol

import numpy as np

from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.input import pieces

_SAMPLINGS = ('balanced', 'unbalanced')
# 'balanced' alone trains on the training clips and stops by the data set's own
# validation clips; 'balanced_first' cuts them as §5.2.2 does.
EXTRACTOR_NAMES = (
  'original',
  *_SAMPLINGS,
  *(f'{sampling}_{part}' for sampling in _SAMPLINGS for part in pieces.PARTS),
)


class Folded(Protocol):
  """Clips, as far as this module asks: `features.log_mels.ClipExamples`."""

  @property
  def labels(self) -> Labels:
    """Of the clips."""

  @property
  def split(self) -> np.ndarray:
    """(clip,) 'train', 'validation' or 'test'."""

  @property
  def fold(self) -> np.ndarray:
    """(clip,) the data set's own, -1 for none."""

  @property
  def group(self) -> np.ndarray:
    """(clip,) what may not be split between folds, '' for none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
  """One extractor to be.

  Attributes:
    name: such as 'balanced_first'.
    sampling: 'balanced', 'unbalanced', or 'none': as it is initialised.
    training, validation: (clip,) indices of clips.
    held_out: the fold that it may not see; None: it sees all.
  """

  name: str
  sampling: str
  training: np.ndarray
  validation: np.ndarray
  held_out: int | None = None

  @property
  def title(self) -> str:
    """Its name among all extractors."""
    fold = '' if self.held_out is None else f'/{self.held_out}'
    return f'{self.name}{fold}'


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One classifier to be; clips are indices.

  Attributes:
    name: such as 'balanced_first/0'.
    extractor: index of the extractor whose embeddings it takes.
    training, validation: (clip,), what it learns from and when it stops.
    scored: (clip,), what its guess counts for.
    watched: whether these are scored at each evaluation, too, where they
      choose nothing.
  """

  name: str
  extractor: int
  training: np.ndarray
  validation: np.ndarray
  scored: np.ndarray
  watched: bool = False


def fold_of_name(name: str) -> str:
  """'3' of a member or an extractor such as 'balanced_first/3', or ''."""
  _, slash, fold = name.rpartition('/')
  return fold if slash and fold.isdigit() else ''


def in_words(name: str) -> str:
  """'balanced_first, fold 1' of 'balanced_first/0': people count from one."""
  fold = fold_of_name(name)
  return f'{name.rpartition("/")[0]}, fold {int(fold) + 1}' if fold else name


def scored_apart(split: np.ndarray) -> np.ndarray:
  """(clip,) bool: the test clips, which have labels wherever they are kept."""
  return split == 'test'


def fold_of(config, clips: Folded) -> np.ndarray:
  """(clip,) the fold of each clip that may train, 0 and up; -1 for test clips.

  Where the data set has validation clips they are fold 0, and the only one that
  is ever left out. Else the data set's own where every training clip has one.
  """
  training = ~scored_apart(clips.split)
  out = np.full(len(clips.split), -1)
  if (clips.split == 'validation').any():
    out[training] = clips.split[training] == 'train'
  elif len(_own_folds(clips.split, clips.fold)):
    out[training] = np.unique(clips.fold[training], return_inverse=True)[1]
  else:
    labels = clips.labels.select(training)
    out[training] = pieces.folds(
      labels.ids, config.folds, config.seed, labels.offsets,
      clips.group[training],
    )  # fmt: skip
  return out


def _own_folds(split, fold) -> np.ndarray:
  """(fold,) the data set's own, if every training clip is in one of several."""
  own = np.unique(fold[~scored_apart(split)])
  return own if len(own) > 1 and own[0] >= 0 else own[:0]


def left_out(config, split: np.ndarray, fold: np.ndarray) -> range:
  """The folds of `fold_of` that take turns at being left out.

  Args:
    config: of the experiment.
    split, fold: of the clips, see `Folded`.
  """
  if (split == 'validation').any():
    return range(1)
  return range(len(_own_folds(split, fold)) or config.folds)


def scored_how(config, split: np.ndarray, fold: np.ndarray) -> str:
  """A line on what is scored, and what that makes of the extractors.

  Args:
    config: of the experiment.
    split, fold: of the clips, see `Folded`.
  """
  if scored_apart(split).any():
    return 'scored on the test clips'
  if (split == 'validation').any():
    return 'no test clips: scored on the validation clips'
  which = "the data set's own" if len(_own_folds(split, fold)) else 'drawn'
  count = len(left_out(config, split, fold))
  return (
    f'no test clips: scored out of fold, {count} folds ({which}), so that'
    f' {len(config.extractors)} × {count} extractors are trained instead of'
    f' {len(config.extractors)}'
  )


def extractor_jobs(config, clips: Folded) -> list[Job]:
  """The extractors to train.

  Raises:
    UserError: a name needs validation clips that are not there, or a fold
      leaves too little to train on.
  """
  training = np.flatnonzero(~scored_apart(clips.split))
  _check_enough(len(training), 'there are', 'more clips')
  folds = fold_of(config, clips)
  held_out: list[int | None] = [None]
  if not scored_apart(clips.split).any():
    held_out = [*left_out(config, clips.split, clips.fold)]
  jobs = []
  for name in config.extractors:
    for fold in held_out:
      rest = training if fold is None else training[folds[training] != fold]
      jobs.append(_job(config, clips, name, rest, fold))
  return jobs


def _check_enough(clips: int, who: str, what: str) -> None:
  if clips < 2:
    raise UserError(f'{who} {clips} clips to train on: give {what}')


def _job(config, clips, name, rest, fold) -> Job:
  """§5.2.2: clips in the order of train.csv, where classes come mixed.

  Folders list theirs class by class, so that there the order is drawn.
  """
  if fold is not None:
    _check_enough(
      len(rest), f'fold {fold + 1} leaves', 'fewer folds or more clips'
    )
  sampling, _, part = name.partition('_')
  chosen = {config.keep, config.extractor.keep} != {'last'}
  if not chosen and fold is not None and sampling in _SAMPLINGS:
    # Nothing chooses a step, so that nothing need be held back.
    outside = np.flatnonzero(fold_of(config, clips) == fold)
    return Job(name, sampling, np.sort(rest), outside, fold)
  if name in _SAMPLINGS:
    validation = clips.split[rest] == 'validation'
    if not validation.any():
      raise UserError(
        f"config.extractors has {name!r}, which stops by the data set's own"
        f' validation clips, and there are none: {name}_first takes some of'
        ' the training clips'
      )
    return Job(name, sampling, rest[~validation], rest[validation], fold)
  if name == 'original':
    sampling, part = 'none', 'first'
  groups = None
  if config.dataset != 'fsdkaggle2018':
    labels, groups = clips.labels.select(rest), clips.group
    order = pieces.spread(labels.ids, config.seed, labels.offsets, groups[rest])
    rest = rest[order]
  training, validation = pieces.split(rest, part, groups)
  return Job(name, sampling, np.sort(training), np.sort(validation), fold)


def members_of(config, clips: Folded, jobs, source) -> list[Member]:
  """Extractors × folds.

  Args:
    config, clips: of the experiment.
    jobs: what `extractor_jobs` returns.
    source: (copy,) the clip of each pitch-shifted copy; copies are numbered
      from len(clips) on, and train wherever their clip does.
  """
  tests = np.flatnonzero(scored_apart(clips.split))
  folds = fold_of(config, clips)
  copies = len(folds) + np.arange(len(source))

  def member(extractor, fold, training, validation, scored):
    training = np.append(training, copies[np.isin(source, training)])
    name = f'{jobs[extractor].name}/{fold}'
    return Member(name, extractor, training, validation, scored)

  members = []
  for i, job in enumerate(jobs):
    if job.held_out is not None:
      scored = np.flatnonzero(folds == job.held_out)
      members.append(
        member(i, job.held_out, job.training, job.validation, scored)
      )
      continue
    for fold in left_out(config, clips.split, clips.fold):
      inside = np.flatnonzero((folds >= 0) & (folds != fold))
      outside = np.flatnonzero(folds == fold)
      members.append(member(i, fold, inside, outside, tests))
  return members
