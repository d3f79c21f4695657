"""Tags sounds with the bundle of a finished experiment.

  python -m aec_jax.predict --bundle=DIR/bundle PATH…
  python -m aec_jax.predict --bundle=DIR/bundle --events PATH…
  python -m aec_jax.predict --bundle=DIR/bundle --decide PATH…
  python -m aec_jax.predict --bundle=DIR/bundle [--events] --out=FOLDER PATH…
  … | python -m aec_jax.predict --bundle=DIR/bundle -

A PATH is a sound file of any length, rate and number of channels (all that
FFmpeg decodes), a folder that is searched for such files, or, for bundles of
AudioSet experiments, a TFRecord file of embeddings. What is odd about a sound
is noted on stderr, and silence gets no tags. What in a folder can't be read is
named there and passed over. Exit status 2 if a PATH itself can't be read or
nothing could be tagged.

--out=FOLDER gets Parquet parts, each whole or absent: the same command goes on
where a killed one was. `-` is standard input: a wav, or with --rate raw samples
of 16 bits, of which each piece is tagged as it comes.
"""

import collections
import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence

from aec_jax import asking, formats, telling
from aec_jax.errors import UserError
from aec_jax.run import console, progress
from aec_jax.run import files as file_lib


@dataclasses.dataclass(frozen=True)
class File:
  """Something to tag.

  Attributes:
    path: of it.
    named: whether the user named it, rather than its folder.
  """

  path: str
  named: bool

  # The disk is asked once of each, of which there may be many.
  @functools.cached_property
  def size(self) -> int:
    """Bytes; 0 where it is not there."""
    try:
      return os.path.getsize(self.path)
    except OSError:
      return 0

  @functools.cached_property
  def of_records(self) -> bool:
    """Whether it is a TFRecord file, by its name or by what it begins with."""
    from aec_jax.datasets import tfrecord

    return tfrecord.is_named_so(self.path) or tfrecord.is_one(self.path)


def main(argv: Sequence[str] | None = None) -> int:
  arguments = _parser().parse_args(argv)
  asking.check(arguments)
  if arguments.timeline:
    from aec_jax.bundle import timeline

    timeline.check_path(arguments.timeline)
  piped = arguments.paths == ['-']
  files = [File('-', named=True)] if piped else list(find(arguments.paths))
  if arguments.timeline:
    timeline.check_sounds(arguments.timeline, files)
  kind = arguments.format or 'table'
  formats.check(kind, files)
  from aec_jax import archive
  from aec_jax.bundle import store

  tagger = store.from_arguments(arguments)
  drawing = None
  if arguments.timeline:
    drawing = timeline.Drawing(arguments.timeline, tagger)
  console.allow_any_names()
  asked = asking.of_arguments(tagger, arguments)
  read = functools.partial(tag, float_range=arguments.float_range)
  if arguments.out:
    about = archive.about_bundle(tagger, arguments)
    return archive.run(
      asked, tagger, files, arguments.out, about, arguments.decoders, read
    )
  told = telling.Told(
    _piped(tagger, asked, arguments.rate, files[0])
    if piped
    else read(asked, files)
  )
  band = tagger.spec.low, tagger.spec.high
  telling.tell(told, kind, asked, band, drawing)
  if told.failed and len(files) > 1:
    print(
      f'{told.good:,} tagged, {told.failed:,} could not be', file=sys.stderr
    )
  return told.status


def _parser():
  parser = console.BundleParser(__doc__)
  parser.add_argument('paths', nargs='+', metavar='PATH')
  parser.add_argument(
    '--timeline',
    metavar='OUT.png|html',
    help='Draws the sound, or on a page all of them: tags over time.',
  )
  parser.add_argument(
    '--test_shifts',
    type=int,
    metavar='N',
    help='At how many shifts recordings are cut [as they were scored].',
  )
  asking.add_float_range(parser)
  asking.add_options(parser)
  return parser


