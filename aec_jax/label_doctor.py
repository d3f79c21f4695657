"""Which labels of clips are suspect or sure, and lists that heed it.

A clip is judged by classifiers that have not trained on it, as confident
learning does: Northcutt, Jiang and Chuang, Confident Learning: Estimating
Uncertainty in Dataset Labels (2021, arXiv:1911.00068). Labels that nobody has
verified and that they agree with may count as verified in a next round of
training, as in self-training: Jeong and Lim, Audio Tagging System for DCASE
2018 (2018).
"""

import csv
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from aec_jax.datasets.clips import Clips
from aec_jax.run import files

# Lists that are folders by themselves, for `config.data_dir`.
LIST = 'corrected/labels.csv'
ACCEPTED = 'accepted/labels.csv'
# How probable another class must be for a label to be changed; docs/results.md
# has what other values would spoil.
_SURE = 0.9
# How probable a label must be that counts as verified from then on.
_AGREED = 0.95


class Suspects(NamedTuple):
  """Clips whose labels are suspect, the most suspect first.

  Attributes:
    clips: (suspect,) indices.
    better: (suspect,) the class that each is taken for.
  """

  clips: np.ndarray
  better: np.ndarray


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> Suspects:
  """The clips that are taken for another class with confidence.

  Confidence is a probability as high as what the clips of that class get for
  it, in the mean. Of two suspects the one comes first whose label is further
  behind.

  Args:
    labels: (clip,) classes.
    probabilities: (clip, class) of classifiers that have not trained on them.
  """
  clips, classes = probabilities.shape
  counts = np.bincount(labels, minlength=classes)
  own = probabilities[np.arange(clips), labels]
  sums = np.bincount(labels, own, minlength=classes)
  # Of a class without a clip nothing is known: none is taken for it.
  least = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
  sure = np.where(probabilities >= least, probabilities, -1.0)
  better, margin = sure.argmax(1), sure.max(1) - own
  found = np.flatnonzero((better != labels) & (margin > 0))
  found = found[np.argsort(-margin[found], kind='stable')]
  return Suspects(found, better[found])


def examine(
  classes: tuple[str, ...],
  ids: np.ndarray,
  labels: np.ndarray,
  verified: np.ndarray,
  probabilities: np.ndarray,
) -> tuple[dict, dict[int, int]]:
  """What results.json says of suspect labels, and which to change.

  A label that a person has verified is named after the others, and left as it
  is, where the data say which ones are.

  Args:
    classes: names.
    ids, labels, verified: (clip,).
    probabilities: (clip, class), as `suspects` takes them.

  Returns:
    {'examined', 'changed', 'suspects'}, and the new class by index of clip.
  """
  found = suspects(labels, probabilities)
  may = ~verified if not verified.all() else verified
  order = np.argsort(~may[found.clips], kind='stable')
  found = Suspects(found.clips[order], found.better[order])
  changes = {
    int(clip): int(k)
    for clip, k in zip(*found, strict=True)
    if may[clip] and probabilities[clip, k] >= _SURE
  }
  entries = [
    {
      'clip': str(ids[clip]),
      'label': classes[labels[clip]],
      'given': float(probabilities[clip, labels[clip]]),
      'better': classes[k],
      'found': float(probabilities[clip, k]),
      'changed': int(clip) in changes,
    }
    for clip, k in zip(*found, strict=True)
  ]
  about = {'examined': len(labels), 'changed': len(changes)}
  return {**about, 'suspects': entries}, changes


def agreed(
  labels: np.ndarray, verified: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
  """(clip,) indices of labels that are not verified and may count as such.

  They are what classifiers that have not trained on them say with a probability
  over 0.95; of a class at most as many as have been verified, the surest.

  Args:
    labels, verified, probabilities: as `examine` takes them.
  """
  own = probabilities[np.arange(len(labels)), labels]
  sure = np.flatnonzero(~verified & (own > _AGREED))
  sure = sure[np.argsort(-own[sure], kind='stable')]
  most = np.bincount(labels[verified], minlength=probabilities.shape[1])
  found = [sure[labels[sure] == k][: most[k]] for k in range(len(most))]
  return np.sort(np.concatenate(found))


def write_list(
  path: Path,
  clips: Clips,
  changes: Mapping[int, int],
  accepted: Collection[int] = (),
) -> None:
  """Writes a list of clips that `config.data_dir` takes: its folder.

  Args:
    path: of the CSV; files are named in it by where they lie now.
    clips: with one label each.
    changes: the new class by index of clip.
    accepted: clips that count as verified.
  """
  labels, verified = clips.single_labels().copy(), clips.verified.copy()
  labels[list(changes)] = list(changes.values())
  verified[list(accepted)] = True
  columns = {
    'file': clips.paths.tolist(),
    'label': [_cell(clips.classes[k]) for k in labels],
    'split': clips.split.tolist(),
    'verified': verified.astype(int).tolist(),
    'fold': ['' if fold < 0 else fold for fold in clips.fold.tolist()],
    'group': clips.group.tolist(),
    'start': ['' if x != x else x for x in clips.start.tolist()],
    'end': ['' if x != x else x for x in clips.end.tolist()],
  }
  # A column that says nothing is left out.
  columns = {k: v for k, v in columns.items() if any(x != '' for x in v)}
  path.parent.mkdir(parents=True, exist_ok=True)
  with (
    files.whole(path) as unfinished,
    open(unfinished, 'w', encoding='utf-8', newline='') as file,
  ):
    # In quotes 'null' and 'na' are words.
    writer = csv.writer(file, lineterminator='\n', quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
  logging.info(
    'labels changed: %s, accepted: %s, in %s', f'{len(changes):,}',
    f'{len(accepted):,}', path,
  )  # fmt: skip


def _cell(label: str) -> str:
  """One label, as `datasets.label_cells` takes it for one."""
  if label.startswith('[') or any(mark in label for mark in ';|,'):
    return json.dumps([label], ensure_ascii=False)
  return label
