"""The programs of a bundle that are exported, as functions of batches."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aec_jax.bundle.network import Ensemble
from aec_jax.bundle.tagger import Tagger
from aec_jax.exports.formats import Format
from aec_jax.input import pieces
from aec_jax.models import extractors
from aec_jax.models.layers import product_dtype

# What AudioSet's embeddings may be off: a step of their quantisation, and what
# that makes of probabilities. Of others, what a log-mel's last bit as float16
# makes.
_STEP, _OF_STEPS, _OF_BITS = 1.0, 1e-3, 1e-3


class Program(NamedTuple):
  """What is exported.

  Attributes:
    name: of its file.
    function: of batches.
    inputs: example batches, by name.
    output: name of what it returns.
    expected: of the examples, by the bundle's own path.
    about: what export.json says of it.
    tolerance: how far it may be off; None: what the format allows.
  """

  name: str
  function: Callable
  inputs: dict[str, np.ndarray]
  output: str
  expected: np.ndarray
  about: dict[str, Any] = {}  # noqa: RUF012
  tolerance: float | None = None


def in_float32(tagger: Tagger) -> Tagger:
  """The same without rounded products; itself where none are rounded."""
  sections = {
    name: section | {'dtype': 'float32'}
    for name in ('extractor', 'model')
    if (section := tagger.info[name])
    and product_dtype(section.get('dtype', 'float32')) == 'bfloat16'
  }
  if not sections:
    return tagger
  info = tagger.info | sections
  return Tagger(info, tagger.extractors, tagger.ensembles, tagger.pca)


def unshifted(tagger: Tagger) -> Tagger:
  """The same that cuts sounds once, at their beginning."""
  info = tagger.info | {'test_shifts': 1}
  return Tagger(info, tagger.extractors, tagger.ensembles, tagger.pca)


def of_bundle(
  tagger: Tagger, seconds: float, form: Format
) -> Iterator[Program]:
  """What is exported of a bundle.

  Args:
    tagger: of it.
    seconds: of the waveforms that the program `tags` takes.
    form: what is written.
  """
  rng = np.random.default_rng(0)
  if tagger.hears:
    yield _tags_of_waveforms(tagger, seconds, rng)
    if form.examples:
      yield _examples(tagger, rng)
  for ensemble in tagger.ensembles:
    yield _classifier_of(tagger, ensemble, rng)


def _tags_of_waveforms(tagger, seconds, rng) -> Program:
  # Loud to their ends, so that the bundle's own path trims nothing.
  samples = round(seconds * tagger.spec.sample_rate)
  waveforms = rng.uniform(-1, 1, (3, samples)).astype(np.float32)
  waveforms *= np.array([[0.1], [0.5], [1]], np.float32)
  found = [tagger.predict(x, tagger.spec.sample_rate) for x in waveforms]
  return Program(
    'tags',
    wav_to_tags(tagger, samples),
    {'waveforms': waveforms},
    'probabilities',
    np.stack([tags.probabilities for tags in found]),
    {'seconds': seconds},
    _OF_STEPS if tagger.takes_embeddings else None,
  )


def _examples(tagger, rng) -> Program:
  samples = tagger.spec.example_samples
  rows = rng.uniform(-1, 1, (3, samples)).astype(np.float32)
  return Program(
    'examples',
    example_to_embeddings(tagger),
    {'examples': rows},
    'embeddings' if tagger.ensembles else 'probabilities',
    np.asarray(jax.vmap(_of_logits(tagger))(tagger.embed(rows))),
    {},
    _STEP if tagger.takes_embeddings else _OF_BITS,
  )


def _of_logits(tagger) -> Callable:
  """What is told of an example: embeddings, or probabilities of logits."""
  if tagger.ensembles:
    return lambda x: x
  objective = tagger.objective
  return lambda x: objective.to_probabilities(objective.values(x))


def _classifier_of(tagger, ensemble, rng) -> Program:
  quantised = tagger.takes_embeddings
  count = 1 if quantised else len(tagger.extractors)
  size = extractors.embedding_size(SimpleNamespace(**tagger.info['extractor']))
  shape = (3, count, ensemble.length, size)
  if quantised:
    x = rng.integers(0, 256, shape, np.uint8)
  else:
    x = rng.standard_normal(shape).astype(np.float32)
  inputs = {'embeddings': x[:, 0] if quantised else x}
  n_segments = np.full(3, ensemble.length, np.int32)
  if ensemble.last_piece != 'repeat':
    n_segments = np.maximum(np.arange(1, 4) * ensemble.length // 3, 1)
    n_segments = inputs['n_segments'] = n_segments.astype(np.int32)
  # As they lie in a sound: the pieces' segments one after the other.
  rows = x.swapaxes(0, 1).reshape(count, -1, size)
  segments = np.arange(rows.shape[1]).reshape(3, ensemble.length)
  said = tagger.pieces(ensemble, rows, segments, n_segments)
  return Program(
    f'classifier_{ensemble.length}',
    classifier(tagger, ensemble),
    inputs,
    'probabilities',
    np.asarray(tagger.objective.to_probabilities(said.values)),
    {'length': ensemble.length, 'last_piece': ensemble.last_piece},
  )


def classifier(tagger: Tagger, ensemble: Ensemble) -> Callable:
  """The function from pieces to probabilities (piece, class).

  Its arguments: embeddings (piece, extractor, segment, feature) float32, of
  AudioSet experiments (piece, segment, 128) uint8; and, unless pieces are
  always full, n_segments (piece,) int32, how many of them are valid.
  """

  def apply(embeddings, n_segments=None):
    if embeddings.ndim == 3:
      embeddings = embeddings[:, None]
    if n_segments is None:
      n_segments = jnp.full(embeddings.shape[:1], ensemble.length, jnp.int32)
    x = jnp.swapaxes(embeddings, 0, 1)
    said = tagger.say(ensemble.arrays, x, n_segments)
    return tagger.objective.to_probabilities(said.values)

  return apply


def example_to_embeddings(tagger: Tagger) -> Callable:
  """The function from examples (batch, sample) to embeddings.

  These are (batch, extractor, feature); where extractors classify by
  themselves, probabilities.
  """

  def one(example):
    log_mels = tagger.front_end_of(example[None])
    found = [tagger.extract(v, log_mels)[0] for v in tagger.extractors]
    return _of_logits(tagger)(jnp.stack(found))

  return lambda examples: lax.map(one, examples)


def wav_to_tags(tagger: Tagger, samples: int) -> Callable:
  """The function from waveforms (batch, sample) to probabilities.

  Args:
    tagger: that hears.
    samples: of a waveform, at the front end's rate.
  """
  hop, length = tagger.spec.example_hop, tagger.spec.example_samples
  whole = tagger.spec.fitted(max(samples, length))
  starts = range(0, whole - length + 1, hop)

  def one(waveform):
    if tagger.front_end['peak_normalise']:
      peak = jnp.max(jnp.abs(waveform))
      audible = peak >= np.finfo(np.float32).tiny
      waveform = waveform * jnp.where(audible, 1 / peak, 1)
    if samples < whole:
      waveform = jnp.resize(waveform, (whole,))
    rows = jnp.stack([waveform[i : i + length] for i in starts])
    log_mels = tagger.front_end_of(rows)
    found = [tagger.extract(v, log_mels) for v in tagger.extractors]
    return _tags(tagger, jnp.stack(found))

  # One after the other: the convolutions are cut up by the batch's size.
  return lambda waveforms: lax.map(one, waveforms)


def _tags(tagger, embeddings):
  """(extractor, segment, feature) of one sound -> probabilities (class,)."""
  objective = tagger.objective
  if not tagger.ensembles:  # the extractors classify
    p = objective.to_probabilities(objective.values(embeddings))
    values = objective.from_probabilities(jnp.mean(p, 1))
    return objective.to_probabilities(jnp.mean(values, 0))
  total = 0.0
  for ensemble in tagger.ensembles:
    offsets = np.array([0, embeddings.shape[1]])
    cut = pieces.cut(offsets, ensemble.length, ensemble.last_piece)
    x = embeddings[:, cut.segments]
    said = tagger.say(ensemble.arrays, x, jnp.asarray(cut.n_segments))
    total += cut.weights() @ said.values / len(tagger.ensembles)
  return objective.to_probabilities(total)
