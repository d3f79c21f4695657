"""Clips to log-mel examples: the stages that read audio (§5.2.1, §5.2.3).

Two stages of one form: the clips of a data set, and pitch-shifted copies of its
training clips. Each is a folder of plain .npy files and `clips.json`.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from absl import logging

from aec_jax.datasets import synthetic_fsd
from aec_jax.datasets.clips import Clips
from aec_jax.datasets.folders import from_folder
from aec_jax.datasets.fsdkaggle2018 import from_fsdkaggle2018
from aec_jax.datasets.labels import Labels, offsets_of
from aec_jax.errors import UNREADABLE, UserError, check_choice
from aec_jax.features import clip_sounds
from aec_jax.input import pieces
from aec_jax.models import extractors
from aec_jax.run import cache, content, files, rates
from aec_jax.run.progress import Meter

DATASETS = {
  'fsdkaggle2018': lambda root, c: from_fsdkaggle2018(root, c.on_bad),
  'folder': lambda root, c: from_folder(root, c.on_bad, c.label_separator),
}

# Raised when prepared examples change their form.
_VERSION = 2

# Of a clip, beside its labels; the first ones are in every fingerprint.
_COLUMNS = ('fold', 'verified', 'split', 'usage', 'source', 'group')


@dataclasses.dataclass(frozen=True, eq=False)
class ClipExamples:
  """The log-mel examples of clips, clip after clip.

  Attributes:
    examples: (example, frame, band) float16, mapped from disk.
    offsets: (clip + 1,) int64.
    labels: of the clips.
    ids, fold, verified, split, usage, group: (clip,), as in `Clips`.
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
  labels: Labels
  fold: np.ndarray
  verified: np.ndarray
  split: np.ndarray
  usage: np.ndarray
  group: np.ndarray
  source: np.ndarray
  classes: tuple[str, ...]
  skipped: list[dict]
  notes: list[dict]
  fingerprint: str
  folder: Path

  def __len__(self) -> int:
    return len(self.ids)

  def example_clips(self) -> np.ndarray:
    """(example,) the clip of each."""
    return np.repeat(np.arange(len(self)), np.diff(self.offsets))

  @classmethod
  def load(cls, folder: Path) -> 'ClipExamples':
    """Reads a finished stage.

    Raises:
      UserError: the folder is damaged.
    """
    for path in (folder / 'clips.json', *sorted(folder.glob('*.npy'))):
      files.check_file(path, needed=False)
    try:
      meta = json.loads((folder / 'clips.json').read_text(encoding='utf-8'))
      examples = np.load(
        folder / 'examples.npy', mmap_mode='r', allow_pickle=False
      )
      names = ('offsets', 'label_ids', 'label_offsets', *_COLUMNS)
      arrays = {
        name: np.load(folder / f'{name}.npy', allow_pickle=False)
        for name in names
      }
      meta['classes'] = tuple(meta['classes'])
      meta['ids'] = np.array(meta['ids'], str)
      labels = Labels(
        arrays.pop('label_ids'), arrays.pop('label_offsets'),
        len(meta['classes']),
      )  # fmt: skip
      return cls(examples, labels=labels, **arrays, **meta, folder=folder)
    except UNREADABLE as error:
      raise UserError(
        f'{folder} holds no whole set of clips ({error}): delete it and run'
        ' again'
      ) from error


def list_clips(config, cache_dir: str | Path) -> Clips:
  """The clips that an experiment is about.

  Clips without a label are left out: nothing trains on or scores them.

  Raises:
    UserError: the data set is not there, has files that `config.on_bad`
      does not tolerate, or clips with several labels where each is to have one.
  """
  check_choice('config.dataset', config.dataset, DATASETS)
  if config.data_dir:
    clips = DATASETS[config.dataset](config.data_dir, config)
  else:
    clips = from_fsdkaggle2018(_synthetic(config, cache_dir))
  if config.classes:
    clips = clips.with_classes(config.classes)
  logging.info('%s', clips.describe())
  if config.objective == 'single_label':
    clips.single_labels()
  return _labelled(clips)


