"""AudioSet's embeddings as they come (thesis §5.1)."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from aec_jax import teachers, timetable, warm_start
from aec_jax.datasets import class_list, ontology
from aec_jax.datasets.examples import Examples
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import packed
from aec_jax.input import pieces, strata
from aec_jax.input.batches import Features
from aec_jax.input.folds import Member
from aec_jax.report import Embedded, Shown
from aec_jax.sources.trained import Trained
from aec_jax.timetable import Sizes


def ontology_of(config, trains: bool = True) -> ontology.Ontology | None:
  """The ontology beside a release's classes; None where there is none.

  Args:
    config: of the experiment.
    trains: whether labels may be passed up, which needs one.

  Raises:
    UserError: it is no ontology, or needed and not there.
  """
  needed = 'config.pass_up=True' if trains and config.pass_up else ''
  if config.data_dir:
    classes = class_list.of_release(config.data_dir)
    return ontology.of_release(config.data_dir, classes, needed)
  if needed:
    raise UserError(f'{needed}: the synthetic set has no ontology')
  return None


def held_out(config, training: Sequence[Examples]) -> np.ndarray:
  """Which training clips choose the step: (clip,) bool.

  Args:
    config: of the experiment.
    training: the splits to train on.

  Raises:
    UserError: a share is to, and of so few clips that is none.
  """
  ids = np.concatenate([part.ids for part in training])
  share = config.holdout
  if not share:
    return np.zeros(len(ids), bool)
  labels = Labels.concatenate([part.labels for part in training])
  out = strata.held_out(ids, labels, share)
  if not out.any():
    raise UserError(
      f'config.holdout is {share}, and of {len(ids)} training clips that is'
      ' none: give a larger share, or 0'
    )
  return out


class Released:
  """AudioSet's embeddings.

  Args:
    config: of the experiment.
    cache_dir: of the stages.
    scoring: whether the training splits can be done without.

  Attributes:
    classes: names.
    ids, labels, usage: of the clips.
    fingerprints: of the data; the last ones of what is scored.
    scored_fingerprints: of what is scored alone.
    skipped, notes: {'file', 'reason', …} of what was left out or is odd.
    n_train: clips that train; n_training_clips: with their shifted copies.
    scored_on: what results.json says of it; None: nothing.
    ontology: of the classes; None where none lies beside their list.
  """

  scored_on = None
  extractors: Sequence[Trained] = ()

  def __init__(self, config, cache_dir, scoring: bool = False):
    self._config = config
    scored = packed.load_splits(config, config.eval_splits, cache_dir)
    training = []
    if not scoring:
      training = packed.load_splits(config, config.train_splits, cache_dir)
    self._training = training
    self._parts = parts = [*training, *scored]
    self.n_train = sum(len(part) for part in training)
    self.n_training_clips = self.n_train
    self.classes = parts[0].classes
    self.ids = np.concatenate([part.ids for part in parts])
    self.labels = Labels.concatenate([part.labels for part in parts])
    self.usage = np.full(len(self.ids), '')
    self.ontology = ontology_of(config, trains=not scoring)
    passes_up = config.pass_up and not scoring
    self._passed_up_by = self.ontology if passes_up else None
    self._cache_dir, self._teachers = cache_dir, []
    self._finished = None
    if not scoring:
      self._teachers = teachers.read(config, self.classes)
      self._finished = warm_start.of(config)
    self._trained_on = [part.fingerprint() for part in training]
    self.scored_fingerprints = [part.fingerprint() for part in scored]
    self.fingerprints = [*map(teachers.key, self._teachers)]
    if self._finished:
      self.fingerprints.append(self._finished.key)
    if self._passed_up_by:
      self.fingerprints.append(self._passed_up_by.fingerprint())
    self.fingerprints += self._trained_on + self.scored_fingerprints
    splits = (*(() if scoring else config.train_splits), *config.eval_splits)
    self.skipped = packed.listed_beside(config, splits, 'skipped')
    self.skipped += [entry for part in parts for entry in part.skipped]
    self.notes = packed.listed_beside(config, splits, 'notes')
    if not scoring:
      self.members()  # refuses a share before the work folder is claimed

  def sizes(self) -> Sizes:
    """What there is to do for them."""
    return timetable.of_embeddings(self._config, len(self.classes))

  def read_from(self) -> list[str]:
    """What names all that was read, on whatever host."""
    return self.fingerprints

  def train_extractors(self, workdir=None) -> None:
    """Nothing: the embeddings are there."""

  def load_extractors(self) -> None:
    """Nothing, likewise."""

  def embed(self) -> None:
    """Nothing, likewise."""

  def members(self) -> list[Member]:
    """One classifier, or several that differ by their seeds.

    They stop by what is held out of their training, or by what they are scored
    on (§5.1.3), or by neither (`config.keep`).
    """
    names = ['released']
    if self._config.members > 1:
      names = [f'released_{i}' for i in range(self._config.members)]
    training, held_out = self._divided
    scored = self.scored_clips()
    some = held_out if len(held_out) else scored
    watched = some is held_out or self._config.keep == 'last'
    return [Member(n, 0, training, some, scored, watched) for n in names]

  def learned(self, length: int) -> dict:
    """What the classifiers start from; see `warm_start`."""
    if not self._finished:
      return {}
    return self._finished.hidden(self.members(), [], length)

  @functools.cached_property
  def _divided(self) -> tuple[np.ndarray, np.ndarray]:
    """Clips that train, and those that are held out to choose the step by."""
    if not self.n_train:  # scoring alone reads none
      return np.zeros(0, int), np.zeros(0, int)
    out = held_out(self._config, self._training)
    return np.flatnonzero(~out), np.flatnonzero(out)

  def scored_clips(self) -> np.ndarray:
    """(clip,) indices of what is scored."""
    return np.arange(self.n_train, len(self.ids))

  def features(self, length: int) -> Features:
    """Each clip in one piece, if it is of the release, whose have at most ten
    segments; longer ones in as many as they take.
    """
    whole = Examples.concatenate(self._parts)
    rows, size, width = whole.embeddings.shape
    del length  # of all of them the same
    features = Features(
      whole.embeddings.reshape(1, rows * size, width),
      pieces.padded(whole.n_segments.astype(int), size),
      self.ids,
      self.labels,
    )
    learned = self._learned_labels()
    if self._teachers:
      targets = teachers.targets(
        self._teachers, self._config.teacher_weight,
        dataclasses.replace(features, labels=learned), self.n_train,
        self._trained_on, self._cache_dir,
      )  # fmt: skip
    elif learned is not self.labels:
      targets = learned.packed()
    else:
      return features
    return dataclasses.replace(features, targets=targets)

  def _learned_labels(self) -> Labels:
    """Those of the clips, of training ones perhaps with what is above them."""
    if not self._passed_up_by:
      return self.labels
    each = np.arange(len(self.labels))
    training, others = each[: self.n_train], each[self.n_train :]
    return Labels.concatenate(
      [
        self._passed_up_by.passed_up(self.labels.select(training)),
        self.labels.select(others),
      ]
    )

  def distribution(self) -> dict:
    """The clips of each class, of each split that was read; and the share of
    its clips that lack a class above one of theirs.
    """
    names = (*self._config.train_splits, *self._config.eval_splits)
    names = names[-len(self._parts) :]  # scoring alone, those of training lack
    splits = dict(zip(names, self._parts, strict=True))
    found: dict = {
      'clips': {
        name: dict(
          zip(part.classes, part.labels.class_counts().tolist(), strict=True)
        )
        for name, part in splits.items()
      }
    }
    if self.ontology:
      found['without_class_above'] = {
        name: float(np.mean(self.ontology.lacking(part.labels)))
        for name, part in splits.items()
      }
    return found

  def show(self, clip_id: str) -> Shown:
    """A clip's embeddings, which are all that the release has of it."""
    return Shown(self._embeddings(clip_id).T, 'the embeddings over time')

  def embedded(self, clip_id: str) -> Embedded:
    """A clip as its classifiers take it."""
    return Embedded(self._embeddings(clip_id)[None])

  def _embeddings(self, clip_id) -> np.ndarray:
    """(segment, 128) uint8 of a clip."""
    for part in self._parts:
      found = np.flatnonzero(part.ids == clip_id.encode())
      if found.size:
        first, last = part.row_offsets[found[0] : found[0] + 2]
        rows = part.embeddings[first:last].reshape(-1, part.embeddings.shape[2])
        return rows[: part.n_segments[found[0]]]
    raise KeyError(clip_id)
