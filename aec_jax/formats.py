"""Answers on sounds as text: tables, CSV, JSON, Audacity's and Raven's.

What is odd about sounds, or wrong with them, is said on stderr (`Told`),
whichever way answers are written.
"""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator

from aec_jax.answers import NONE, Answer, Found
from aec_jax.errors import UserError
from aec_jax.run import text
from aec_jax.run.text import printable

# What a `writer` gives: takes a sound's name and what is found in it.
Show = Callable[[str, Found], None]
EVENTS_ALONE = ('audacity', 'raven')
_RAVEN = (
  'Selection', 'View', 'Channel', 'Begin Time (s)', 'End Time (s)',
  'Low Freq (Hz)', 'High Freq (Hz)', 'Begin Path', 'File Offset (s)', 'Class',
  'Confidence',
)  # fmt: skip


class Told:
  """Passes sounds on, counts them, and says on stderr what is odd about them.

  Args:
    sounds: (file, name, `Found`), as `predict.tag` gives them.

  Attributes:
    good, failed: how many sounds were heard, and how many could not be.
    mistakes: how many of these the user named.
  """

  def __init__(self, sounds: Iterable[tuple]) -> None:
    self._sounds = sounds
    self.good = self.failed = self.mistakes = 0

  def __iter__(self) -> Iterator[tuple]:
    for file, name, found in self._sounds:
      if found.error:
        print(f'error: {printable(str(found.error))}', file=sys.stderr)
        self.failed, self.mistakes = self.failed + 1, self.mistakes + file.named
      else:
        self.good += found.last
      if found.last:
        say_notes(name, found.notes)
      yield file, name, found

  @property
  def status(self) -> int:
    """The command's exit status."""
    return 0 if self.good and not self.mistakes else 2


def say_notes(name: str, notes: Iterable[str]) -> None:
  """Says on stderr what is odd about a sound."""
  for note in notes:
    print(f'note: {printable(f"{name}: {note}")}', file=sys.stderr)


@contextlib.contextmanager
def writer(kind: str, answer: Answer, band: tuple[float, float]) -> Iterator:
  """Writes an answer to stdout, sound by sound.

  Args:
    kind: 'table', 'csv', 'json', and of events 'audacity' or 'raven'.
    answer: whose rows come.
    band: Hz, which Raven's selections span.

  Yields:
    A function of a sound's name and what is found in it.
  """
  if kind == 'json':
    with _json(answer) as show:
      yield show
  elif kind == 'csv':
    yield _csv(answer)
  elif kind == 'audacity':
    yield _audacity
  elif kind == 'raven':
    yield _raven(band)
  else:
    yield _table(answer)


def _table(answer) -> Show:
  def show(name, found):
    if not found.error:
      lines = [f'  {printable(line)}' for line in answer.lines(found.rows)]
      print(printable(name), *lines, sep='\n', flush=True)

  return show


def _csv(answer) -> Show:
  rows = csv.writer(sys.stdout, lineterminator='\n')
  rows.writerow(('file', *answer.columns))

  def show(name, found):
    rows.writerows(map(_cell, (name, *row)) for row in found.rows)
    sys.stdout.flush()

  return show


def _cell(value):
  if isinstance(value, bool):
    return int(value)
  if isinstance(value, str):
    return text.cell(value)
  return _rounded(value)


@contextlib.contextmanager
def _json(answer):
  """A list of {"file", "events": [{"onset", …}, …]}, perhaps with "notes", or
  {"file", "error"}, printed as it comes.
  """
  first = True

  def show(name, found):
    nonlocal first
    entry = {'file': name}
    if found.error is not None:
      entry['error'] = str(found.error)
    else:
      cells = [map(_rounded, row) for row in found.rows]
      entry[answer.name] = [
        dict(zip(answer.columns, row, strict=True)) for row in cells
      ]
      if answer.name == 'decisions':
        entry[NONE.replace(' ', '_')] = not any(row[-1] for row in found.rows)
      if found.notes:
        entry['notes'] = list(found.notes)
    print('[' if first else ',', json.dumps(entry), sep='\n', end='')
    sys.stdout.flush()
    first = False

  yield show
  print('[]' if first else '\n]')


def _rounded(value):
  return round(value, 6) if isinstance(value, float) else value


def _audacity(_, found: Found) -> None:
  """Lines for File > Import > Labels of Audacity."""
  for onset, offset, label, confidence in found.rows:
    said = f'{printable(label)} {confidence:.2f}'
    print(f'{onset:.6f}\t{offset:.6f}\t{said}', flush=True)


def _raven(band) -> Show:
  """Rows of a selection table of Raven, of sounds one after another."""
  print('\t'.join(_RAVEN))
  number, begun = 0, 0.0

  def show(name, found):
    nonlocal number, begun
    for onset, offset, label, confidence in found.rows:
      number += 1
      cells = (
        number, 'Spectrogram 1', 1, f'{begun + onset:.4f}',
        f'{begun + offset:.4f}', f'{band[0]:g}', f'{band[1]:g}',
        printable(name), f'{onset:.4f}', printable(label), f'{confidence:.4f}',
      )  # fmt: skip
      print('\t'.join(map(str, cells)), flush=True)
    begun += found.seconds

  return show


def check(kind: str, answer: Answer, sounds: int) -> None:
  """Raises `UserError` for a format that the answer can't be written in."""
  if kind in EVENTS_ALONE and answer.name != 'events':
    raise UserError(f'--format={kind} is for --events')
  if kind == 'audacity' and sounds != 1:
    raise UserError(
      f"--format=audacity writes one sound's labels, and these are {sounds:,}:"
      ' name one, or use raven'
    )