def _labelled(clips: Clips) -> Clips:
  """The clips that have a label; a note on the others."""
  has = np.diff(clips.label_offsets) > 0
  if has.all():
    return clips
  first = str(clips.ids[np.argmin(has)])
  count = len(has) - np.count_nonzero(has)
  note = f'{count:,} clips without a label are left out: {first!r} is the first'
  logging.info('%s', note)
  return dataclasses.replace(clips.select(has), notes=[*clips.notes, note])


def _synthetic(config, cache_dir):
  sizes = config.synthetic.to_dict()
  if sizes['wrong_labels'] == synthetic_fsd.WRONG:
    del sizes['wrong_labels']  # older caches know none
  return (
    cache.stage(
      cache_dir,
      'synthetic-fsd',
      {'version': 1, **sizes},
      lambda folder: synthetic_fsd.make(folder / 'fsd', **sizes),
    )
    / 'fsd'
  )


def labels_of(clips: Clips) -> Labels:
  """The labels of a list of clips."""
  return Labels(clips.label_ids, clips.label_offsets, len(clips.classes))


def prepare(config, clips: Clips, cache_dir) -> ClipExamples:
  """The clips' own examples, from the cache or made now.

  Raises:
    UserError: no clip is left, or one is unreadable, silent or of another
      scale and `config.on_bad` is 'error'.
  """
  spec = extractors.front_end(config.extractor)

  def build(folder):
    jobs = [(clip, 0) for clip in range(len(clips))]
    with rates.timed(cache_dir, 'prepare', spec, len(jobs)):
      _write(folder, 'log-mel of clips', clips, jobs, spec, config.on_bad)

  depends = _depends(config, clips, cache_dir)
  return ClipExamples.load(cache.stage(cache_dir, 'clips', depends, build))


def prepared_already(config, clips: Clips, cache_dir) -> ClipExamples | None:
  """What `prepare` would find in the cache; it writes nothing."""
  depends = _depends(config, clips, cache_dir, keep=False)
  folder = cache.folder_of(cache_dir, 'clips', depends)
  return ClipExamples.load(folder) if folder.exists() else None


def _depends(config, clips, cache_dir, keep=True) -> dict:
  """All that the examples are a function of."""
  return {
    'version': _VERSION,
    'classes': clips.classes,
    'on_bad': config.on_bad,
    'front_end': extractors.front_end(config.extractor).record(),
    'clips': _digest_of(clips, cache_dir, keep),
  }


def pitch_shifted(
  config, clips: Clips, prepared: ClipExamples, cache_dir
) -> ClipExamples | None:
  """Shifted copies of the training clips, from the cache or made now.

  None where every class has `config.pitch_to` clips already.
  """
  training = np.flatnonzero(prepared.split == 'train')
  labels = prepared.labels.select(training)
  of, semitones = pieces.shifts(
    labels.ids, config.pitch_to, config.seed, labels.offsets
  )
  if not len(of):
    return None
  spec = extractors.front_end(config.extractor)
  depends = {
    'clips': prepared.folder.name,
    'target': config.pitch_to,
    'seed': config.seed,
  }

  def build(folder):
    sources = training[of]
    jobs = [
      (int(prepared.source[clip]), int(shift))
      for clip, shift in zip(sources, semitones, strict=True)
    ]
    with rates.timed(cache_dir, 'pitch-shift', spec, len(jobs)):
      _write(
        folder, 'pitch-shifting clips', clips, jobs, spec, 'error', sources
      )

  return ClipExamples.load(cache.stage(cache_dir, 'shifted', depends, build))


def _digest_of(clips, cache_dir, keep) -> str:
  """A hash of the list and of the files' contents."""
  rows = zip(
    clips.ids.tolist(),
    content.digests(clips.paths.tolist(), cache_dir, keep),
    np.split(clips.label_ids, clips.label_offsets[1:-1]),
    *(
      getattr(clips, name).tolist()
      for name in (
        'fold', 'verified', 'split', 'usage', 'group', 'start', 'end'
      )
    ),
    strict=True,
  )  # fmt: skip
  return cache.digest([[*row[:2], row[2].tolist(), *row[3:]] for row in rows])


