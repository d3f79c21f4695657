"""What an experiment's classifiers train on and are scored on.

`Released`: AudioSet's embeddings as they come (thesis §5.1). `Recorded`: clips
of sound, through log-mel and trained extractors (§5.2). Both say which members
there are, and make the `Features` that these take.
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from aec_jax import label_doctor, teachers, timetable
from aec_jax.datasets.examples import Examples
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import log_mels, packed
from aec_jax.features.embeddings import embed, load_variables
from aec_jax.input import batches, pieces, strata
from aec_jax.input.batches import Features
from aec_jax.input.folds import (
  Job,
  Member,
  extractor_jobs,
  members_of,
  scored_apart,
  scored_how,
)
from aec_jax.models import extractors
from aec_jax.report import Embedded, Shown, clip_figures
from aec_jax.run import checksums, hosts, progress
from aec_jax.timetable import Sizes
from aec_jax.train import extractor as fine_tuning


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
  """An extractor that is ready.

  Attributes:
    name: among all extractors.
    variables: as `extractors.extractor_variables` has them.
    key: names them, for the cache of embeddings.
    history: of its training: 'evaluations', 'seconds', …
  """

  name: str
  variables: dict
  key: str
  history: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
  """

  scored_on = None
  extractors: Sequence[Trained] = ()

  def __init__(self, config, cache_dir, scoring: bool = False):
    self._config = config
    scored = packed.load_splits(config, config.eval_splits, cache_dir)
    training = []
    if not scoring:
      training = packed.load_splits(config, config.train_splits, cache_dir)
    self._parts = parts = [*training, *scored]
    self.n_train = sum(len(part) for part in training)
    self.n_training_clips = self.n_train
    self.classes = parts[0].classes
    self.ids = np.concatenate([part.ids for part in parts])
    self.labels = Labels.concatenate([part.labels for part in parts])
    self.usage = np.full(len(self.ids), '')
    self._cache_dir, self._teachers = cache_dir, []
    if not scoring:
      self._teachers = teachers.read(config, self.classes)
    self._trained_on = [part.fingerprint() for part in training]
    self.scored_fingerprints = [part.fingerprint() for part in scored]
    self.fingerprints = [*map(teachers.key, self._teachers)]
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

  def train_extractors(self, cache_dir, workdir=None) -> None:
    """Nothing: the embeddings are there."""

  def load_extractors(self, cache_dir) -> None:
    """Nothing, likewise."""

  def embed(self) -> None:
    """Nothing, likewise."""

  def members(self) -> list[Member]:
    """One classifier, or several that differ by their seeds.

    They stop by what is held out of their training, or by what they are scored
    on (§5.1.3).
    """
    names = ['released']
    if self._config.members > 1:
      names = [f'released_{i}' for i in range(self._config.members)]
    training, held_out = self._divided
    scored = self.scored_clips()
    some, watched = (held_out, True) if len(held_out) else (scored, False)
    return [Member(n, 0, training, some, scored, watched) for n in names]

  @functools.cached_property
  def _divided(self) -> tuple[np.ndarray, np.ndarray]:
    """Clips that train, and those that are held out to choose the step by."""
    training, share = np.arange(self.n_train), self._config.holdout
    if not share or not self.n_train:  # scoring alone reads none
      return training, training[:0]
    labels = self.labels.select(training)
    out = strata.held_out(self.ids[training], labels, share)
    if not out.any():
      raise UserError(
        f'config.holdout is {share}, and of {self.n_train} training clips that'
        ' is none: give a larger share, or 0'
      )
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
    if not self._teachers:
      return features
    learned = teachers.targets(
      self._teachers, self._config.teacher_weight, features, self.n_train,
      self._trained_on, self._cache_dir,
    )  # fmt: skip
    return dataclasses.replace(features, targets=learned)

  def distribution(self) -> dict:
    """The clips of each class, of each split that was read."""
    names = (*self._config.train_splits, *self._config.eval_splits)
    names = names[-len(self._parts) :]  # scoring alone, those of training lack
    return {
      'clips': {
        name: dict(
          zip(part.classes, part.labels.class_counts().tolist(), strict=True)
        )
        for name, part in zip(names, self._parts, strict=True)
      }
    }

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


