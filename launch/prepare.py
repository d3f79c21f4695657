"""Embeds recordings as AudioSet's release does; see docs/scale.md.

  python -m launch.prepare --segments=balanced_train_segments.csv \
      --classes=class_labels_indices.csv --audio='gs://bucket/{id}.wav' \
      --split=bal_train --out=DIR --weights=vggish.npz \
      --pca=vggish_pca_params.npz --beam --runner=DataflowRunner …

DIR is then a `config.data_dir` for configs/audioset_*.py. Run again, it writes
only the files that are missing. Options that are not listed are the runner's.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

from aec_jax.datasets import recordings
from aec_jax.errors import UserError, naming
from aec_jax.features import embedded_recordings
from aec_jax.run import console
from aec_jax.run.progress import Meter


def _options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The options of the command line, and those of Beam's runner.

  Raises:
    UserError: one is unknown, or makes no sense.
  """
  parser = console.Parser(__doc__)
  add = parser.add_argument
  add('--audio', required=True, help='a folder, or with --segments a pattern')
  add('--segments', help="one of AudioSet's segment lists")
  add('--classes', help='class_labels_indices.csv, with --segments')
  add(
    '--split', default='bal_train', help='bal_train, unbal_train or eval: of a'
    ' folder with splits its training clips, or for eval its test clips',
  )  # fmt: skip
  add('--out', required=True)
  add('--weights', required=True, help='of python -m aec_jax.models.convert')
  add('--pca', required=True, help='vggish_pca_params.npz')
  add('--width', type=float, default=1.0, help="of the weights' network")
  add('--files', type=int, default=4096, help='into how many files')
  add('--beam', action='store_true', help='on a Beam runner')
  options, arguments = parser.parse_known_args(argv)
  if arguments and not options.beam:
    raise UserError(f'unknown option {arguments[0]}; see --help')
  if bool(options.segments) != bool(options.classes):
    raise UserError('--segments and --classes go together')
  if options.files < 1:
    raise UserError(f'--files is {options.files}; 1 is the least')
  if not 0.001 <= options.width <= 16:
    raise UserError(f'--width is {options.width}; it takes 0.001 to 16')
  return options, arguments


def prepare(argv: Sequence[str]) -> str:
  """Runs the command; returns what it says at its end."""
  options, arguments = _options(argv)
  with naming(options.out, advice='the same command goes on from there'):
    return _prepared(options, arguments)


def _prepared(options, arguments) -> str:
  if options.segments:
    found = recordings.of_segments(
      options.segments, options.audio, options.classes
    )
  else:
    found = recordings.of_folder(options.audio, options.split)
  todo = embedded_recordings.shards(
    found.recordings, found.classes, options.out, options.split, options.files,
    options.weights, options.pca, options.width, found.skipped, found.notes,
  )  # fmt: skip
  start = time.monotonic()
  if options.beam:
    embedded_recordings.run_beam(todo, arguments)
  else:
    meter = Meter('embedding, files', len(todo), logged=True)
    for shard in todo:
      embedded_recordings.write(shard)
      meter.advance(1)
  count = sum(len(shard.recordings) for shard in todo)
  seconds = time.monotonic() - start
  left_out, odd = (
    len(embedded_recordings.listed(options.out, options.split, kind))
    for kind in ('skipped', 'notes')
  )
  return (
    f'{count:,} recordings in {len(todo):,} files, {seconds:,.0f} s;'
    f' {left_out:,} left out and {odd:,} notes in all, see *.skipped.json and'
    f' *.notes.json in {options.out}/features/{options.split}'
  )


def main(argv: Sequence[str]) -> int:
  console.configure_logging()

  def command():
    print(prepare(argv[1:]))
    return 0

  return console.run_command(command)


if __name__ == '__main__':
  sys.exit(main(sys.argv))
