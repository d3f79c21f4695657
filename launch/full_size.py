"""FSDKaggle2018 at its full size, of generated sound, to rehearse on.

  python -m launch.full_size --lists=LISTS --out=FULL [--share=0.1]

Writes Kaggle's layout: the real lists of `LISTS` (train_post_competition.csv
and test_post_competition.csv, of Zenodo's FSDKaggle2018.meta) and a wav for
each clip that they name, 44.1 kHz, 16 bits, mono, but for the 7,800 that are
padding. A wav is of its class's sound in the synthetic set. The lists hold no
lengths: these are guessed, 0.3 to 30 s, 6.8 on average, log-normal between.
`--share` takes that share of each class's clips. Run again, the command makes
what is missing.
"""

import concurrent.futures
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aec_jax.datasets import synthetic_fsd
from aec_jax.errors import UserError
from aec_jax.run import console, files
from aec_jax.run.progress import Meter

CLIPS = 9_473, 1_600  # that train, that are scored
CLASSES = 41
_PARTS = ('train', 'test')
_LISTS = "--lists is the folder of Zenodo's FSDKaggle2018.meta"
# Of the logarithm of the seconds, before those beyond the range are cut off.
_MEDIAN, _DEVIATION = 4.7, 0.9


def seconds(count: int, seed: int) -> np.ndarray:
  """Guessed lengths of so many clips: (clip,), seconds."""
  rng = np.random.default_rng([seed, 17])
  found = rng.lognormal(np.log(_MEDIAN), _DEVIATION, count)
  return np.clip(found, *synthetic_fsd.DURATION)


def make(lists: Path, out: Path, share: float = 1.0, seed: int = 0) -> None:
  """Writes the data set.

  Args:
    lists: the folder of the real lists.
    out: the data set's folder.
    share: of each class's clips, of both lists.
    seed: of the sounds and their lengths.

  Raises:
    UserError: a list is not there or has not the columns of one, or the folder
      cannot be written.
  """
  for number, part in enumerate(_PARTS):
    rows = _listed(lists / f'{part}_post_competition.csv')
    some = _share(rows, share)
    order = dict(zip(sorted({r['label'] for r in some} - {'None'}),
                     synthetic_fsd.SOUNDS.values(), strict=False))  # fmt: skip
    folder = out / f'audio_{part}'
    try:
      folder.mkdir(parents=True, exist_ok=True)
      with files.whole(out / f'{part}_post_competition.csv') as path:
        _write_list(path, some)
      heard = [row for row in some if row['label'] in order]
      _write_wavs(folder, heard, order, [seed, number])
    except OSError as error:
      raise UserError(f'cannot write {out}: {error.strerror}') from error


def _listed(path: Path) -> list[dict]:
  files.check_file(path, remedy=_LISTS)
  try:
    with open(path, encoding='utf-8', newline='') as file:
      rows = list(csv.DictReader(file))
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    why = getattr(error, 'strerror', error)
    raise UserError(f'{path}: {why}: {_LISTS}') from error
  if not rows or not {'fname', 'label'} <= rows[0].keys():
    raise UserError(f'{path}: no list with the columns fname and label')
  return rows


def _share(rows: Sequence[dict], share: float) -> list[dict]:
  """The first so many of each class, at least two, in the list's order."""
  total: dict[str, int] = {}
  for row in rows:
    total[row['label']] = total.get(row['label'], 0) + 1
  taken: dict[str, int] = {}
  kept = []
  for row in rows:
    label = row['label']
    taken[label] = taken.get(label, 0) + 1
    if taken[label] <= max(2, round(share * total[label])):
      kept.append(row)
  return kept


def _write_list(path: Path, rows: Sequence[dict]) -> None:
  with open(path, 'w', encoding='utf-8', newline='') as file:
    writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)


def _write_wavs(folder, rows, sounds, seed) -> None:
  """Each clip has its own stream: the order of writing does not matter."""
  lengths = seconds(len(rows), seed[1])
  meter = Meter(f'writing {folder}', len(rows), logged=True)

  def write(i):
    path = folder / rows[i]['fname']
    if not path.exists():
      rng = np.random.default_rng([*seed, i])
      samples = synthetic_fsd.clip(rng, sounds[rows[i]['label']], lengths[i])
      # Not `files.whole`, which waits for the disk each time.
      unfinished = files.own_name(path)
      try:
        synthetic_fsd.write_wav(unfinished, samples)
        os.replace(unfinished, path)
      finally:
        unfinished.unlink(missing_ok=True)

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for _ in pool.map(write, range(len(rows))):
      meter.advance(1)


def main(argv: Sequence[str] | None = None) -> int:
  console.configure_logging()
  parser = console.Parser(__doc__)
  parser.add_argument('--lists', required=True, type=Path, metavar='DIR')
  parser.add_argument('--out', required=True, type=Path, metavar='DIR')
  parser.add_argument('--share', type=float, default=1.0, help='0 to 1 [1]')
  arguments = parser.parse_args(argv)
  if not 0 < arguments.share <= 1:
    raise UserError(f'--share is {arguments.share}; it must be over 0, up to 1')
  make(arguments.lists, arguments.out, arguments.share)
  return 0


if __name__ == '__main__':
  sys.exit(console.run_command(main))