class Recorded:
  """Clips of sound; arguments and attributes as of `Released`.

  Attributes:
    extractors: those that are ready, in the order of the jobs.
  """

  def __init__(self, config, cache_dir, scoring: bool = False):
    self._config, self._cache_dir = config, cache_dir
    self._scoring = scoring
    self._clips = log_mels.list_clips(config, cache_dir)
    self._own = own = log_mels.prepare(config, self._clips, cache_dir)
    self.extractors: list[Trained] = []
    self.classes, self.skipped = own.classes, own.skipped
    about = [
      {'file': config.data_dir or 'the synthetic set', 'reason': note}
      for note in self._clips.notes
    ]
    self.notes = own.notes + about
    self.usage = own.usage
    self.scored_fingerprints = [own.fingerprint]
    self.n_train = int(np.sum(own.split == 'train'))
    apart = scored_apart(own.split).any()
    self.scored_on = 'test' if apart else 'out-of-fold'
    if not scoring:
      logging.info('%s', scored_how(config, own.split, own.fold))
      len(self.jobs)  # refuses extractors that the clips don't allow

  def read_from(self) -> list[str]:
    """See `Released`. Log-mels that hosts made may differ by a last bit."""
    weights = [] if self._scoring else self.fingerprints[1:]
    return [self._own.folder.name, *weights]

  @functools.cached_property
  def fingerprints(self) -> list[str]:
    """Of the clips, and of the weights that extractors start from."""
    init = self._config.extractor.init
    return [self._own.fingerprint, fine_tuning.weights_digest(init)]

  @functools.cached_property
  def jobs(self) -> list[Job]:
    """The extractors to train."""
    return extractor_jobs(self._config, self._own)

  @functools.cached_property
  def _sets(self) -> list[log_mels.ClipExamples]:
    """The clips, and their shifted copies."""
    copies = None
    if self._config.pitch_to and not self._scoring:
      copies = log_mels.pitch_shifted(
        self._config, self._clips, self._own, self._cache_dir
      )
    return [self._own] if copies is None else [self._own, copies]

  @functools.cached_property
  def ids(self) -> np.ndarray:
    return np.concatenate([s.ids for s in self._sets])

  @functools.cached_property
  def labels(self) -> Labels:
    return Labels.concatenate([s.labels for s in self._sets])

  @property
  def n_training_clips(self) -> int:
    """Those that train, with their shifted copies."""
    return len(self.ids) - int(scored_apart(self._own.split).sum())

  def sizes(self) -> Sizes:
    """What there is to do for them."""
    return timetable.of_prepared(self._config, self._own, self._cache_dir)

  def train_extractors(
    self, cache_dir: str | Path, workdir: Path | None = None
  ) -> None:
    """Trains those that are not in the cache.

    Args:
      cache_dir: of the stages.
      workdir: where their curves go; None: nowhere.
    """
    missing = [not self._folder(job, cache_dir).exists() for job in self.jobs]
    for i, job in enumerate(self.jobs):
      where = workdir and workdir / 'extractors' / job.title.replace('/', '_')
      with progress.within(*self._which(i), more=sum(missing[i + 1 :])):
        folder = fine_tuning.trained(
          self._config, self._own, job, cache_dir, where
        )
      self._add(job, folder)

  def load_extractors(self, cache_dir: str | Path) -> None:
    """Takes those that were trained from the cache, and trains none.

    Raises:
      UserError: one is not there, or damaged.
    """
    for job in self.jobs:
      folder = self._folder(job, cache_dir)
      if not hosts.lead(folder.exists):
        raise UserError(
          f'{cache_dir} has no extractor {job.title} of these clips, weights'
          ' and settings: train first (--mode=train)'
        )
      self._add(job, folder)

  def _folder(self, job: Job, cache_dir) -> Path:
    return fine_tuning.folder_of(self._config, self._own, job, cache_dir)

  def _add(self, job: Job, folder: Path) -> None:
    """Makes an extractor ready that lies in a folder of host 0's cache."""
    variables, history = hosts.lead(lambda: _read(folder))
    variables = extractors.extractor_variables(
      self._config.extractor, variables
    )
    self.extractors.append(Trained(job.title, variables, folder.name, history))

  def _which(self, i: int) -> list[str]:
    """The words for one of the jobs."""
    names = list(dict.fromkeys(job.name for job in self.jobs))
    folds = [job for job in self.jobs if job.name == self.jobs[i].name]
    number, fold = names.index(self.jobs[i].name), folds.index(self.jobs[i])
    words = [f'extractor {number + 1} of {len(names)}']
    if len(folds) > 1:
      words.append(f'fold {fold + 1} of {len(folds)}')
    return words

  def members(self) -> list[Member]:
    """Extractors × folds."""
    source = np.zeros(0, np.int32)
    if len(self._sets) > 1:
      source = self._sets[1].source
    return members_of(self._config, self._own, self.jobs, source)

  def scored_clips(self) -> np.ndarray:
    """(clip,) the test clips, or where there are none all that have labels."""
    apart = scored_apart(self._own.split)
    return np.flatnonzero(apart) if apart.any() else np.arange(len(self._own))

  def embed(self) -> None:
    """Makes the shifted copies and the embeddings that are not there."""
    len(self.outputs)

  @functools.cached_property
  def outputs(self) -> np.ndarray:
    """(extractor, segment, feature), what the extractors make of all clips."""
    return np.stack(
      [
        np.concatenate(
          [
            embed(
              self._config.extractor, len(self.classes), s, e.variables, e.key,
              self._cache_dir,
            )
            for s in self._sets
          ]
        )
        for e in self.extractors
      ]
    )  # fmt: skip

  @functools.cached_property
  def offsets(self) -> np.ndarray:
    """(clip + 1,) of the segments."""
    counts = np.concatenate([np.diff(s.offsets) for s in self._sets])
    return np.concatenate([[0], np.cumsum(counts)])

  def features(self, length: int) -> Features:
    """The clips in pieces of some length; 0: each as a whole."""
    last = self._config.last_piece
    cut = pieces.cut(self.offsets, length, last)
    verified = np.concatenate([s.verified for s in self._sets])
    weights = batches.loss_weights(verified, self._config.unverified_weight)
    return Features(
      self.outputs, cut, self.ids, self.labels, loss_weights=weights
    )

  def examine(
    self, clips: np.ndarray, probabilities: np.ndarray, workdir: Path
  ) -> dict:
    """Looks for wrong labels, and writes a list without the surest of them.

    Args:
      clips: (clip,) of the own clips, each with one label.
      probabilities: (clip, class) of members that have not trained on them.
      workdir: where the list goes, as `label_doctor.LIST`.

    Returns:
      What results.json says of it.
    """
    own = self._own
    about, changes = label_doctor.examine(
      own.classes, own.ids[clips], own.labels.select(clips).ids,
      own.verified[clips], probabilities,
    )  # fmt: skip
    if hosts.is_first():
      listed = {int(own.source[clips[i]]): k for i, k in changes.items()}
      label_doctor.write_list(workdir / label_doctor.LIST, self._clips, listed)
    return about | {'list': str(label_doctor.LIST)}

  def distribution(self) -> dict:
    """See `clip_figures.distribution`."""
    return clip_figures.distribution(self._clips, self._own)

  def show(self, clip_id: str) -> Shown:
    """See `clip_figures.show_clip`."""
    spec = extractors.front_end(self._config.extractor)
    return clip_figures.show_clip(self._clips, self._own, clip_id, spec)

  def embedded(self, clip_id: str) -> Embedded | None:
    """See `clip_figures.embedded_clip`."""
    keys = [self._folder(job, self._cache_dir).name for job in self.jobs]
    return clip_figures.embedded_clip(
      self._config, self._own, clip_id, keys, self._cache_dir
    )


def _read(folder: Path) -> tuple[dict, dict]:
  """The variables of an extractor of the cache, and its history.

  Raises:
    UserError: it is damaged.
  """
  checksums.check(folder)
  history = json.loads((folder / 'history.json').read_text('utf-8'))
  return load_variables(folder), history


def open_source(
  config, cache_dir: str | Path, scoring: bool = False
) -> Released | Recorded:
  """What a config's `dataset` and `extractor` name."""
  if not config.data_dir:
    logging.warning(
      'config.data_dir is empty: this is a SYNTHETIC data set, whose scores say'
      ' nothing of real sounds'
    )
  kind = Released if config.dataset == 'audioset' else Recorded
  source = kind(config, cache_dir, scoring)
  hosts.check_same(
    source.read_from(),
    f'what is in {config.data_dir}, or in the file of config.extractor.init, is'
    ' not the same on all hosts',
  )
  return source
