"""The options of what is asked of sounds, their checks, what they ask for."""

import argparse
import contextlib
import csv
import sys

from aec_jax import formats
from aec_jax.errors import UserError
from aec_jax.run import files

_PARQUET = 'parquet'  # of any answer, to a folder


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the options of what is asked and how it is written."""
  kinds = (*formats.OF_ANY, *formats.OF_EVENTS, _PARQUET)
  parser.add_argument('--format', choices=kinds)
  parser.add_argument(
    '--top', type=int, default=5, help='Classes of each sound [5].'
  )
  parser.add_argument(
    '--classes', metavar='A,B|FILE', help='Those that are told [all].'
  )
  parser.add_argument(
    '--decide', action='store_true', help='What is there, and what is not.'
  )
  parser.add_argument(
    '--precision',
    type=float,
    help="Wished of the bundle's thresholds [those of the best F1].",
  )
  parser.add_argument(
    '--events', action='store_true', help='When each class is heard.'
  )
  parser.add_argument(
    '--hop', type=float, metavar='S', help='Of events, seconds [a segment].'
  )
  parser.add_argument(
    '--median',
    type=float,
    metavar='S',
    help='That events are smoothed over, seconds [about a segment].',
  )
  parser.add_argument(
    '--by',
    choices=('pieces', 'attention'),
    help='What dates events [attention where the model has it, else pieces].',
  )
  parser.add_argument(
    '--threshold',
    metavar='P|FILE',
    help="Of events, or a CSV of class,threshold [the bundle's, else 0.5].",
  )
  add_out(parser)
  parser.add_argument(
    '--rate', type=int, metavar='HZ', help='Of raw samples on standard input.'
  )


def add_float_range(parser: argparse.ArgumentParser) -> None:
  """Adds the option of what embeddings of other projects are."""
  parser.add_argument(
    '--float_range',
    type=_range,
    default=(),
    metavar='LOW,HIGH',
    help='What 0 and 255 stand for in TFRecords of floats: -2,2 before the'
    " release's quantisation, 0,1 divided by 255.",
  )


def _range(text: str) -> tuple[float, ...]:
  from aec_jax.datasets import clip_record

  found: tuple = tuple(text.split(','))
  with contextlib.suppress(ValueError):  # else refused as it is
    found = tuple(map(float, found))
  clip_record.check_range('--float_range', found)
  return found


def add_out(parser: argparse.ArgumentParser, required: bool = False) -> None:
  """Adds the options of an archive."""
  parser.add_argument(
    '--out', required=required, help='The folder of Parquet parts to fill.'
  )
  parser.add_argument(
    '--decoders',
    type=int,
    metavar='N',
    help='Processes that decode, with --out [as many as there are cores].',
  )


def check(arguments: argparse.Namespace) -> None:
  """Raises `UserError` for options that don't go together."""
  if arguments.top < 1:
    raise UserError(f'--top is {arguments.top}; it must be 1 or more')
  events = ('hop', 'median', 'by', 'threshold')
  for name in events:
    if getattr(arguments, name) is not None and not arguments.events:
      raise UserError(f'--{name} is for --events')
  if arguments.events and arguments.decide:
    raise UserError('--events and --decide are two questions: ask one')
  asks = arguments.events or arguments.decide
  if arguments.precision is not None and not asks:
    raise UserError('--precision is for --decide and --events')
  if arguments.precision is not None and arguments.threshold is not None:
    raise UserError('--precision and --threshold: give one')
  if arguments.format in formats.OF_EVENTS and not arguments.events:
    raise UserError(f'--format={arguments.format} is for --events')
  if arguments.format == _PARQUET and not arguments.out:
    raise UserError(f'--format={_PARQUET} takes --out=FOLDER')
  if arguments.out and arguments.format not in (None, _PARQUET):
    raise UserError(f'--out holds Parquet, not --format={arguments.format}')
  if arguments.decoders is not None and not arguments.out:
    raise UserError('--decoders is for --out')
  if '-' in arguments.paths and len(arguments.paths) > 1:
    raise UserError('- is standard input, and goes with no other PATH')
  if arguments.paths == ['-'] and (arguments.events or arguments.out):
    raise UserError('- takes neither --events nor --out: save it as a file')
  if arguments.rate is not None:
    _check_rate(arguments)
  given = (arguments.classes, arguments.out, arguments.decide, arguments.events)
  if arguments.timeline and (any(given) or arguments.paths == ['-']):
    raise UserError('--timeline goes with plain tags of a file')


def _check_rate(arguments) -> None:
  from aec_jax.audio import ffmpeg

  if arguments.paths != ['-']:
    raise UserError('--rate is of -, standard input')
  if arguments.rate < ffmpeg.MIN_RATE:
    raise UserError(
      f'--rate is {arguments.rate}; it must be at least {ffmpeg.MIN_RATE} Hz'
    )


def of_arguments(tagger, arguments: argparse.Namespace):
  """The `Answer` that is asked.

  Raises:
    UserError: the bundle can't answer that.
  """
  from aec_jax import answers

  only = answers.chosen(tagger, arguments.classes)
  if arguments.decide:
    return answers.Decisions(tagger, arguments.precision, arguments.top, only)
  if arguments.events:
    return _events(tagger, arguments, only)
  return answers.Tags(tagger, arguments.top, only)


def _events(tagger, arguments, only):
  import numpy as np

  from aec_jax import answers
  from aec_jax.bundle import activity, embedded, events

  for note in answers.unshifted(tagger):
    print(f'note: {note}', file=sys.stderr)
  per_segment = embedded.check_hop(tagger, arguments.hop)
  hop = tagger.spec.seconds / per_segment
  by = arguments.by or activity.default(tagger)
  median = events.median_frames(arguments.median, hop, per_segment)
  limits = np.where(only, thresholds(tagger, arguments), np.nan)
  return answers.Events(tagger, per_segment, by, median, limits)


def thresholds(tagger, arguments):
  """(class,) probabilities from which on events are told.

  Args:
    tagger: of a bundle.
    arguments: with `threshold` and `precision`, as `add_options` makes them.

  Raises:
    UserError: they name no thresholds.
  """
  import numpy as np

  from aec_jax import answers
  from aec_jax.bundle import decisions

  text, classes = arguments.threshold, tagger.classes
  if text is None and arguments.precision is None:
    return answers.usual_thresholds(tagger)
  if text is None:
    found = answers.decided_by(tagger)
    return decisions.thresholds(found, arguments.precision)
  try:
    return np.full(len(classes), _probability(text))
  except ValueError:
    pass  # a file
  rows: dict[str, float] = {}
  files.check_file(text, needed=False)
  try:
    with open(text, encoding='utf-8-sig', newline='') as file:
      for number, (label, value) in enumerate(csv.reader(file), 1):
        if number == 1 and label == 'class':
          continue
        if label not in classes:
          raise UserError(f'{text}: row {number}: {label!r} is no class')
        rows[label] = _probability(value)
  except OSError as error:
    raise UserError(
      f'--threshold is {text!r}, neither 0 to 1 nor a file'
    ) from error
  except (ValueError, csv.Error) as error:
    raise UserError(f'{text}: expected rows of class,threshold') from error
  if not rows:
    raise UserError(f'{text}: empty: expected rows of class,threshold')
  return np.array([rows.get(name, np.nan) for name in classes])


def _probability(text) -> float:
  value = float(text)
  if not 0 <= value <= 1:
    raise UserError(f'--threshold: {text} is not from 0 to 1')
  return value
