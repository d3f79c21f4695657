"""Exports a bundle as StableHLO or ONNX, which run without this package.

  python -m aec_jax.export --bundle=DIR/bundle --out=OUT [--seconds=10]
      [--format=stablehlo|onnx]

OUT becomes a folder of
  tags.stablehlo          waveforms (batch, sample) -> probabilities
  classifier_L.stablehlo  embeddings of pieces of L segments -> probabilities
  export.json             inputs, outputs and classes of each
for any batch size, with the weights inside. Each is read again and compared
with the bundle's own prediction before it is put in place. Waveforms all have
the length of --seconds, which export.json repeats, and are taken whole: silence
at their ends is for the caller to trim. `jax.export.deserialize(bytes).call(…)`
runs a program, on CPUs, CUDA GPUs and TPUs.

With --format=onnx (pip install '.[onnx]') the same become *.onnx, and beside
them
  examples.onnx           examples of a segment (batch, sample) -> embeddings,
                          or of extractors that classify probabilities
of which sounds of any length are made up. ONNX is in float32, whatever the
bundle's products are rounded to; how far that is from the bundle is told.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from aec_jax.bundle import store
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError
from aec_jax.exports import formats, programs
from aec_jax.exports.formats import FORMATS, Format
from aec_jax.exports.programs import Program
from aec_jax.run import console, files


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.BundleParser(__doc__)
  parser.add_argument('--out', required=True, help='The folder to write.')
  parser.add_argument(
    '--seconds', type=float, default=10.0, help='Of a waveform [10].'
  )
  parser.add_argument(
    '--format', choices=FORMATS, default='stablehlo', help='[stablehlo]'
  )
  arguments = parser.parse_args(argv)
  if not 0.025 <= arguments.seconds <= 600:
    raise UserError(f'--seconds is {arguments.seconds}; it takes 0.025 to 600')
  out = Path(arguments.out)
  if out.exists():
    raise UserError(f'--out is {out}, which is there already: name another')
  form = FORMATS[arguments.format]
  form.check()
  tagger = store.from_arguments(arguments)
  for line in write(tagger, out, arguments.seconds, form):
    print(line, flush=True)
  return 0


def write(
  tagger: Tagger,
  out: Path,
  seconds: float,
  form: Format = FORMATS['stablehlo'],
) -> Iterator[str]:
  """Writes the folder of programs, whole or not at all.

  Args:
    tagger: of a bundle.
    out: a folder that is not there yet.
    seconds: of the waveforms that the program `tags` takes.
    form: what is written.

  Yields:
    A line on each program that passed its check; and one before them where the
    bundle tags otherwise.

  Raises:
    UserError: the folder cannot be written, or the format has no words for the
      bundle's network.
    RuntimeError: a program does not predict what the bundle does.
  """
  about = {
    'experiment': tagger.info['experiment'],
    'format': form.suffix,
    'sample_rate': tagger.spec.sample_rate,
    'objective': tagger.objective.name,
    'front_end': tagger.front_end,
    'classes': tagger.classes,
    **form.about,
  }
  if tagger.test_shifts > 1:
    yield (
      f'the bundle tags at {tagger.test_shifts} shifts; the programs cut sounds'
      ' once, as predict --test_shifts=1 does'
    )
    tagger = programs.unshifted(tagger)
  # The default on GPUs rounds float32 products, too.
  precision = 'highest' if form.float32 else None
  try:
    with (
      jax.default_matmul_precision(precision),
      files.whole_folder(out) as folder,
    ):
      entries = []
      for program, own in _with_own(tagger, seconds, form):
        path = folder / f'{program.name}.{form.suffix}'
        entries.append(_export(path, program, form, about))
        line = _line(entries[-1], len(program.expected))
        if own is not None:
          largest = formats.difference(own, program.expected)
          entries[-1]['bfloat16_difference'] = largest
          line += f"; bfloat16 products change the bundle's by {largest:.1e}"
        yield line
      files.write_json(folder / 'export.json', about | {'programs': entries})
  except OSError as error:
    raise UserError(f'{out}: cannot be written: {error.strerror}') from error


def _line(entry, count) -> str:
  length = ''
  if 'seconds' in entry:
    length = f', of waveforms of exactly {entry["seconds"]:g} s'
  return (
    f'{entry["file"]}: equal to {entry["largest_difference"]:.1e} on'
    f' {count} examples{length}'
  )


def _with_own(tagger, seconds, form):
  """The programs, and what the bundle says where it rounds and they don't."""
  plain = programs.in_float32(tagger) if form.float32 else tagger
  own = (
    programs.of_bundle(tagger, seconds, form) if plain is not tagger else None
  )
  for program in programs.of_bundle(plain, seconds, form):
    yield program, next(own).expected if own else None


def _export(path: Path, program: Program, form: Format, about: dict) -> dict:
  """Writes one program and what export.json says of it."""
  path.write_bytes(
    form.encode(program.function, program.inputs, program.output, about)
  )
  data = path.read_bytes()
  again, expected = form.decode(data), program.expected
  found = [
    formats.difference(
      again(*(x[:count] for x in program.inputs.values())), expected[:count]
    )
    for count in (len(expected), 1)
  ]
  largest = float(np.max(found))  # NaN where one is
  allowed = form.tolerance if program.tolerance is None else program.tolerance
  if not largest <= allowed:
    raise RuntimeError(
      f'{path.name} is off by {largest:.1e}; {allowed:.0e} is allowed'
    )
  return {
    'file': path.name,
    'inputs': {
      name: {'shape': ['batch', *x.shape[1:]], 'dtype': str(x.dtype)}
      for name, x in program.inputs.items()
    },
    'outputs': {
      program.output: {
        'shape': ['batch', *expected.shape[1:]],
        'dtype': str(expected.dtype),
      }
    },
    'sha256': hashlib.sha256(data).hexdigest(),
    'largest_difference': largest,
    **program.about,
  }


if __name__ == '__main__':
  sys.exit(console.run_command(main))
