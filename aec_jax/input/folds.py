"""Which clips each extractor and each member trains on, stops by and scores.

Where the test clips have labels, they are scored, as in DCASE 2018 Task 2: each
member leaves one fold out of its training and stops by it. Where they have
none, the training clips are scored, each by the members that have not seen
it: then an extractor, too, is trained without the fold that it is scored on,
and a member stops by its extractor's validation clips.
"""

import numpy as np

from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import pieces
from aec_jax.train import extractor
from aec_jax.train.classifiers import Member


def scored_apart(prepared: ClipExamples) -> np.ndarray:
  """(clip,) bool: the test clips, which have labels wherever they are kept."""
  return prepared.split == 'test'


def fold_of(config, prepared: ClipExamples) -> np.ndarray:
  """(clip,) the fold of each training clip, 0 and up; -1 for test clips.

  The data set's own where every training clip has one.
  """
  training = ~scored_apart(prepared)
  out = np.full(len(prepared), -1)
  own = prepared.fold[training]
  if own.min() >= 0 and len(np.unique(own)) > 1:
    out[training] = np.unique(own, return_inverse=True)[1]
  else:
    labels = prepared.labels[training]
    out[training] = pieces.folds(labels, config.folds, config.seed)
  return out


def extractor_jobs(config, prepared) -> list[tuple[extractor.Job, int | None]]:
  """The extractors to train, each with the fold that it may not see."""
  training = np.flatnonzero(~scored_apart(prepared))
  folds = fold_of(config, prepared)
  if scored_apart(prepared).any():
    held_out = [None]
  else:
    held_out = list(range(folds.max() + 1))
  jobs = []
  for name in config.extractors:
    for fold in held_out:
      rest = training if fold is None else training[folds[training] != fold]
      jobs.append((_job(config, prepared, name, rest), fold))
  return jobs


def _job(config, prepared, name, clips):
  """§5.2.2: clips in the order of train.csv, where classes come mixed.

  Folders list theirs class by class, so that there the order is drawn.
  """
  if config.dataset != 'fsdkaggle2018':
    order = pieces.spread(prepared.labels[clips], config.seed)
    clips = clips[order]
  sampling, _, part = name.partition('_')
  if name == 'original':
    sampling, part = 'none', 'first'
  training, validation = pieces.split(clips, part)
  return extractor.Job(name, sampling, np.sort(training), np.sort(validation))


def members_of(config, prepared, jobs, source) -> list[Member]:
  """Extractors × folds.

  Args:
    config, prepared: of the experiment.
    jobs: what `extractor_jobs` returns.
    source: (copy,) the clip of each pitch-shifted copy; copies are numbered
      from len(prepared) on, and train wherever their clip does.
  """
  tests = np.flatnonzero(scored_apart(prepared))
  folds = fold_of(config, prepared)
  copies = len(prepared) + np.arange(len(source))

  def member(extractor, fold, training, validation, scored):
    training = np.append(training, copies[np.isin(source, training)])
    name = f'{jobs[extractor][0].name}/{fold}'
    return Member(name, extractor, training, validation, scored)

  members = []
  for i, (job, held_out) in enumerate(jobs):
    if held_out is not None:
      scored = np.flatnonzero(folds == held_out)
      members.append(member(i, held_out, job.training, job.validation, scored))
      continue
    for fold in range(folds.max() + 1):
      inside = np.flatnonzero((folds >= 0) & (folds != fold))
      outside = np.flatnonzero(folds == fold)
      members.append(member(i, fold, inside, outside, tests))
  return members
