"""From sound to tags, with the weights of a finished experiment.

The same function as the experiment's scoring: log-mel → extractors → pieces →
members → the mean over members and pieces. Neither TensorFlow nor what training
needs is imported.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import cast, overload

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax import models
from aec_jax.audio import FrontEnd, stream
from aec_jax.audio.log_mel import log_mel
from aec_jax.bundle import sizes
from aec_jax.bundle.tags import Tags
from aec_jax.errors import UserError
from aec_jax.input import batches, pieces
from aec_jax.models import embedding_postprocess, extractors
from aec_jax.objective import OBJECTIVES

# Segments after which the sounds that are read are classified together.
_GROUP = 512

# A path or a waveform.
Sound = str | os.PathLike | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
  """Classifiers that take pieces of one length.

  Attributes:
    length: segments of a piece, L.
    last_piece: as `pieces.cut` takes it.
    extractors: (member,) int32, whose embeddings each member takes.
    members: (member,) names; none in older bundles.
    variables: with a leading member axis.
  """

  length: int
  last_piece: str
  extractors: np.ndarray
  members: tuple[str, ...]
  variables: dict


@dataclasses.dataclass(eq=False)
class _Sound:
  """A sound under way; `embeddings` gets an (extractor, feature) a segment."""

  duration: float = 0.0
  kept: tuple[float, float] = (0.0, 0.0)
  embeddings: list[np.ndarray] = dataclasses.field(default_factory=list)
  error: UserError | None = None
  name: str = 'embeddings'
  notes: tuple[str, ...] = ()
  silent: bool = False

  def __len__(self) -> int:
    return len(self.embeddings)


class Tagger:
  """Tags sounds.

  Args:
    info: what `bundle.json` holds.
    extractors: the variables of each extractor; none where sound cannot be
      heard, only embeddings.
    ensembles: of classifiers; none where the extractors classify.
    pca: turns embeddings into AudioSet's uint8.

  Attributes:
    classes: names of the K classes.
    hears: whether it takes sound, or embeddings alone.
    takes_embeddings: whether it takes AudioSet's.
    objective: what its labels mean.
    spec: of the front end.
  """

  def __init__(
    self,
    info: dict,
    extractors: list[dict],
    ensembles: list[Ensemble],
    pca: embedding_postprocess.Pca | None = None,
  ) -> None:
    self.info, self.pca = info, pca
    self.classes = tuple(info['classes'])
    self.front_end = info['front_end']
    self.spec = FrontEnd.of_record(self.front_end)
    self.objective = OBJECTIVES[info['objective']]
    self.takes_embeddings = info['extractor']['model'] == 'released'
    self.extractors = jax.device_put(extractors)
    self.ensembles = [
      dataclasses.replace(e, variables=jax.device_put(e.variables))
      for e in ensembles
    ]
    self.hears = bool(extractors)
    self._together = sizes.examples_together(self.spec.frames)
    self._extractor, self._classifier = modules(info)
    self._front_end = jax.jit(self.front_end_of)
    self._extract = jax.jit(self.extract)
    self._classify = jax.jit(self.classify)

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
    found = []
    for tags in self.tag(
      [
        _recording(x, sample_rate, f'waveform {i}' if several else 'waveform')
        for i, x in enumerate(sounds)
      ]
    ):
      if isinstance(tags, UserError):
        raise tags
      found.append(tags)
    return found if several else found[0]

  def tag(
    self,
    sounds: Iterable[
      stream.Recording | stream.Examples | np.ndarray | UserError
    ],
  ) -> Iterator[Tags | UserError]:
    """Tags many sounds, in batches across them.

    Args:
      sounds: recordings, or what was read of them; AudioSet's embeddings
        (segment, 128) uint8; or errors, which are passed on.

    Yields:
      For each of them, in their order, its tags, or what is wrong with it.
    """
    group, rows, segments = [], [], 0
    for item in sounds:
      sound = _Sound(name=getattr(item, 'name', 'embeddings'))
      group.append(sound)
      try:
        for row in self._rows(item, sound):
          rows.append((sound, row))
          if len(rows) == self._together:
            self._embed(rows)
            rows, segments = [], segments + self._together
      except UserError as error:
        sound.error = error
      segments += len(sound) if isinstance(item, np.ndarray) else 0
      if segments >= _GROUP:
        self._embed(rows)
        yield from self._results(group)
        group, rows, segments = [], [], 0
    self._embed(rows)
    yield from self._results(group)

  def _rows(self, item, sound):
    """The examples (15600,) of a recording, one by one."""
    if isinstance(item, UserError):
      raise item
    if isinstance(item, np.ndarray):
      self.check_embeddings(item)
      sound.embeddings = list(item[:, None])
      sound.duration = self.spec.seconds * len(item)
      sound.kept = 0.0, sound.duration
      return
    self.check_hears(item.name)
    if isinstance(item, stream.Recording):
      how = self.front_end
      item = stream.open_examples(
        item, self.spec, how['trim_db'], how['peak_normalise']
      )
    facts = item.facts
    sound.duration, sound.kept = facts.duration, facts.kept
    sound.notes, sound.silent = facts.notes, facts.silent
    for some in item.blocks:
      yield from some

  def check_hears(self, name: str) -> None:
    """Raises `UserError`, about a sound, unless sound is taken."""
    if not self.hears:
      raise UserError(
        f'{name}: this bundle hears nothing without VGGish: give'
        ' --vggish=FILE.npz and --pca=FILE.npz, or AudioSet embeddings'
        ' (*.tfrecord)'
      )

  def check_embeddings(self, embeddings: np.ndarray) -> None:
    """Raises `UserError` for what are none of AudioSet's, or not taken."""
    if not self.takes_embeddings:
      raise UserError('this bundle takes sound, not embeddings of AudioSet')
    size = embedding_postprocess.SIZE
    if embeddings.shape[1:] != (size,) or not len(embeddings):
      raise UserError(f'embeddings are {embeddings.shape}, not (…, {size})')

  def _embed(self, rows):
    """Puts the embeddings of (sound, example) pairs where they belong."""
    if not rows:
      return
    found = self.embed(np.stack([row for _, row in rows]))
    for (sound, _), embeddings in zip(rows, found, strict=True):
      sound.embeddings.append(embeddings)

  def embed(self, examples: np.ndarray) -> np.ndarray:
    """Some (example, 15600) -> embeddings (example, extractor, feature)."""
    log_mels = self._front_end(_padded(examples))
    found = [self._extract(v, log_mels) for v in self.extractors]
    return np.stack(found, 1)[: len(examples)]

  def log_mels(
    self, recording: stream.Recording, found: stream.Survey
  ) -> Iterator[np.ndarray]:
    """The log-mel (example, 96, 64) of a surveyed recording, some at a time."""
    for some in stream.examples(recording, found, self.spec):
      for start in range(0, len(some), self._together):
        rows = some[start : start + self._together]
        yield np.asarray(self._front_end(_padded(rows)))[: len(rows)]

  def front_end_of(self, waveforms: jax.Array) -> jax.Array:
    """Examples (example, 15600) -> log-mel (example, 96, 64), float32."""
    precision = self.front_end['precision']
    found = log_mel(waveforms, self.spec)
    return found.astype(precision).astype(jnp.float32)

  def extract(self, variables: dict, log_mels: jax.Array) -> jax.Array:
    """Log-mel (example, 96, 64) -> embeddings (example, feature).

    Of an extractor that classifies, logits; with a PCA, AudioSet's uint8.
    """
    out = cast(jax.Array, self._extractor.apply(variables, log_mels))
    return out if self.pca is None else embedding_postprocess.postprocess(
      out, self.pca
    )  # fmt: skip

  def classify(
    self,
    ensemble: dict,
    embeddings: jax.Array,
    n_segments: jax.Array,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Pieces to what their sound's mean is taken of.

    Returns:
      the members' mean `Objective.values` (piece, class); attention (piece,
      segment, class) or None. Arguments as for `of_members`.
    """
    found = self.of_members(ensemble, embeddings, n_segments)
    values, attention, _ = jax.tree.map(lambda x: jnp.mean(x, 0), found)
    return values, attention

  def of_members(
    self,
    ensemble: dict,
    embeddings: jax.Array,
    n_segments: jax.Array,
    located: bool = False,
  ) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """What each member says of pieces.

    Args:
      ensemble: 'extractors' and 'variables' of an `Ensemble`.
      embeddings: (extractor, piece, segment, 128).
      n_segments: (piece,), how many of them are valid.
      located: whether the values of segments are wanted.

    Returns:
      `Objective.values` (member, piece, class); attention (member, piece,
      segment, class) or None; values of the segments, by what each adds to its
      piece's logits, (member, piece, segment, class), None without attention or
      if not wanted.
    """
    if embeddings.dtype == jnp.uint8:
      embeddings = batches.dequantise(embeddings)
    mask = jnp.arange(embeddings.shape[2]) < n_segments[:, None]
    embeddings = jnp.where(mask[..., None], embeddings, 0.0)

    classifier = self._classifier
    assert classifier is not None  # where there is an ensemble

    def member(args):
      extractor, variables = args
      x = jnp.take(embeddings, extractor, 0)  # (piece, segment, 128)
      logits, sown = classifier.apply(
        variables,
        x,
        mask,
        mutable=['intermediates', *(['located'] if located else [])],
      )
      # p (piece, segment, class) each
      levels = jax.tree.leaves(sown.get('intermediates', {}))
      attention = sum(levels) / len(levels) if levels else None
      of_segments = jax.tree.leaves(sown.get('located', {}))
      values = self.objective.values(of_segments[0]) if of_segments else None
      return self.objective.values(logits), attention, values

    return lax.map(member, (ensemble['extractors'], ensemble['variables']))

  def _results(self, group):
    """The results of sounds whose embeddings are there."""
    heard = [sound for sound in group if not sound.error]
    found = iter(self._classified(heard) if heard else [])
    for sound in group:
      yield sound.error or next(found)

  def _classified(self, sounds):
    embeddings = np.stack([row for s in sounds for row in s.embeddings], 1)
    offsets = np.cumsum([0, *map(len, sounds)])
    if self.ensembles:
      found = [self._run(e, embeddings, offsets) for e in self.ensembles]
    else:
      found = [self._of_examples(embeddings, offsets)]
    whole, timeline = (
      np.asarray(self.objective.to_probabilities(sum(x) / len(found)))
      for x in zip(*((w, t) for w, t, _, _ in found), strict=True)
    )
    uniform = sum(u for _, _, _, u in found) / len(found)
    weights = [a for _, _, a, _ in found if a is not None]
    attention = sum(weights) / len(weights) if weights else None
    for i, sound in enumerate(sounds):
      mine = slice(offsets[i], offsets[i + 1])
      if not (
        np.isfinite(whole[i]).all() and np.isfinite(timeline[mine]).all()
      ):
        yield UserError(
          f'{sound.name}: the bundle makes NaN of it: its weights are no sound'
          ' ones'
        )
        continue
      yield Tags(
        classes=self.classes,
        probabilities=whole[i].astype(np.float32),
        times=sound.kept[0] + self.spec.seconds * np.arange(len(sound)),
        seconds=self.spec.seconds,
        timeline=timeline[mine].astype(np.float32),
        attention=None if attention is None else attention[mine],
        uniform=uniform[mine],
        duration=sound.duration,
        kept=sound.kept,
        notes=sound.notes,
        silent=sound.silent,
      )

  def _run(self, ensemble, embeddings, offsets):
    """Values of sounds (sound, class) and segments; attention (segment, class)
    and what it is where it is uniform (segment,).

    A segment's are those of the first piece that it stands in.
    """
    cut = pieces.cut(offsets, ensemble.length, ensemble.last_piece)
    values, attention = self._batched(
      ensemble, embeddings, cut.segments, cut.n_segments
    )
    piece, _ = np.nonzero(cut.own)
    segments = cut.segments[cut.own]
    timeline = np.empty((offsets[-1], len(self.classes)), np.float32)
    timeline[segments] = values[piece]
    listened = None
    if attention is not None:
      listened = np.empty_like(timeline)
      listened[segments] = attention[cut.own]
    uniform = np.empty(offsets[-1], np.float32)
    uniform[segments] = 1 / cut.n_segments[piece]
    return cut.clip_values(values), timeline, listened, uniform

  def _of_examples(self, logits, offsets):
    """What `_run` returns, where extractors classify (the baseline).

    Args:
      logits: (extractor, example, class).
      offsets: (sound + 1,).
    """
    whole = [self.objective.example_means(x, offsets) for x in logits]
    timeline = np.asarray(self.objective.values(logits)).mean(0)
    uniform = np.ones(len(timeline), np.float32)
    return sum(whole) / len(whole), timeline, None, uniform

  def _batched(self, ensemble, embeddings, segments, n_segments):
    """`classify` of pieces, some at a time."""
    parts = []
    shapes = [x.shape for x in jax.tree.leaves(ensemble.variables)]
    together = sizes.pieces_together(ensemble.length, shapes)
    for start in range(0, len(segments), together):
      some = slice(start, start + together)
      count = len(segments[some])
      x = embeddings[:, _padded(segments[some])]
      found = self._classify(
        {'extractors': ensemble.extractors, 'variables': ensemble.variables},
        x,
        _padded(n_segments[some]),
      )
      parts.append(jax.tree.map(lambda y: np.asarray(y)[:count], found))  # noqa: B023
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def modules(info: dict) -> tuple[nn.Module, nn.Module | None]:
  """The module that hears, and the classifier of its embeddings.

  Args:
    info: what `bundle.json` holds.

  Returns:
    VGGish and the classifier, or, where there are no ensembles, an example
    classifier and None.

  Raises:
    UserError: a field is unknown, or its value is none it may have.
  """
  classes, section = len(info['classes']), SimpleNamespace(**info['extractor'])
  extractor = extractors.row(section).module(section, classes, None)
  if not info['ensembles']:
    return extractor, None
  return extractor, models.classifier(info['model'], classes)


def _recording(sound, rate, name) -> stream.Recording:
  """What `predict` is given, to be read."""
  if isinstance(sound, (str, os.PathLike)):
    if rate is not None:
      raise UserError(
        f'{os.fspath(sound)}: a file has its own sample rate: give none'
      )
    return stream.Recording.of_file(sound)
  if np.ndim(sound) == 0:
    raise UserError(
      f'{name} is {sound!r:.80}, neither a path nor a waveform: of one'
      ' waveform give an array, numpy.asarray(…)'
    )
  if rate is None:
    raise UserError(f'{name} is an array: give its sample rate as well')
  recording = stream.Recording.of_array(sound, rate)
  return dataclasses.replace(recording, name=name)


def _padded(rows: np.ndarray) -> np.ndarray:
  """Rows up to the next power of two, the last one repeated."""
  count = 1 << (len(rows) - 1).bit_length()
  return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), 0)])
