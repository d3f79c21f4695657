"""What a bundle's weights compute: log-mels, embeddings, values of pieces.

The same functions as in the experiment's scoring. Neither TensorFlow nor what
training needs is imported.
"""

import dataclasses
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax import models
from aec_jax.audio import FrontEnd, stream
from aec_jax.audio.log_mel import log_mel
from aec_jax.bundle import sizes
from aec_jax.input import batches
from aec_jax.models import embedding_postprocess, extractors
from aec_jax.objective import OBJECTIVES


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

  @property
  def arrays(self) -> dict:
    """What a compiled function takes of it."""
    return {'extractors': self.extractors, 'variables': self.variables}


class Said(NamedTuple):
  """What members say of pieces, each or in the mean over them.

  Attributes:
    values: `Objective.values` ([member,] piece, class).
    attention: ([member,] piece, segment, class); None without attention, or
      where it is not asked for, as the next.
    of_segments: values of the segments, by what each adds to its piece's
      logits, shaped as attention.
  """

  values: Any
  attention: Any = None
  of_segments: Any = None


class Network:
  """A bundle's extractors and classifiers, on the device.

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
    test_shifts: at how many shifts a sound is cut to be tagged.
    together: examples of a batch.
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
    self.test_shifts = info.get('test_shifts', 1)
    self.takes_embeddings = info['extractor']['model'] == 'released'
    self.extractors = jax.device_put(extractors)
    self.ensembles = [
      dataclasses.replace(e, variables=jax.device_put(e.variables))
      for e in ensembles
    ]
    self.hears = bool(extractors)
    self.together = sizes.examples_together(self.spec.frames)
    self._extractor, self._classifier = modules(info)
    self._front_end = jax.jit(self.front_end_of)
    self._extract = jax.jit(self.extract)
    self._say = jax.jit(self.say, static_argnames=('each', 'asked'))

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
      for start in range(0, len(some), self.together):
        rows = some[start : start + self.together]
        yield np.asarray(self._front_end(_padded(rows)))[: len(rows)]

  def pieces(
    self,
    ensemble: Ensemble,
    embeddings: np.ndarray,
    segments: np.ndarray,
    n_segments: np.ndarray,
    each: bool = False,
    asked: tuple[str, ...] = (),
  ) -> Said:
    """What an ensemble says of pieces, some of them at a time.

    Args:
      ensemble: of this network's.
      embeddings: (extractor, segment, feature).
      segments: (piece, L), which of them make up each piece.
      n_segments: (piece,), how many of these are valid.
      each, asked: as `say` takes them.

    Returns:
      NumPy arrays.
    """
    shapes = [x.shape for x in jax.tree.leaves(ensemble.variables)]
    together = sizes.pieces_together(ensemble.length, shapes)
    say = functools.partial(self._say, each=each, asked=asked)
    axis, parts = int(each), []
    for start in range(0, len(segments), together):
      rows = segments[start : start + together]
      valid = n_segments[start : start + together]
      found = say(ensemble.arrays, embeddings[:, _padded(rows)], _padded(valid))
      real = (slice(None),) * axis + (slice(len(rows)),)
      parts.append(jax.tree.map(lambda x: np.asarray(x)[real], found))  # noqa: B023
    return jax.tree.map(lambda *x: np.concatenate(x, axis), *parts)

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

  def say(
    self,
    members: dict,
    embeddings: jax.Array,
    n_segments: jax.Array,
    each: bool = False,
    asked: tuple[str, ...] = (),
  ) -> Said:
    """What members say of pieces.

    Args:
      members: `Ensemble.arrays`.
      embeddings: (extractor, piece, segment, feature).
      n_segments: (piece,), how many segments are valid.
      each: whether of each member, or in the mean over them.
      asked: for 'attention', 'of_segments'.
    """
    if embeddings.dtype == jnp.uint8:
      embeddings = batches.dequantise(embeddings)
    mask = jnp.arange(embeddings.shape[2]) < n_segments[:, None]
    embeddings = jnp.where(mask[..., None], embeddings, 0.0)
    classifier = self._classifier
    assert classifier is not None  # where there is an ensemble
    sown_as = {'attention': 'intermediates', 'of_segments': 'located'}

    def member(args):
      extractor, variables = args
      x = jnp.take(embeddings, extractor, 0)  # (piece, segment, feature)
      logits, sown = classifier.apply(
        variables, x, mask, mutable=[sown_as[name] for name in asked]
      )
      # p (piece, segment, class) each
      levels = jax.tree.leaves(sown.get('intermediates', {}))
      attention = sum(levels) / len(levels) if levels else None
      located = jax.tree.leaves(sown.get('located', {}))
      of_segments = self.objective.values(located[0]) if located else None
      return Said(self.objective.values(logits), attention, of_segments)

    found = lax.map(member, (members['extractors'], members['variables']))
    return found if each else jax.tree.map(lambda x: jnp.mean(x, 0), found)


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


def _padded(rows: np.ndarray) -> np.ndarray:
  """Rows up to the next power of two, the last one repeated."""
  count = 1 << (len(rows) - 1).bit_length()
  return np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), 0)])
