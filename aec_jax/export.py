"""Exports a bundle as StableHLO programs, which run without this package.

  python -m aec_jax.export --bundle=DIR/bundle --out=OUT [--seconds=10]

OUT becomes a folder of
  tags.stablehlo          waveforms (batch, sample), 16 kHz -> probabilities
  classifier_L.stablehlo  embeddings of pieces of L segments -> probabilities
  export.json             inputs, outputs and classes of each
for any batch size, on CPUs, CUDA GPUs and TPUs, with the weights inside. Each
is read again and compared with the bundle's own prediction before it is put in
place. `jax.export.deserialize(bytes).call(…)` runs one. Waveforms all have the
length of --seconds, which export.json repeats, and are taken whole: silence at
their ends is for the caller to trim.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export
from jax import lax

from aec_jax.bundle import store
from aec_jax.bundle.network import Ensemble
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError
from aec_jax.input import pieces
from aec_jax.models import extractors
from aec_jax.run import console, files

PLATFORMS = ('cpu', 'cuda', 'tpu')
# How far a program's probabilities may be from the bundle's own.
TOLERANCE = 1e-3


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.BundleParser(__doc__)
  parser.add_argument('--out', required=True, help='The folder to write.')
  parser.add_argument(
    '--seconds', type=float, default=10.0, help='Of a waveform [10].'
  )
  arguments = parser.parse_args(argv)
  if not 0.025 <= arguments.seconds <= 600:
    raise UserError(f'--seconds is {arguments.seconds}; it takes 0.025 to 600')
  out = Path(arguments.out)
  if out.exists():
    raise UserError(f'--out is {out}, which is there already: name another')
  tagger = store.from_arguments(arguments)
  for line in write(tagger, out, arguments.seconds):
    print(line, flush=True)
  return 0


def write(tagger: Tagger, out: Path, seconds: float):
  """Writes the folder of programs, whole or not at all.

  Args:
    tagger: of a bundle.
    out: a folder that is not there yet.
    seconds: of the waveforms that tags.stablehlo takes.

  Yields:
    A line on each program that passed its check.

  Raises:
    UserError: the folder cannot be written.
    RuntimeError: a program does not predict what the bundle does.
  """
  try:
    with files.whole_folder(out) as folder:
      entries = []
      for name, function, inputs, expected in programs(tagger, seconds):
        entry = _export(
          folder / f'{name}.stablehlo', function, inputs, expected
        )
        length = ''
        if name == 'tags':
          entry['seconds'] = seconds
          length = f', of waveforms of exactly {seconds:g} s'
        entries.append(entry)
        yield (
          f'{entry["file"]}: equal to {entry["largest_difference"]:.1e} on'
          f' {len(expected)} examples{length}'
        )
      about = {
        'experiment': tagger.info['experiment'],
        'sample_rate': tagger.spec.sample_rate,
        'platforms': PLATFORMS,
        'programs': entries,
        'classes': tagger.classes,
      }
      files.write_json(folder / 'export.json', about)
  except OSError as error:
    raise UserError(f'{out}: cannot be written: {error.strerror}') from error


def programs(tagger: Tagger, seconds: float):
  """What is exported of a bundle.

  Yields:
    name; function of batches; {input: example batch}; expected probabilities
    (example, class), from the bundle's own path.
  """
  rng = np.random.default_rng(0)
  if tagger.hears:
    # Loud to their ends, so that the bundle's own path trims nothing.
    samples = round(seconds * tagger.spec.sample_rate)
    waveforms = rng.uniform(-1, 1, (3, samples)).astype(np.float32)
    waveforms *= np.array([[0.1], [0.5], [1]], np.float32)
    found = [tagger.predict(x, tagger.spec.sample_rate) for x in waveforms]
    expected = np.stack([tags.probabilities for tags in found])
    inputs = {'waveforms': waveforms}
    yield 'tags', wav_to_tags(tagger, samples), inputs, expected
  quantised = tagger.takes_embeddings
  for ensemble in tagger.ensembles:
    count = 1 if quantised else len(tagger.extractors)
    size = extractors.embedding_size(
      SimpleNamespace(**tagger.info['extractor'])
    )
    shape = (3, count, ensemble.length, size)
    if quantised:
      x = rng.integers(0, 256, (shape[0], *shape[2:]), np.uint8)
    else:
      x = rng.standard_normal(shape).astype(np.float32)
    inputs = {'embeddings': x}
    if ensemble.last_piece != 'repeat':
      n = np.arange(1, 4) * ensemble.length // 3
      inputs['n_segments'] = np.maximum(n, 1).astype(np.int32)
    function = classifier(tagger, ensemble)
    expected = np.asarray(jax.jit(function)(*inputs.values()))
    yield f'classifier_{ensemble.length}', function, inputs, expected


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


def wav_to_tags(tagger: Tagger, samples: int) -> Callable:
  """The function from waveforms (batch, sample) to probabilities.

  Args:
    tagger: that hears.
    samples: of a waveform, at 16 kHz.
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


def _export(path, function, inputs, expected) -> dict:
  """Writes one program and what export.json says of it."""
  (batch,) = jax_export.symbolic_shape('batch')
  shapes = [
    jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    for x in inputs.values()
  ]
  exported = jax_export.export(jax.jit(function), platforms=PLATFORMS)(*shapes)
  path.write_bytes(exported.serialize())
  data = path.read_bytes()
  again = jax_export.deserialize(bytearray(data))
  largest = 0.0
  for count in (len(expected), 1):
    found = again.call(*(x[:count] for x in inputs.values()))
    difference = np.abs(np.asarray(found) - expected[:count]).max()
    largest = max(largest, float(difference))
  if not largest <= TOLERANCE:
    raise RuntimeError(
      f'{path.name} is off by {largest:.1e}; {TOLERANCE:.0e} is allowed'
    )
  return {
    'file': path.name,
    'inputs': {
      name: {'shape': ['batch', *x.shape[1:]], 'dtype': str(x.dtype)}
      for name, x in inputs.items()
    },
    'outputs': {
      'probabilities': {
        'shape': ['batch', *expected.shape[1:]], 'dtype': 'float32'
      }
    },
    'sha256': hashlib.sha256(data).hexdigest(),
    'largest_difference': largest,
  }  # fmt: skip


if __name__ == '__main__':
  sys.exit(console.run_command(main))
