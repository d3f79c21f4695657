"""From sound to tags, with the weights of a finished experiment.

The same function as the experiment's scoring: log-mel → extractors → pieces →
members → the mean over members and pieces. Neither TensorFlow nor what training
needs is imported.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax import models
from aec_jax.audio import FRONT_END, stream
from aec_jax.audio.log_mel import log_mel
from aec_jax.errors import UserError
from aec_jax.input import batches, pieces
from aec_jax.models import embedding_postprocess, vggish

SECONDS = FRONT_END.example_hop / FRONT_END.sample_rate  # of a segment, 0.96

# Examples and pieces of a batch; fewer are padded to a power of two, so that
# few programs are compiled and a short sound doesn't pay for a long one.
_EXAMPLES, _PIECES = 32, 64
# Segments after which the sounds that are read are classified together.
_GROUP = 512


@dataclasses.dataclass(frozen=True, eq=False)
class Tags:
  """What was heard in one sound.

  Attributes:
    classes: names of the K classes.
    probabilities: (class,) float32, of the whole sound.
    times: (segment,) seconds from the sound's start to that of each segment,
      which lasts 0.96 s; what trimming cut off is in none.
    timeline: (segment, class) float32, probabilities of the piece that each
      segment stands in.
    attention: (segment, class) float32, the weights p_k(t) that the segments
      have in their piece (thesis eq. 22), mean over levels and members; None
      without an attention model.
    notes: what is odd about the sound, such as 'silent'.
    silent: whether there is nothing to hear.
  """

  classes: tuple[str, ...]
  probabilities: np.ndarray
  times: np.ndarray
  timeline: np.ndarray
  attention: np.ndarray | None
  notes: tuple[str, ...] = ()
  silent: bool = False

  @property
  def tags(self) -> list[tuple[str, float]]:
    """(class, probability), the likeliest first: of all classes, or of none
    where there is nothing to hear.
    """
    if self.silent:
      return []
    order = np.argsort(-self.probabilities, kind='stable')
    return [(self.classes[k], float(self.probabilities[k])) for k in order]


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
  """Classifiers that take pieces of one length.

  Attributes:
    length: segments of a piece, L.
    wrap: whether a last piece goes on with the sound's beginning; if not, it
      is short, and what it lacks is masked.
    extractors: (member,) int32, whose embeddings each member takes.
    variables: with a leading member axis.
  """

  length: int
  wrap: bool
  extractors: np.ndarray
  variables: dict


@dataclasses.dataclass(eq=False)
class _Sound:
  """A sound under way; `embeddings` gets an (extractor, feature) a segment."""

  start: float = 0.0
  embeddings: list[np.ndarray] = dataclasses.field(default_factory=list)
  error: UserError | None = None
  notes: tuple[str, ...] = ()
  silent: bool = False

  def __len__(self):
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
  """

  def __init__(
    self,
    info: dict,
    extractors: list[dict],
    ensembles: list[Ensemble],
    pca: embedding_postprocess.Pca | None = None,
  ):
    self.info, self.pca = info, pca
    self.classes = tuple(info['classes'])
    self.front_end = info['front_end']
    self.binary = info['loss'] == 'binary'
    self.extractors = jax.device_put(extractors)
    self.ensembles = [
      dataclasses.replace(e, variables=jax.device_put(e.variables))
      for e in ensembles
    ]
    self.hears = bool(extractors)
    self._extractor, self._classifier = modules(info)
    self._front_end = jax.jit(self.front_end_of)
    self._extract = jax.jit(self.extract)
    self._classify = jax.jit(self.classify)

  def predict(self, waveform: np.ndarray, sample_rate: int) -> Tags:
    """Tags one sound in memory.

    Args:
      waveform: (sample,) or (sample, channel), floats in [-1, 1] or integers
        of full scale.
      sample_rate: Hz.

    Raises:
      UserError: no samples, NaN, another shape or scale.
    """
    recording = stream.Recording.of_array(waveform, sample_rate)
    (found,) = self.tag([recording])
    if isinstance(found, UserError):
      raise found
    return found

  def tag(
    self, sounds: Iterable[stream.Recording | np.ndarray | UserError]
  ) -> Iterator[Tags | UserError]:
    """Tags many sounds, in batches across them.

    Args:
      sounds: recordings, AudioSet's embeddings (segment, 128) uint8, or errors,
        which are passed on.

    Yields:
      For each of them, in their order, its tags, or what is wrong with it.
    """
    group, rows, segments = [], [], 0
    for item in sounds:
      sound = _Sound()
      group.append(sound)
      try:
        for row in self._rows(item, sound):
          rows.append((sound, row))
          if len(rows) == _EXAMPLES:
            self._embed(rows)
            rows, segments = [], segments + _EXAMPLES
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
      self._check_embeddings(item)
      sound.embeddings = list(item[:, None])
      return
    if not self.hears:
      raise UserError(
        f'{item.name}: this bundle hears nothing without VGGish: give'
        ' --vggish=FILE.npz and --pca=FILE.npz, or AudioSet embeddings'
        ' (*.tfrecord)'
      )
    spec = self.front_end
    found = stream.survey(item, spec['trim_db'], spec['peak_normalise'])
    sound.start = found.start / found.rate
    sound.notes, sound.silent = found.notes, found.silent
    for some in stream.examples(item, found):
      yield from some

  def _check_embeddings(self, embeddings):
    if self.info['task'] != 'audioset':
      raise UserError('this bundle takes sound, not embeddings of AudioSet')
    size = embedding_postprocess.SIZE
    if embeddings.shape[1:] != (size,) or not len(embeddings):
      raise UserError(f'embeddings are {embeddings.shape}, not (…, {size})')

  def _embed(self, rows):
    """Puts the embeddings of (sound, example) pairs where they belong."""
    if not rows:
      return
    examples = _padded(np.stack([row for _, row in rows]))
    log_mels = self._front_end(examples)
    found = np.stack([self._extract(v, log_mels) for v in self.extractors], 1)
    for (sound, _), embeddings in zip(rows, found, strict=False):
      sound.embeddings.append(embeddings)

  def log_mels(
    self, recording: stream.Recording, found: stream.Survey
  ) -> Iterator[np.ndarray]:
    """The log-mel (example, 96, 64) of a surveyed recording, some at a time."""
    for some in stream.examples(recording, found):
      for start in range(0, len(some), _EXAMPLES):
        rows = some[start : start + _EXAMPLES]
        yield np.asarray(self._front_end(_padded(rows)))[: len(rows)]

  def front_end_of(self, waveforms: jax.Array) -> jax.Array:
    """Examples (example, 15600) -> log-mel (example, 96, 64), float32."""
    precision = self.front_end['precision']
    return log_mel(waveforms).astype(precision).astype(jnp.float32)

  def extract(self, variables: dict, log_mels: jax.Array) -> jax.Array:
    """Log-mel (example, 96, 64) -> embeddings (example, feature).

    Of the baseline, probabilities; with a PCA, AudioSet's uint8.
    """
    out = self._extractor.apply(variables, log_mels)
    if not self.ensembles:
      return jax.nn.softmax(out)
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

    Args:
      ensemble: 'extractors' and 'variables' of an `Ensemble`.
      embeddings: (extractor, piece, segment, 128).
      n_segments: (piece,), how many of them are valid.

    Returns:
      (piece, class) probabilities of a binary model, else the members' mean
      log-probabilities; attention (piece, segment, class) or None.
    """
    if embeddings.dtype == jnp.uint8:
      embeddings = batches.dequantise(embeddings)
    mask = jnp.arange(embeddings.shape[2]) < n_segments[:, None]
    embeddings = jnp.where(mask[..., None], embeddings, 0.0)

    def member(args):
      extractor, variables = args
      x = jnp.take(embeddings, extractor, 0)  # (piece, segment, 128)
      logits, sown = self._classifier.apply(
        variables, x, mask, mutable=['intermediates']
      )
      levels = jax.tree.leaves(sown)  # p (piece, segment, class) each
      attention = sum(levels) / len(levels) if levels else None
      if self.binary:
        return jax.nn.sigmoid(logits), attention
      return jax.nn.log_softmax(logits), attention

    found = lax.map(member, (ensemble['extractors'], ensemble['variables']))
    return jax.tree.map(lambda x: jnp.mean(x, 0), found)

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
      found = [_of_examples(embeddings, offsets)]
    for i, sound in enumerate(sounds):
      of_sound = [parts[i] for parts in found]
      whole, timeline = (sum(x) / len(found) for x in zip(
        *((whole, timeline) for whole, timeline, _ in of_sound), strict=True)
      )  # fmt: skip
      if not self.binary:
        whole, timeline = _normalised(whole), _normalised(timeline)
      weights = [a for _, _, a in of_sound if a is not None]
      yield Tags(
        classes=self.classes,
        probabilities=whole.astype(np.float32),
        times=sound.start + SECONDS * np.arange(len(sound)),
        timeline=timeline.astype(np.float32),
        attention=sum(weights) / len(weights) if weights else None,
        notes=sound.notes,
        silent=sound.silent,
      )

  def _run(self, ensemble, embeddings, offsets):
    """For each sound: its mean (class,), timeline, attention."""
    cut = pieces.cut(offsets, ensemble.length)
    counts = np.diff(offsets)
    of_sound = np.searchsorted(cut.clips, np.arange(len(counts) + 1))
    # Of each piece in its sound.
    number = np.arange(len(cut)) - of_sound[cut.clips]
    n_segments = np.full(len(cut), ensemble.length)
    if not ensemble.wrap:
      left = counts[cut.clips] - number * ensemble.length
      n_segments = np.minimum(left, ensemble.length)
    values, attention = self._batched(
      ensemble, embeddings, cut.segments, n_segments
    )
    out = []
    for i, count in enumerate(counts):
      mine = slice(of_sound[i], of_sound[i + 1])
      weights = n_segments[mine, None] / n_segments[mine].sum()
      timeline = np.repeat(values[mine], ensemble.length, 0)[:count]
      listened = None
      if attention is not None:
        valid = np.arange(ensemble.length) < n_segments[mine, None]
        segments = cut.segments[mine] - offsets[i]
        # Not in the piece that a segment of the beginning fills up.
        own = segments // ensemble.length == number[mine, None]
        listened = np.zeros((count, len(self.classes)), np.float32)
        keep = valid & own
        np.add.at(listened, segments[keep], attention[mine][keep])
      out.append(((values[mine] * weights).sum(0), timeline, listened))
    return out

  def _batched(self, ensemble, embeddings, segments, n_segments):
    """`classify` of pieces, some at a time."""
    parts = []
    for start in range(0, len(segments), _PIECES):
      some = slice(start, start + _PIECES)
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
  classes, config = len(info['classes']), SimpleNamespace(**info['extractor'])
  if not info['ensembles']:
    return models.extractor(config, classes), None
  extractor = vggish.VGGish(
    config.embedding_activation, config.width, config.dtype, config.batch_norm
  )
  return extractor, models.classifier(info['model'], classes)


def _padded(rows: np.ndarray) -> np.ndarray:
  """Rows up to the next power of two, the last one repeated."""
  count = 1 << (len(rows) - 1).bit_length()
  return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), 0)])


def _of_examples(probabilities, offsets):
  """What `_run` returns, where extractors classify (the baseline).

  Args:
    probabilities: (extractor, example, class).
    offsets: (sound + 1,).
  """
  out = []
  for start, stop in itertools.pairwise(offsets):
    mine = probabilities[:, start:stop]
    whole = np.log(mine.mean(1)).mean(0)
    out.append((whole, np.log(mine).mean(0), None))
  return out


def _normalised(log_probabilities):
  """(…, class): exponentials that add up to 1."""
  x = log_probabilities - log_probabilities.max(-1, keepdims=True)
  x = np.exp(x)
  return x / x.sum(-1, keepdims=True)
