"""From sound to tags, with the weights of a finished experiment.

The same function as the experiment's scoring: log-mel → extractors → pieces →
members → the mean over members and pieces.
"""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, overload

import numpy as np

from aec_jax.audio import stream
from aec_jax.bundle import embedded
from aec_jax.bundle.network import Network
from aec_jax.bundle.tags import Tags
from aec_jax.errors import UserError
from aec_jax.input import pieces

# Segments after which the sounds that are read are classified together.
_GROUP = 512

# A path or a waveform.
Sound = str | os.PathLike | np.ndarray


class _Heard(NamedTuple):
  """A sound.

  Attributes:
    name, facts, error: as of `embedded.Stretch`.
    cuts: of each shift (extractor, feature), one a segment.
  """

  name: str
  facts: stream.Facts
  cuts: list[list[np.ndarray]]
  error: UserError | None


class _Values(NamedTuple):
  """What one length of pieces says of sounds.

  Attributes:
    whole: (sound, class).
    timeline: (segment, class), of the first piece that a segment stands in;
      this and the next are of the sounds cut at their beginning alone.
    attention: (segment, class), or None.
    uniform: (segment,), what attention is where it is uniform.
  """

  whole: np.ndarray
  timeline: np.ndarray
  attention: np.ndarray | None
  uniform: np.ndarray


class Tagger(Network):
  """Tags sounds; made by `aec_jax.load`."""

  @overload
  def predict(self, sound: Sound, sample_rate: int | None = None) -> Tags: ...

  @overload
  def predict(
    self, sound: list[Sound], sample_rate: int | None = None
  ) -> list[Tags]: ...

  def predict(
    self, sound: Sound | list[Sound], sample_rate: int | None = None
  ) -> Tags | list[Tags]:
    """Tags one sound, or a list of them.

    Args:
      sound: a file's path; a waveform (sample,) or (sample, channel), floats in
        [-1, 1] or integers of full scale; or a list of either. An array is
        always one sound: a batch (sound, sample) is given as `list(batch)`.
      sample_rate: of waveforms, Hz; files have their own.

    Returns:
      Its tags; of a list, a list of them.

    Raises:
      UserError: a sound cannot be read, has no samples, NaN, or another shape
        or scale, or no sample rate.
    """
    several = isinstance(sound, list)
    sounds = sound if isinstance(sound, list) else [sound]
    files = [isinstance(x, (str, os.PathLike)) for x in sounds]
    # Beside waveforms, files go by their own rate; alone they want none given.
    of_files = sample_rate if all(files) else None
    found = []
    # One at a time, since each holds what was read of it.
    for tags in self.tag(
      _recording(
        x,
        of_files if is_file else sample_rate,
        f'waveform {i}' if several else 'waveform',
      )
      for i, (x, is_file) in enumerate(zip(sounds, files, strict=True))
    ):
      if isinstance(tags, UserError):
        raise tags
      found.append(tags)
    return found if several else found[0]

  def tag(self, sounds: Iterable[embedded.Item]) -> Iterator[Tags | UserError]:
    """Tags many sounds, in batches across them.

    Args:
      sounds: recordings, or what was read of them; AudioSet's embeddings
        (segment, 128) uint8; or errors, which are passed on.

    Yields:
      For each of them, in their order, its tags, or what is wrong with it.
    """
    yield from self.tag_embedded(
      embedded.stretches(self, sounds, test_shifts=self.test_shifts)
    )

  def tag_embedded(
    self, stretches: Iterable[embedded.Stretch]
  ) -> Iterator[Tags | UserError]:
    """As `tag`, of sounds that are embedded already, by whole segments.

    Args:
      stretches: of sounds, all at as many shifts.
    """
    group: list[_Heard] = []
    cuts: list[list[np.ndarray]] = []
    segments = 0
    for stretch in stretches:
      some = [stretch.embeddings, *stretch.shifted]
      cuts = [
        before + more
        for before, more in zip(cuts or [[] for _ in some], some, strict=True)
      ]
      if not stretch.last:
        continue
      group.append(_Heard(stretch.name, stretch.facts, cuts, stretch.error))
      segments, cuts = segments + sum(map(len, cuts)), []
      if segments >= _GROUP:
        yield from self._results(group)
        group, segments = [], 0
    yield from self._results(group)

  def _results(self, group):
    """The results of sounds whose embeddings are there."""
    heard = [sound for sound in group if not sound.error]
    found = iter(self._classified(heard) if heard else [])
    for sound in group:
      yield sound.error or next(found)

  def _classified(self, sounds):
    embeddings, cuts = _laid_out(sounds)
    offsets = cuts[0]
    if self.ensembles:
      found = [self._run(e, embeddings, cuts) for e in self.ensembles]
    else:
      found = [self._of_examples(embeddings, cuts)]
    whole, timeline = (
      np.asarray(self.objective.to_probabilities(sum(x) / len(found)))
      for x in ([f.whole for f in found], [f.timeline for f in found])
    )
    uniform = np.mean([f.uniform for f in found], 0)
    weights = [f.attention for f in found if f.attention is not None]
    attention = np.mean(weights, 0) if weights else None
    for i, sound in enumerate(sounds):
      mine = slice(offsets[i], offsets[i + 1])
      try:
        values = np.append(whole[i], timeline[mine].sum())
        embedded.check_finite(sound.name, values)
      except UserError as error:
        yield error
        continue
      facts = sound.facts
      yield Tags(
        classes=self.classes,
        probabilities=whole[i].astype(np.float32),
        times=facts.kept[0] + self.spec.seconds * np.arange(len(sound.cuts[0])),
        seconds=self.spec.seconds,
        timeline=timeline[mine].astype(np.float32),
        attention=None if attention is None else attention[mine],
        uniform=uniform[mine],
        duration=facts.duration,
        kept=facts.kept,
        notes=facts.notes,
        silent=facts.silent,
      )

  def _run(self, ensemble, embeddings, cuts) -> _Values:
    cut = pieces.cut_all(cuts, ensemble.length, ensemble.last_piece)
    values, attention, _ = self.pieces(
      ensemble, embeddings, cut.segments, cut.n_segments, asked=('attention',)
    )
    piece, _ = np.nonzero(cut.own)
    segments = cut.segments[cut.own]
    count = cuts[0][-1]
    timeline = np.empty((count, len(self.classes)), np.float32)
    timeline[segments] = values[piece]
    listened = None
    if attention is not None:
      listened = np.empty_like(timeline)
      listened[segments] = attention[cut.own]
    uniform = np.empty(count, np.float32)
    uniform[segments] = 1 / cut.n_segments[piece]
    return _Values(cut.clip_values(values), timeline, listened, uniform)

  def _of_examples(self, logits, cuts) -> _Values:
    """As `_run`, where extractors classify (the baseline).

    Args:
      logits: (extractor, example, class).
      cuts: (sound + 1,) offsets of each.
    """
    order, offsets = pieces.by_clip(cuts)
    whole = [self.objective.example_means(x[order], offsets) for x in logits]
    first = logits[:, : cuts[0][-1]]
    timeline = np.asarray(self.objective.values(first)).mean(0)
    uniform = np.ones(len(timeline), np.float32)
    mean = np.asarray(sum(whole) / len(whole))
    return _Values(mean, timeline, None, uniform)


