"""AudioSet's released embeddings, packed for training: a stage."""

from collections.abc import Sequence
from pathlib import Path

from absl import logging

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from aec_jax.run import cache, content

# Raised when packed examples change their form.
_VERSION = 3


def load_splits(
  config, splits: Sequence[str], cache_dir: str | Path
) -> list[Examples]:
  """The splits as they lie packed in the cache, packed if they are not yet.

  Raises:
    UserError: a split is absent or named twice, or a record damaged and not to
      be skipped.
  """
  check_splits(splits)
  data_dir = config.data_dir or str(_synthetic(cache_dir))
  return [
    Examples.load(_pack(config, data_dir, split, cache_dir), mmap=True)
    for split in splits
  ]


def check_splits(splits: Sequence[str]) -> None:
  """Raises `UserError` where they are none, or one twice."""
  if not splits or len(set(splits)) < len(splits):
    raise UserError(
      f'the splits ({", ".join(splits)}) are none, or one twice; there are'
      f' {", ".join(audioset_tfrecord.SPLITS)}'
    )


def listed_beside(
  config, splits: Sequence[str], kind: str
) -> list[dict[str, str]]:
  """See `audioset_tfrecord.listed_beside`; of several splits."""
  if not config.data_dir:
    return []
  found = audioset_tfrecord.list_splits(config.data_dir)
  return [
    entry
    for split in splits
    for entry in audioset_tfrecord.listed_beside(Path(found[split]), kind)
  ]


def _synthetic(cache_dir):
  return (
    cache.stage(
      cache_dir,
      'synthetic-audioset',
      {'version': 1},
      lambda folder: synthetic_audioset.make(str(folder / 'audioset')),
    )
    / 'audioset'
  )


def packed_already(
  config, split: str, cache_dir
) -> tuple[int, Examples | None]:
  """How many files a split has, and what is packed of it; writes nothing."""
  paths = audioset_tfrecord.list_files(config.data_dir, split)
  depends = _depends(config, config.data_dir, split, cache_dir, keep=False)
  folder = cache.folder_of(cache_dir, f'audioset-{split}', depends)
  found = Examples.load(folder, mmap=True) if folder.exists() else None
  return len(paths), found


def _depends(config, data_dir, split, cache_dir, keep=True) -> dict:
  """All that a packed split is a function of."""
  paths = audioset_tfrecord.list_files(data_dir, split)
  hashes = content.digests(paths, cache_dir, keep)
  depends = {
    'version': _VERSION,
    'split': split,
    'classes': audioset_tfrecord.read_classes(data_dir),
    'on_bad': config.on_bad,
    'files': [
      (Path(path).name, value)
      for path, value in zip(paths, hashes, strict=True)
    ],
  }
  if config.float_range:
    depends['float_range'] = list(config.float_range)
  return depends


def _pack(config, data_dir, split, cache_dir):
  depends = _depends(config, data_dir, split, cache_dir)

  def build(folder):
    count = len(depends['files'])
    logging.info('packing %s: %s files', split, f'{count:,}')
    audioset_tfrecord.pack(
      data_dir, split, str(folder), config.on_bad,
      float_range=config.float_range,
    )  # fmt: skip

  return cache.stage(cache_dir, f'audioset-{split}', depends, build)
