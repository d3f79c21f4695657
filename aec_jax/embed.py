"""Turns sounds into embeddings with times: an index that `search` takes.

  python -m aec_jax.embed --bundle=DIR/bundle PATH… --out=OUT

OUT is x.parquet or x.npz, which appears when all is done, or a folder that
gets Parquet parts, each whole or absent: there the same command goes on where a
killed one was. A row is a segment: file, start and end in seconds, and the
embedding, of all the bundle's extractors one after another; of silence there is
none. Parquet needs pyarrow: pip install '.[parquet]'.
"""

import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from aec_jax import asking, predict, telling
from aec_jax.errors import UserError
from aec_jax.run import console, files


def main(argv: Sequence[str] | None = None) -> int:
  parser = console.BundleParser(__doc__)
  parser.add_argument('paths', nargs='+', metavar='PATH')
  asking.add_float_range(parser)
  asking.add_out(parser, required=True)
  arguments = parser.parse_args(argv)
  kind = Path(arguments.out).suffix.lower()
  if kind in ('.parquet', '.npz') and arguments.decoders is not None:
    raise UserError('--decoders is for an --out that is a folder')
  found = list(predict.find(arguments.paths))
  from aec_jax import answers, archive
  from aec_jax.bundle import store

  if kind != '.npz':
    archive.pyarrow()
  tagger = store.from_arguments(arguments)
  console.allow_any_names()
  answer = answers.Embeddings(tagger)
  about = archive.about_bundle(tagger, arguments)
  tag = functools.partial(predict.tag, float_range=arguments.float_range)
  if kind not in ('.parquet', '.npz'):
    return archive.run(
      answer, tagger, found, arguments.out, about, arguments.decoders, tag
    )
  write = archive.write_part if kind == '.parquet' else _write_npz
  heard = telling.Told(tag(answer, found))
  try:
    write(Path(arguments.out), answer, heard, about)
  except OSError as error:
    raise UserError(f'{arguments.out}: {error.strerror}') from error
  print(f'{arguments.out}: {heard.good:,} sounds', file=sys.stderr)
  return heard.status


def _write_npz(path, answer, heard, about) -> None:
  """Arrays 'path', 'start', 'end' and 'embedding', and 'bundle' as JSON.

  Those of sounds that have rows; what else there is of others stderr has said.
  """
  import numpy as np

  from aec_jax import archive

  # The file is open before anything is heard, which takes long.
  with files.whole(path) as unfinished, open(unfinished, 'wb') as file:
    rows = [
      (name, *row)
      for _, name, found in archive.lasting(heard)
      for row in found.rows
    ]
    if not rows:
      raise UserError(f'{path}: nothing could be embedded')
    columns = dict(
      zip(('path', *answer.columns), zip(*rows, strict=True), strict=True)
    )
    arrays = {name: np.array(column) for name, column in columns.items()}
    np.savez(file, bundle=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]


if __name__ == '__main__':
  sys.exit(console.run_command(main))
