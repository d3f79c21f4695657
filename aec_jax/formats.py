"""Answers on sounds as text: tables, CSV, JSON, Audacity's and Raven's."""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from aec_jax.errors import UserError
from aec_jax.run import text
from aec_jax.run.text import printable

if TYPE_CHECKING:  # which imports JAX, and --help shall not
  from aec_jax.answers import Answer, Found

# What a `writer` gives: takes a sound's name and what is found in it.
Show = Callable[[str, 'Found'], None]
_RAVEN = (
  'Selection', 'View', 'Channel', 'Begin Time (s)', 'End Time (s)',
  'Low Freq (Hz)', 'High Freq (Hz)', 'Begin Path', 'File Offset (s)', 'Class',
  'Confidence',
)  # fmt: skip


@contextlib.contextmanager
def _table(answer, band) -> Iterator[Show]:
  def show(name, found):
    if not found.error:
      lines = [f'  {printable(line)}' for line in answer.lines(found.rows)]
      print(printable(name), *lines, sep='\n', flush=True)

  yield show


@contextlib.contextmanager
def _csv(answer, band) -> Iterator[Show]:
  rows = csv.writer(sys.stdout, lineterminator='\n')
  rows.writerow(('file', *answer.columns))

  def show(name, found):
    rows.writerows(map(_cell, (name, *row)) for row in found.rows)
    sys.stdout.flush()

  yield show


def _cell(value):
  if isinstance(value, bool):
    return int(value)
  if isinstance(value, str):
    return text.cell(value)
  return _rounded(value)


@contextlib.contextmanager
def _json(answer, band):
  """A list of {"file", "events": [{"onset", …}, …]}, perhaps with "notes", or
  {"file", "error"}, printed as it comes.
  """
  from aec_jax.answers import NONE

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


@contextlib.contextmanager
def _audacity(answer, band) -> Iterator[Show]:
  """Lines for File > Import > Labels of Audacity."""

  def show(name, found):
    for onset, offset, label, confidence in found.rows:
      said = f'{printable(label)} {confidence:.2f}'
      print(f'{onset:.6f}\t{offset:.6f}\t{said}', flush=True)

  yield show


@contextlib.contextmanager
def _raven(answer, band) -> Iterator[Show]:
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

  yield show


# By name; of any answer, and of events alone.
OF_ANY = {'table': _table, 'json': _json, 'csv': _csv}
OF_EVENTS = {'audacity': _audacity, 'raven': _raven}


def writer(
  kind: str, answer: 'Answer', band: tuple[float, float]
) -> AbstractContextManager[Show]:
  """Writes an answer to stdout, sound by sound.

  Args:
    kind: one of `OF_ANY`, of events also of `OF_EVENTS`.
    answer: whose rows come.
    band: Hz, which Raven's selections span.

  Returns:
    A context of a function of a sound's name and what is found in it.
  """
  return (OF_ANY | OF_EVENTS)[kind](answer, band)


def check(kind: str, files: Sequence) -> None:
  """Raises `UserError` for a format that sounds can't be written in.

  Args:
    kind: as of `writer`.
    files: to be heard, as `predict.find` gives them.
  """
  if kind != 'audacity':
    return
  if len(files) != 1:
    raise UserError(
      "--format=audacity writes one sound's labels, and these are"
      f' {len(files):,}: name one, or use raven'
    )
  if files[0].of_records:
    raise UserError(
      f"--format=audacity writes one sound's labels, and {files[0].path} is"
      ' of many clips: use raven'
    )
