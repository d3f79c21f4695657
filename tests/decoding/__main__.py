"""Every file of a folder, decoded by this project and by ffmpeg.

  python -m tests.decoding DIR [--make] [--all]

Prints rate, duration, RMS and correlation of what differs, and what this
project says of it. A difference is silent where it says nothing: the exit
status is 1 if there is any, or if a file that looks like sound is neither used
nor named. --make first fills DIR with over 300 files of all kinds, --all prints
the files that don't differ too.
"""

import argparse
import concurrent.futures
import os
import sys
from pathlib import Path

from aec_jax.datasets import clips
from aec_jax.run import console
from tests.decoding import making
from tests.decoding.compare import Row, Sound, compare


def main() -> int:
  parser = argparse.ArgumentParser(
    prog='python -m tests.decoding', description=__doc__.splitlines()[0]
  )
  parser.add_argument('folder', type=Path)
  parser.add_argument('--make', action='store_true')
  parser.add_argument('--all', action='store_true')
  options = parser.parse_args()
  if options.make:
    print(f'{making.make(options.folder):,} files made')
  used, named = clips.walk(str(options.folder))
  paths = [options.folder.joinpath(*parts) for parts in used]
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    rows = list(pool.map(compare, paths))
  differ = [row for row in rows if row.differs or row.disagreement]
  shown = rows if options.all else differ
  if shown:
    print(table(shown))
  for entry in named:
    print(f'not used: {entry["file"]}: {entry["reason"]}')
  silently = [row for row in rows if row.silently]
  refused = sum(bool(row.ours.error) for row in rows)
  print(
    f'{len(rows):,} files: {len(rows) - refused:,} heard, {refused:,} refused;'
    f' {len(differ):,} differ, {len(silently):,} silently'
  )
  return int(bool(silently))


def table(rows: list[Row]) -> str:
  """Of each file what both heard, and what we say."""
  lines = [('file', 'Hz', 's', 'RMS', 'correlation')]
  for row in rows:
    pairs = [_pair(row, what) for what in (_rate, _seconds, _rms)]
    lines.append((row.name[:50], *pairs, f'{row.correlation:.4f}'))
  # What we say, which is of any length, stands last and is not padded.
  head, rule, *found = console.table(lines).splitlines()
  said = [
    f'{line}  {_said(row)}' for line, row in zip(found, rows, strict=True)
  ]
  return '\n'.join([f'{head}  said', rule, *said])


def _said(row) -> str:
  said = row.ours.error or '; '.join(row.notes) or '-'
  return f'SILENT {row.disagreement} {said}' if row.silently else said


def _pair(row, show) -> str:
  ours, theirs = (
    '-' if sound.error else show(sound) for sound in (row.ours, row.theirs)
  )
  return ours if ours == theirs else f'{ours} / {theirs}'


def _rate(sound: Sound) -> str:
  return f'{sound.rate:,}'


def _seconds(sound: Sound) -> str:
  return f'{sound.seconds:.2f}'


def _rms(sound: Sound) -> str:
  return f'{sound.rms:.4f}'


if __name__ == '__main__':
  sys.exit(main())
