"""Clips of sound, through log-mel and trained extractors (thesis §5.2)."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax import label_doctor, timetable, warm_start
from aec_jax.datasets.labels import Labels
from aec_jax.errors import UserError
from aec_jax.features import log_mels
from aec_jax.features.embeddings import embed
from aec_jax.input import batches, pieces
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
from aec_jax.run import hosts, progress
from aec_jax.sources import shifted
from aec_jax.sources.trained import Trained
from aec_jax.timetable import Sizes
from aec_jax.train import extractor as fine_tuning
from aec_jax.train.start import Start, of_file


class Recorded:
  """Clips of sound; arguments and attributes as of `Released`.

  Attributes:
    extractors: those that are ready, in the order of the jobs.
  """

  ontology = None

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
      self._tell_start()

  def _tell_start(self) -> None:
    """Says what is started from, and whether that makes the scores too good."""
    finished = self._finished
    if not finished:
      return
    logging.info('extractors and hidden layers start from %s', finished)
    if self.scored_on != 'test' and finished.knows(self.scored_fingerprints):
      note = (
        f'{finished} has trained on these very clips, and what starts from it'
        ' has heard those that it is scored on: the scores are too good'
      )
      logging.warning('config.init_from: %s', note)
      self.notes.append({'file': self._config.init_from, 'reason': note})

  def read_from(self) -> list[str]:
    """See `Released`. Log-mels that hosts made may differ by a last bit."""
    weights = [] if self._scoring else self.fingerprints[1:]
    return [self._own.folder.name, *weights]

  @functools.cached_property
  def fingerprints(self) -> list[str]:
    """Of the clips, and of the weights that extractors start from."""
    return [self._own.fingerprint, self._start.key]

  @functools.cached_property
  def _finished(self) -> warm_start.Finished | None:
    """The experiment to start from."""
    return warm_start.of(self._config)

  @functools.cached_property
  def _start(self) -> Start:
    """What extractors start from."""
    if self._finished:
      return self._finished.extractors()
    return of_file(self._config.extractor)

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
    return timetable.of_prepared(
      self._config, self._own, self._start, self._cache_dir
    )

  def train_extractors(self, workdir: Path | None = None) -> None:
    """Trains those that are not in the cache.

    Args:
      workdir: where their curves go; None: nowhere.
    """
    missing = [not self._folder(job).exists() for job in self.jobs]
    for i, job in enumerate(self.jobs):
      where = workdir and workdir / 'extractors' / job.title.replace('/', '_')
      with progress.within(*self._which(i), more=sum(missing[i + 1 :])):
        folder = fine_tuning.trained(
          self._config, self._own, job, self._start, self._cache_dir, where
        )
      self._add(job, folder)

  def load_extractors(self) -> None:
    """Takes those that were trained from the cache, and trains none.

    Raises:
      UserError: one is not there, or damaged.
    """
    for job in self.jobs:
      folder = self._folder(job)
      if not hosts.lead(folder.exists):
        raise UserError(
          f'{self._cache_dir} has no extractor {job.title} of these clips,'
          ' weights and settings: train first (--mode=train)'
        )
      self._add(job, folder)

  def _folder(self, job: Job) -> Path:
    return fine_tuning.folder_of(
      self._config, self._own, job, self._start, self._cache_dir
    )

  def _add(self, job: Job, folder: Path) -> None:
    """Makes an extractor ready that lies in a folder of host 0's cache."""
    section = self._config.extractor
    self.extractors.append(Trained.of_folder(job.title, section, folder))

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

  def learned(self, length: int) -> dict:
    """What members of pieces of some length start from; see `warm_start`."""
    if not self._finished:
      return {}
    titles = [job.title for job in self.jobs]
    return self._finished.hidden(self.members(), titles, length)

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

  def shifted(
    self, members: Sequence[Member]
  ) -> tuple[np.ndarray, list[np.ndarray]]:
    """The own clips' segments at all shifts; see `shifted.segments`."""
    outputs = self.outputs[:, : len(self._own.examples)]
    return shifted.segments(
      self._config, self._own, outputs, self.extractors, members,
      self._cache_dir,
    )  # fmt: skip

  def scored_features(self, length: int, members: Sequence[Member]) -> Features:
    """As `features`, of the own clips, at all shifts.

    Args:
      length: of pieces.
      members: that score them.
    """
    segments, cuts = self.shifted(members)
    cut = pieces.cut_all(cuts, length, self._config.last_piece)
    return Features(segments, cut, self.ids, self.labels)

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
    """Looks for wrong labels, and writes a list without the surest of them, and
    one in which the surest that nobody has verified count as verified.

    Args:
      clips: (clip,) of the own clips, each with one label.
      probabilities: (clip, class) of members that have not trained on them.
      workdir: where the lists go, as `label_doctor.LIST` and `ACCEPTED`.

    Returns:
      What results.json says of it.
    """
    own = self._own
    labels, verified = own.labels.select(clips).ids, own.verified[clips]
    about, changes = label_doctor.examine(
      own.classes, own.ids[clips], labels, verified, probabilities
    )
    about['list'] = label_doctor.LIST
    sure = label_doctor.agreed(labels, verified, probabilities)
    listed = {int(own.source[clips[i]]): k for i, k in changes.items()}
    if hosts.is_first():
      label_doctor.write_list(workdir / label_doctor.LIST, self._clips, listed)
    if len(sure):
      about |= {'accepted': len(sure), 'accepted_list': label_doctor.ACCEPTED}
    if len(sure) and hosts.is_first():
      label_doctor.write_list(
        workdir / label_doctor.ACCEPTED,
        self._clips,
        {},
        own.source[clips[sure]],
      )
    return about

  def distribution(self) -> dict:
    """See `clip_figures.distribution`."""
    return clip_figures.distribution(self._clips, self._own)

  def show(self, clip_id: str) -> Shown:
    """See `clip_figures.show_clip`."""
    spec = extractors.front_end(self._config.extractor)
    return clip_figures.show_clip(self._clips, self._own, clip_id, spec)

  def embedded(self, clip_id: str) -> Embedded | None:
    """See `clip_figures.embedded_clip`."""
    keys = [self._folder(job).name for job in self.jobs]
    return clip_figures.embedded_clip(
      self._config, self._own, clip_id, keys, self._cache_dir
    )
