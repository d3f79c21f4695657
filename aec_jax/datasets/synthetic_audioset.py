"""A synthetic data set in the form of the AudioSet embeddings release.

It is learnable, and small enough to try everything on without a download. As
in AudioSet, clips have several labels, classes that belong together come
together, the unbalanced set has a long tail, a class sounds in some of a
clip's segments only, and about one clip in fifty is short.
"""

import os

import numpy as np

from aec_jax.datasets import audioset_tfrecord
from aec_jax.errors import UserError
from aec_jax.run import files

_FILES = 12  # of each split
_GROUP = 4  # classes that belong together
_SHORT = 0.02  # share of the clips that have 1 to 9 segments
_N_LABELS = (0.4, 0.32, 0.16, 0.08, 0.04)  # share of clips with 1, 2, … labels
_TOGETHER = 0.6  # share of further labels that are of the first one's group
_GAIN = (0.6, 1.2)  # of a prototype, over a background of deviation 1


def make(
  folder: str,
  seed: int = 0,
  classes: int = 40,
  train: int = 2000,
  unbalanced: int = 6000,
  evaluation: int = 1000,
) -> None:
  """Writes a folder like the unpacked release, whole or not at all.

  Args:
    folder: what to write; must not exist.
    seed: equal seeds and sizes give equal files.
    classes: number of classes, at least 2.
    train: clips of bal_train, with each class in equally many or more.
    unbalanced: clips of unbal_train, with class frequencies by Zipf's law;
      0 leaves the split out.
    evaluation: clips of eval, balanced like bal_train.

  Raises:
    UserError: the folder exists, or there are more classes than clips.
  """
  if os.path.exists(folder):
    raise UserError(f'{folder} exists: give the synthetic set a new folder')
  if not 2 <= classes <= min(train, evaluation):
    raise UserError(
      f'{classes} classes: the synthetic set takes 2 or more, and no more'
      f' than its {train} training and {evaluation} evaluation clips'
    )
  with files.whole_folder(folder) as unfinished:
    _write_classes(unfinished, classes)
    rng = np.random.default_rng([seed, 3])
    prototypes = rng.standard_normal(
      (classes, audioset_tfrecord.EMBEDDING_SIZE), np.float32
    )
    sizes = zip(
      audioset_tfrecord.SPLITS, (train, unbalanced, evaluation), strict=True
    )
    for number, (split, n_clips) in enumerate(sizes):
      rng = np.random.default_rng([seed, number])
      records = _clips(rng, prototypes, n_clips, split)
      _write_split(os.path.join(unfinished, 'features', split), records)


def _write_split(folder, records):
  n_files = min(_FILES, len(records))
  for file in range(n_files):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f'{file:02d}.tfrecord')
    audioset_tfrecord.write(records[file::n_files], path)


def _write_classes(folder, classes):
  path = os.path.join(folder, 'csv', 'class_labels_indices.csv')
  os.makedirs(os.path.dirname(path))
  with open(path, 'w', encoding='utf-8') as file:
    file.write('index,mid,display_name\n')
    for index in range(classes):
      file.write(f'{index},/s/{index:03d},"Synthetic {index:02d}"\n')


def _clips(rng, prototypes, n_clips, split):
  """Draws a split's records, as `audioset_tfrecord.write` takes them."""
  labels = _draw_labels(rng, len(prototypes), n_clips, split == 'unbal_train')
  n_segments = np.where(
    rng.random(n_clips) < _SHORT,
    rng.integers(1, audioset_tfrecord.MAX_SEGMENTS, n_clips),
    audioset_tfrecord.MAX_SEGMENTS,
  )
  records = []
  for index in range(n_clips):
    start = float(rng.integers(0, 300))
    records.append(
      {
        'video_id': f'{split[:3]}{index:08d}'.encode(),
        'start_time_seconds': start,
        'end_time_seconds': start + float(n_segments[index]),
        'labels': labels[index],
        'audio_embedding': _clip(
          rng, prototypes[labels[index]], n_segments[index]
        ),
      }
    )
  return records


def _draw_labels(rng, classes, n_clips, long_tail):
  """Draws each clip's classes, ascending: a list of integer arrays."""
  if long_tail:
    weights = 1 / np.arange(1, classes + 1)
    first = rng.choice(classes, n_clips, p=weights / weights.sum())
  else:
    first = rng.permutation(np.arange(n_clips) % classes)
  n_labels = 1 + rng.choice(len(_N_LABELS), n_clips, p=_N_LABELS)
  labels = []
  for one, count in zip(first, n_labels, strict=True):
    group = one - one % _GROUP + rng.integers(0, _GROUP, count - 1)
    # By a class of another clip, so that the tail stays long.
    other = rng.choice(first, count - 1)
    further = np.where(rng.random(count - 1) < _TOGETHER, group, other)
    labels.append(np.unique(np.append(further % classes, one)))
  return labels


def _clip(rng, prototypes, n_segments):
  """Draws embeddings (segment, 128) uint8 that hold the prototypes' classes."""
  size = prototypes.shape[1]
  background = 0.6 * rng.standard_normal(size, np.float32)
  x = background + 0.8 * rng.standard_normal((n_segments, size), np.float32)
  for prototype in prototypes:
    length = min(rng.integers(1, 5), n_segments)
    begin = rng.integers(0, n_segments - length + 1)
    x[begin : begin + length] += rng.uniform(*_GAIN) * prototype
  # The release whitens, clips to ±2 and quantises.
  return np.round((np.clip(x, -2, 2) + 2) * (255 / 4)).astype(np.uint8)
