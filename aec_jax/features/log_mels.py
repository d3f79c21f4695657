"""Clips to log-mel examples: the stages that read audio (§5.2.1, §5.2.3).

Two stages of one form: the clips of a data set, and pitch-shifted copies of its
training clips. Each is a folder of plain .npy files and `clips.json`.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax.audio import FRONT_END, waveform
from aec_jax.audio.log_mel import log_mel
from aec_jax.datasets import synthetic_fsd
from aec_jax.datasets.clips import Clips
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.input import pieces
from aec_jax.run import cache, files
from aec_jax.train.progress import duration

DATASETS = {
  'fsdkaggle2018': from_fsdkaggle2018,
  'folder': from_folder,
}

# Raised when prepared examples change their form.
_VERSION = 1
# Clips that are read at a time, so that memory stays small.
_CHUNK = 64
# Examples of one call of log_mel, for which it is compiled once.
_BLOCK = 256

_COLUMNS = ('labels', 'fold', 'verified', 'split', 'usage', 'source')


@dataclasses.dataclass(frozen=True, eq=False)
class ClipExamples:
  """The log-mel examples of clips, clip after clip.

  Attributes:
    examples: (example, 96, 64) float16, mapped from disk.
    offsets: (clip + 1,) int64.
    ids, labels, fold, verified, split, usage: (clip,), as in `Clips`.
    source: (clip,) int32, which clip of the list that is, or which clip of
      `ClipExamples` a shifted copy was made of.
    classes: names.
    skipped: {'file', 'reason'} of what was left out.
    notes: the same of what is odd but was kept: silent, scaled as int16.
    fingerprint: a hash of all arrays and names.
    folder: where it lies.
  """

  examples: np.ndarray
  offsets: np.ndarray
  ids: np.ndarray
  labels: np.ndarray
  fold: np.ndarray
  verified: np.ndarray
  split: np.ndarray
  usage: np.ndarray
  source: np.ndarray
  classes: tuple[str, ...]
  skipped: list[dict]
  notes: list[dict]
  fingerprint: str
  folder: Path

  def __len__(self) -> int:
    return len(self.ids)

  def example_labels(self) -> np.ndarray:
    """(example,) int16, each the label of its clip."""
    return np.repeat(self.labels, np.diff(self.offsets))

  @classmethod
  def load(cls, folder: Path) -> 'ClipExamples':
    """Reads a finished stage.

    Raises:
      UserError: the folder is damaged.
    """
    try:
      meta = json.loads((folder / 'clips.json').read_text(encoding='utf-8'))
      examples = np.load(
        folder / 'examples.npy', mmap_mode='r', allow_pickle=False
      )
      arrays = {
        name: np.load(folder / f'{name}.npy', allow_pickle=False)
        for name in ('offsets', *_COLUMNS)
      }
      meta['classes'] = tuple(meta['classes'])
      meta['ids'] = np.array(meta['ids'], str)
      return cls(examples, **arrays, **meta, folder=folder)
    except UNREADABLE as error:
      raise UserError(
        f'{folder} holds no whole set of clips ({error}): delete it and run'
        ' again'
      ) from error


def list_clips(config, cache_dir: str | Path) -> Clips:
  """The clips that an experiment is about.

  Test clips without a label are left out: nothing scores them.

  Raises:
    UserError: the data set is not there, or has files that `config.on_bad`
      does not tolerate.
  """
  if config.dataset not in DATASETS:
    raise UserError(
      f'config.dataset is {config.dataset!r}; it must be one of'
      f' {", ".join(DATASETS)}'
    )
  if config.data_dir:
    clips = DATASETS[config.dataset](config.data_dir, config.on_bad)
  else:
    clips = from_fsdkaggle2018(_synthetic(config, cache_dir))
  if config.classes:
    names = [n.strip() for item in config.classes for n in str(item).split(',')]
    clips = clips.with_classes(names)
  logging.info('%s', clips.describe())
  return clips.select(clips.labels >= 0)


def _synthetic(config, cache_dir):
  logging.info('config.data_dir is empty: using the synthetic set')
  sizes = config.synthetic.to_dict()
  return (
    cache.stage(
      cache_dir,
      'synthetic-fsd',
      {'version': _VERSION, **sizes},
      lambda folder: synthetic_fsd.make(folder / 'fsd', **sizes),
    )
    / 'fsd'
  )


def prepare(config, clips: Clips, cache_dir) -> ClipExamples:
  """The clips' own examples, from the cache or made now.

  Raises:
    UserError: no clip is left, or one is unreadable, silent or of another
      scale and `config.on_bad` is 'error'.
  """
  depends = {
    'version': _VERSION,
    'classes': clips.classes,
    'on_bad': config.on_bad,
    'clips': _digest_of(clips),
  }

  def build(folder):
    jobs = [(clip, 0) for clip in range(len(clips))]
    _write(folder, 'preparing', clips, jobs, config.on_bad)

  return ClipExamples.load(cache.stage(cache_dir, 'clips', depends, build))


def pitch_shifted(
  config, clips: Clips, prepared: ClipExamples, target, cache_dir
) -> ClipExamples:
  """Shifted copies of the training clips, from the cache or made now."""
  training = np.flatnonzero(prepared.split == 'train')
  depends = {
    'clips': prepared.folder.name,
    'target': target,
    'seed': config.seed,
  }

  def build(folder):
    of, semitones = pieces.shifts(
      prepared.labels[training], target, config.seed
    )
    of = training[of]
    jobs = [
      (int(prepared.source[clip]), int(shift))
      for clip, shift in zip(of, semitones, strict=True)
    ]
    _write(folder, 'pitch-shifting', clips, jobs, 'error', of)

  return ClipExamples.load(cache.stage(cache_dir, 'shifted', depends, build))


def _digest_of(clips) -> str:
  files = [os.stat(path) for path in clips.paths]
  rows = zip(
    clips.ids.tolist(),
    [(stat.st_size, stat.st_mtime_ns) for stat in files],
    *(
      getattr(clips, name).tolist()
      for name in ('labels', 'fold', 'verified', 'split', 'usage')
    ),
    strict=True,
  )
  return cache.digest(list(rows))


def _read(path: str, semitones: int):
  """One clip's examples to be, and what is odd about it.

  Returns:
    samples (example, 15600), or None where the file is unreadable; the reason
    or the oddities, each without the path.
  """
  notes = []
  try:
    samples, rate = waveform.read(path, notes)
  except UserError as error:
    return None, [str(error).removeprefix(f'{path}: ')]
  samples = waveform.prepare(samples, rate, semitones)
  notes = [note.removeprefix(f'{path}: ') for note in notes]
  return waveform.split_examples(samples), notes


def _write(folder, what, clips, jobs, on_bad, source=None) -> None:
  """Writes the folder that `ClipExamples.load` reads.

  Args:
    folder: an empty one.
    what: for the progress line.
    clips: the list.
    jobs: (clip, semitones) each.
    on_bad: 'skip' or 'error'.
    source: (job,) what to keep as `source`; the clip when None.
  """
  kept, counts, bad, notes = [], [], [], []
  workers = os.cpu_count()
  with (
    Rows(folder / 'examples.npy') as rows,
    concurrent.futures.ThreadPoolExecutor(workers) as pool,
  ):
    for first in progress(what, range(0, len(jobs), _CHUNK), _CHUNK, len(jobs)):
      some = jobs[first : first + _CHUNK]
      found = pool.map(lambda job: _read(clips.paths[job[0]], job[1]), some)
      ready = []
      for i, (samples, words) in enumerate(found, first):
        file = str(clips.ids[jobs[i][0]])
        said = [{'file': file, 'reason': word} for word in words]
        if said and on_bad == 'error' and source is None:
          raise UserError(f'{clips.paths[jobs[i][0]]}: {words[0]}')
        (bad if samples is None else notes).extend(said)
        if samples is not None:
          kept.append(i)
          counts.append(len(samples))
          ready.append(samples)
      if ready:
        rows.append(_log_mel(np.concatenate(ready)))
  if not kept:
    raise UserError(f'no clip of {len(jobs)} can be read: {bad[0]["reason"]}')
  of = np.array([jobs[i][0] for i in kept])
  columns = {
    name: getattr(clips, name)[of] for name in _COLUMNS if name != 'source'
  }
  columns['source'] = (of if source is None else source[kept]).astype(np.int32)
  columns['offsets'] = np.concatenate([[0], np.cumsum(counts)])
  meta = {
    'ids': clips.ids[of].tolist(),
    'classes': list(clips.classes),
    'skipped': (clips.skipped if source is None else []) + bad,
    'notes': notes if source is None else [],
  }
  digest = rows.hash
  for name, array in columns.items():
    np.save(folder / f'{name}.npy', array, allow_pickle=False)
    digest.update(np.ascontiguousarray(array).tobytes())
  digest.update(json.dumps([meta['ids'], meta['classes']]).encode())
  meta['fingerprint'] = digest.hexdigest()
  files.write_json(folder / 'clips.json', meta)


def _log_mel(samples: np.ndarray) -> np.ndarray:
  """(example, 15600) -> (example, 96, 64) float16, in blocks of one size."""
  out = np.empty((len(samples), FRONT_END.frames, FRONT_END.bands), np.float16)
  for start in range(0, len(samples), _BLOCK):
    block = samples[start : start + _BLOCK]
    padded = np.zeros((_BLOCK, samples.shape[1]), np.float32)
    padded[: len(block)] = block
    out[start : start + _BLOCK] = np.asarray(log_mel(padded))[: len(block)]
  return out


class Rows:
  """An .npy file that grows by rows; a context manager.

  Attributes:
    hash: of the bytes so far.
  """

  def __init__(self, path: Path):
    self._path, self._count, self._like = path, 0, None
    self.hash = hashlib.blake2b(digest_size=16)

  def __enter__(self):
    self._file = open(self._path, 'wb')
    return self

  def append(self, rows: np.ndarray) -> None:
    """Adds rows, all of one shape and dtype."""
    rows = np.ascontiguousarray(rows)
    if self._like is None:
      self._like = rows[:0]
      self._write_header()
    self._count += len(rows)
    self.hash.update(rows.data)
    self._file.write(rows.data)

  def __exit__(self, error, *_):
    with self._file:
      if error is None and self._like is not None:
        self._write_header()  # as long as the first one: numpy pads it

  def _write_header(self):
    self._file.seek(0)
    header = {
      'descr': np.lib.format.dtype_to_descr(self._like.dtype),
      'fortran_order': False,
      'shape': (self._count, *self._like.shape[1:]),
    }
    np.lib.format.write_array_header_1_0(self._file, header)


def progress(
  what: str, items: Iterable, size: int, total: int, every: float = 10.0
) -> Iterator:
  """Passes items on and says at times how far it is.

  Args:
    what: is being done.
    items: each standing for `size` things, the last for what is left.
    size: of an item.
    total: things in all.
    every: seconds between lines; the last is always said.
  """
  start = said = time.monotonic()
  for i, item in enumerate(items, 1):
    yield item
    now, done = time.monotonic(), min(i * size, total)
    if now - said >= every or done == total:
      said, rate = now, done / (now - start)
      logging.info(
        '%s %s/%s · %.1f/s · %s left',
        what, f'{done:,}', f'{total:,}', rate, duration((total - done) / rate),
      )  # fmt: skip