def _write(folder, what, clips, jobs, spec, on_bad, source=None) -> None:
  """Writes the folder that `ClipExamples.load` reads.

  Args:
    folder: an empty one.
    what: for the progress line.
    clips: the list.
    jobs: (clip, semitones) each.
    spec: of the front end.
    on_bad: 'skip' or 'error'.
    source: (job,) of copies what to keep as `source`; None: of the clips
      themselves, which is the clip.

  Raises:
    UserError: no clip can be read, or one is bad and `on_bad` is 'error', or
      what is to be copied cannot be read any more.
  """
  kept, counts = [], []
  bad: list[dict] = []
  notes: list[dict] = []
  meter = Meter(what, len(jobs), logged=True)
  with files.GrowingNpy(folder / 'examples.npy', 16) as rows:
    sounds = clip_sounds.append(rows, clips, jobs, spec, folder)
    for i, sound in enumerate(sounds):
      clip = jobs[i][0]
      _check_sound(sound, clips.paths[clip], on_bad, source is not None)
      said = [
        {'file': str(clips.ids[clip]), 'reason': word} for word in sound.words
      ]
      (bad if sound.count is None else notes).extend(said)
      if sound.count is not None:
        kept.append(i)
        counts.append(sound.count)
      meter.advance(1)
  if not kept:
    raise UserError(f'no clip of {len(jobs)} can be read: {bad[0]["reason"]}')
  of = np.array([jobs[i][0] for i in kept])
  columns = {
    name: getattr(clips, name)[of] for name in _COLUMNS if name != 'source'
  }
  columns['source'] = (of if source is None else source[kept]).astype(np.int32)
  columns['offsets'] = offsets_of(counts)
  told = {
    'skipped': (clips.skipped if source is None else []) + bad,
    'notes': notes if source is None else [],
  }
  _write_tables(folder, rows.hash, clips, of, columns, told)


def _check_sound(sound, path: str, on_bad: str, is_copy: bool) -> None:
  """Raises `UserError` for what is neither taken nor left out; see `_write`."""
  if sound.words and on_bad == 'error' and not is_copy:
    raise UserError(f'{path}: {sound.words[0]}')
  if sound.count is None and is_copy:
    raise UserError(
      f'{path}: {sound.words[0]}; it could be read when it was prepared, and'
      ' its shifted copies are not left out for that: run again once it is'
      ' there'
    )


def _write_tables(folder, digest, clips, of, columns, told) -> None:
  """Writes all of a folder but its examples.

  Args:
    folder: that has them.
    digest: of them.
    clips: the list.
    of: (clip,) which of the list each is.
    columns: of the clips, without their labels.
    told: 'skipped' and 'notes'.
  """
  labels = labels_of(clips).select(of)
  meta = {
    'ids': clips.ids[of].tolist(),
    'classes': list(clips.classes),
    **told,
    'fingerprint': _fingerprint(digest, labels, columns, clips, of),
  }
  columns |= {'label_ids': labels.ids, 'label_offsets': labels.offsets}
  for name, array in columns.items():
    np.save(folder / f'{name}.npy', array, allow_pickle=False)
  files.write_json(folder / 'clips.json', meta)


def _fingerprint(digest, labels, columns, clips, of) -> str:
  """A hash of the examples (in `digest`), the columns and the names.

  Where each clip has one label and none a group, the same as before clips had
  lists of labels: finished experiments know their data by it.
  """
  single = (labels.counts() == 1).all()
  parts = {'labels': labels.ids} if single else {
    'label_ids': labels.ids, 'label_offsets': labels.offsets
  }  # fmt: skip
  parts |= columns
  if not (parts['group'] != '').any():
    del parts['group']
  order = ('labels', 'label_ids', 'label_offsets', *_COLUMNS, 'offsets')
  for name in order:
    if name in parts:
      digest.update(np.ascontiguousarray(parts[name]).tobytes())
  names = [clips.ids[of].tolist(), list(clips.classes)]
  digest.update(json.dumps(names).encode())
  return digest.hexdigest()