def _laid_out(sounds) -> tuple[np.ndarray, list[np.ndarray]]:
  """Embeddings (extractor, segment, feature), one cut of all sounds after the
  other, and the (sound + 1,) offsets of each cut.
  """
  by_cut = [rows for cut in zip(*(s.cuts for s in sounds), strict=True)
            for rows in cut]  # fmt: skip
  embeddings = np.stack(list(itertools.chain(*by_cut)), 1)
  ends = np.cumsum([0, *map(len, by_cut)])
  starts = range(0, len(by_cut), len(sounds))
  return embeddings, [ends[i : i + len(sounds) + 1] for i in starts]


def _recording(sound, rate, name) -> stream.Recording:
  """What `predict` is given, to be read."""
  if isinstance(sound, (str, os.PathLike)):
    if rate is not None:
      raise UserError(
        f'{os.fspath(sound)}: a file has its own sample rate: give none'
      )
    return stream.Recording.of_file(sound).held()
  if np.ndim(sound) == 0:
    raise UserError(
      f'{name} is {sound!r:.80}, neither a path nor a waveform: of one'
      ' waveform give an array, numpy.asarray(…)'
    )
  if rate is None:
    raise UserError(f'{name} is an array: give its sample rate as well')
  recording = stream.Recording.of_array(sound, rate)
  return dataclasses.replace(recording, name=name)