def _piped(tagger, asked, rate, file):
  """As `tag`, of what comes on standard input."""
  from aec_jax import pipe

  notes: list[str] = []
  for name, found in pipe.tagged(tagger, asked, rate, notes):
    yield file, name, found
  telling.say_notes(file.path, notes)


def find(paths: Sequence[str]) -> Iterator[File]:
  """The files that the paths mean, folders searched through.

  What a folder has that should be audio and isn't read here is named on stderr.

  Raises:
    UserError: a folder has nothing to tag.
  """
  from aec_jax.datasets import clips, tfrecord

  for path in paths:
    if not os.path.isdir(path):
      yield File(path, named=True)
      continue
    files, skipped = clips.walk(path, also=tfrecord.is_called_one)
    for entry in skipped:
      line = f'{os.path.join(path, entry["file"])}: {entry["reason"]}'
      print(f'skipped: {console.printable(line)}', file=sys.stderr)
    if not files:
      raise UserError(f'{path}: a folder without sound files')
    for parts in files:
      yield File(os.path.join(path, *parts), named=False)


def tag(
  tagger,
  files: Sequence[File],
  bar: progress.Meter | None = None,
  float_range: Sequence[float] = (),
) -> Iterator[tuple]:
  """Tags files, with a progress bar.

  Args:
    tagger: of a bundle, or an `Answer`.
    files: to be tagged, in this order.
    bar: counts their bytes; None for one of their own.
    float_range: as `clip_record.read` takes it.

  Yields:
    (file, name, `Tags` or `UserError`, or of answers `Found`); of a .tfrecord
    one for each clip, whose name is FILE:VIDEO_ID.
  """
  bar = bar or progress.Meter('tagging', sum(file.size for file in files))
  under_way: collections.deque[tuple[File, str]] = collections.deque()

  def sounds():
    for file in files:
      for name, sound in _sounds(file, bar, float_range):
        under_way.append((file, name))
        yield sound

  with contextlib.closing(tagger.tag(sounds())) as results:
    for found in results:
      bar.clear()
      sound = under_way[0]
      if getattr(found, 'last', True):
        under_way.popleft()
      yield *sound, found
  bar.clear()


def _sounds(file, bar, float_range):
  """(name, what `Tagger.tag` takes) of a file."""
  from aec_jax.audio import stream

  if file.of_records:
    yield from _clips(file.path, float_range)
    bar.advance(file.size)
    return
  recording = stream.Recording.of_file(file.path).held()
  yield file.path, dataclasses.replace(
    recording, blocks=lambda: _watched(recording, file.size, bar)
  )  # fmt: skip


def _watched(recording, size, bar):
  """A recording's blocks; each of two readings counts for half of its bytes."""
  from aec_jax.audio import decode

  share = 0.0
  for block, rate in recording.blocks():
    if not share and bar.told:
      seconds = decode.seconds_of(recording.name) or 0
      share = size / 2 / max(1, seconds * rate)
    yield block, rate
    bar.advance(share * len(block))


def _clips(path, float_range):
  """(FILE:VIDEO_ID, or FILE:NUMBER, embeddings) of a TFRecord's records."""
  import numpy as np

  from aec_jax.datasets import tfrecord

  if trouble := file_lib.why_no_file(path):
    yield path, UserError(f'{path}: {trouble}')
    return
  for i, (payload, reason) in enumerate(tfrecord.walk(path)):
    name = f'{path}:{i}'
    try:
      if payload is None:
        raise ValueError(reason)
      video_id, frames = tfrecord.embeddings_of(payload, float_range)
      name = f'{path}:{video_id or i}'
      if not frames:
        raise ValueError('audio_embedding has 0 frames')
      embeddings = np.stack([np.frombuffer(f, np.uint8) for f in frames])
    except ValueError as error:
      yield name, UserError(f'{path}, record {i}: {error}')
    else:
      yield name, embeddings


if __name__ == '__main__':
  sys.exit(console.run_command(main))
