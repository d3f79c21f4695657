"""Recordings to AudioSet-style embeddings, in the release's own format.

The work is cut into shards, a TFRecord file each, that any number of machines
may write in any order; what is written already is left as it is. Paths may be
local or of any file system that TFDS opens, such as gs://.
"""

import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from typing import cast

import jax
import numpy as np
from etils import epath

from aec_jax.audio import FRONT_END, waveform
from aec_jax.audio.log_mel import log_mel
from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.datasets.folders import from_folder
from aec_jax.errors import UserError
from aec_jax.input.batches import padded_blocks
from aec_jax.models import convert, embedding_postprocess, vggish
from aec_jax.run.cache import digest

# Examples of one call of the network, for which it is compiled once.
_BLOCK = 64
# Recordings that are read before the network is called.
_TOGETHER = 64
_SECONDS = 0.96


@dataclasses.dataclass(frozen=True)
class Recording:
  """A file to embed.

  Attributes:
    path: of the file.
    id: its `video_id`.
    start: seconds from the beginning of the video to that of the file.
    labels: indices of classes.
  """

  path: str
  id: str
  start: float
  labels: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Shard:
  """A file to write, and all that it takes.

  Attributes:
    path: of the file.
    recordings: in it.
    weights: a file of `aec_jax.models.convert`.
    pca: the released `vggish_pca_params.npz`.
    width: of the network, 1.0 for the released one.
  """

  path: str
  recordings: tuple[Recording, ...]
  weights: str
  pca: str
  width: float = 1.0


def of_segments(
  segments: str, audio: str, class_list: str
) -> tuple[list[Recording], list[tuple[str, str]]]:
  """The recordings of one of AudioSet's segment lists.

  Args:
    segments: the list, as `balanced_train_segments.csv`.
    audio: where a file is, with {id} for the YouTube id, {start} and {end}
      for its milliseconds, as 'gs://bucket/{id}_{start}.wav'.
    class_list: `class_labels_indices.csv`.

  Returns:
    The recordings, and (mid, name) of each class.

  Raises:
    UserError: a list is missing or is not one.
  """
  classes = [
    (row['mid'], row['display_name'])
    for row in csv.DictReader(io.StringIO(_read_text(class_list)))
  ]
  number = {mid: i for i, (mid, _) in enumerate(classes)}
  lines = _read_text(segments).splitlines()
  recordings = []
  for row in csv.reader(
    (line for line in lines if not line.startswith('#')), skipinitialspace=True
  ):
    try:
      name, start, end, mids = row
      where = audio.format(
        id=name, start=round(1000 * float(start)), end=round(1000 * float(end))
      )
      labels = tuple(sorted(number[mid] for mid in mids.split(',')))
    except (KeyError, IndexError, ValueError) as error:
      raise UserError(
        f'{segments}: {",".join(row)}: not YTID, start, end and labels of'
        f' {class_list}, or {{…}} of {audio} is none of id, start and end'
      ) from error
    recordings.append(Recording(where, name, float(start), labels))
  return recordings, classes


def of_folder(folder: str) -> tuple[list[Recording], list[tuple[str, str]]]:
  """As `of_segments`, of a folder that `from_folder` understands.

  Raises:
    UserError: as `from_folder` does, or a clip is a part of a file.
  """
  found = from_folder(folder)
  parts = np.flatnonzero(~np.isnan(found.start))
  if len(parts):
    raise UserError(
      f'{folder}: {found.ids[parts[0]]} is a part of a file, and whole files'
      ' are embedded: cut them first'
    )
  labels = np.split(found.label_ids, found.label_offsets[1:-1])
  recordings = [
    Recording(path, name, 0.0, tuple(some.tolist()))
    for path, name, some in zip(
      found.paths.tolist(), found.ids.tolist(), labels, strict=True
    )
  ]
  classes = [(f'/f/{i:03d}', name) for i, name in enumerate(found.classes)]
  return recordings, classes


def shards(
  recordings: Sequence[Recording],
  classes: Sequence[tuple[str, str]],
  out: str,
  split: str,
  files: int,
  weights: str,
  pca: str,
  width: float = 1.0,
) -> list[Shard]:
  """The shards that `out` still lacks; writes its class list.

  `out` becomes a `config.data_dir`: features/SPLIT/NNNN.tfrecord and
  csv/class_labels_indices.csv.

  Raises:
    UserError: `out` holds embeddings of other recordings or weights, or the
      weights cannot be read.
  """
  if split not in audioset_tfrecord.SPLITS:
    raise UserError(
      f'split {split!r}; it must be one of'
      f' {", ".join(audioset_tfrecord.SPLITS)}'
    )
  _network(weights, pca, width)
  files = min(files, len(recordings))
  table = io.StringIO()
  writer = csv.writer(table, lineterminator='\n')
  writer.writerow(('index', 'mid', 'display_name'))
  writer.writerows((i, *row) for i, row in enumerate(classes))
  top = epath.Path(out)
  _settle(top / 'csv' / 'class_labels_indices.csv', table.getvalue())
  made_of = {
    'recordings': digest([dataclasses.astuple(r) for r in recordings]),
    'files': files,
    'weights': digest(epath.Path(weights).read_bytes().hex()),
    'pca': digest(epath.Path(pca).read_bytes().hex()),
  }
  folder = top / 'features' / split
  _settle(folder / 'made_of.json', json.dumps(made_of, indent=1) + '\n')
  there = {path.name for path in folder.iterdir()}
  return [
    Shard(
      os.fspath(folder / f'{i:04d}.tfrecord'), tuple(recordings[i::files]),
      weights, pca, width,
    )
    for i in range(files)
    if f'{i:04d}.tfrecord' not in there
  ]  # fmt: skip


def write(shard: Shard) -> dict[str, int]:
  """Embeds a shard's recordings and writes its file, whole or not at all.

  What cannot be read as audio is left out, and listed in a file beside it.

  Returns:
    How many 'recordings' and 'records' it has, and how many were 'skipped'.
  """
  network = _network(shard.weights, shard.pca, shard.width)
  skipped: list[dict[str, str]] = []
  records = list(_records(shard.recordings, network, skipped))
  path = epath.Path(shard.path)
  unfinished = path.parent / f'.{path.name}.{uuid.uuid4().hex}'
  audioset_tfrecord.write(records, os.fspath(unfinished))
  if skipped:
    text = json.dumps(skipped, indent=1, ensure_ascii=False) + '\n'
    path.with_suffix('.skipped.json').write_text(text)
  unfinished.replace(path)
  return {
    'recordings': len(shard.recordings) - len(skipped),
    'records': len(records),
    'skipped': len(skipped),
  }


def run_beam(todo: Sequence[Shard], options=(), runner=None) -> None:
  """Writes the shards on a Beam runner.

  Args:
    todo: of `shards`.
    options: Beam's PipelineOptions, or arguments for them, such as
      '--runner=FlinkRunner', or for the in-process runner
      '--direct_num_workers=2' and '--direct_running_mode=multi_processing'.
    runner: its name or the runner itself; None is that of the options, or
      Beam's in-process one.

  Raises:
    UserError: Beam is not installed.
  """
  try:
    import apache_beam as beam
    from apache_beam.options import pipeline_options
  except ImportError as error:
    raise UserError('Beam is not installed: pip install ".[beam]"') from error
  if not isinstance(options, pipeline_options.PipelineOptions):
    options = pipeline_options.PipelineOptions(list(options))
  chosen = options.view_as(pipeline_options.StandardOptions).runner
  # Beam's own default looks for a program in Go first.
  runner = runner or chosen or 'FnApiRunner'
  with beam.Pipeline(runner, options) as pipeline:
    _ = (
      pipeline
      | beam.Create(list(todo))
      | beam.Reshuffle()
      | beam.Map(write)
    )  # fmt: skip


def skipped(out: str, split: str) -> list[dict[str, str]]:
  """A {'file', 'reason'} for each recording that was left out."""
  folder = epath.Path(out) / 'features' / split
  lists = sorted(folder.glob('*.skipped.json'))
  return [entry for path in lists for entry in json.loads(path.read_text())]


def _read_text(path: str) -> str:
  try:
    return epath.Path(path).read_text()
  except OSError as error:
    raise UserError(f'{path}: {error.strerror or error}') from error


def _settle(path, text: str) -> None:
  """Writes a small file, or checks that it holds this."""
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
  elif path.read_text() != text:
    raise UserError(
      f'{path} is of other recordings, classes or weights: give another --out'
    )


@functools.cache
def _network(weights: str, pca: str, width: float):
  """A function from samples (64, 15600) to embeddings (64, 128) uint8."""
  params = convert.load(weights, width)
  loaded = embedding_postprocess.load_pca(pca)
  model = vggish.VGGish('linear', width)  # what the PCA was fitted to

  @jax.jit
  def embed(params, samples):
    raw = model.apply({'params': params}, log_mel(samples))
    return embedding_postprocess.postprocess(cast(jax.Array, raw), loaded)

  return functools.partial(embed, jax.device_put(params))


def _records(recordings, network, skipped) -> Iterator[dict]:
  """Records as `audioset_tfrecord.write` takes them, ten segments at most."""
  for first in range(0, len(recordings), _TOGETHER):
    good, examples = [], []
    for recording in recordings[first : first + _TOGETHER]:
      try:
        samples = _read(recording.path)
      except UserError as error:
        skipped.append({'file': recording.path, 'reason': str(error)})
        continue
      good.append(recording)
      examples.append(waveform.split_examples(samples))
    if not good:
      continue
    embeddings = _embed(network, np.concatenate(examples))
    ends = np.cumsum([len(x) for x in examples])
    parts = np.split(embeddings, ends[:-1])
    for recording, part in zip(good, parts, strict=True):
      yield from _cut(recording, part)


def _cut(recording, embeddings) -> Iterator[dict]:
  """The records of one recording's embeddings (segment, 128)."""
  for first in range(0, len(embeddings), MAX_SEGMENTS):
    part = embeddings[first : first + MAX_SEGMENTS]
    start = recording.start + first * _SECONDS
    yield {
      'video_id': recording.id.encode(),
      'start_time_seconds': start,
      'end_time_seconds': start + len(part) * _SECONDS,
      'labels': recording.labels,
      'audio_embedding': part,
    }


def _read(path: str) -> np.ndarray:
  """Samples (sample,) at 16 kHz."""
  with contextlib.ExitStack() as stack:
    if '://' in path:  # libsndfile opens local files alone
      name = stack.enter_context(
        tempfile.NamedTemporaryFile(suffix=os.path.splitext(path)[1])
      ).name
      source = epath.Path(path)
      if not source.exists():  # other errors may pass: the shard fails
        raise UserError(f'{path}: no such file')
      source.copy(name, overwrite=True)
      samples, rate = waveform.read(name)
    else:
      samples, rate = waveform.read(path)
  return waveform.resample(samples, rate, FRONT_END.sample_rate)


def _embed(network, examples: np.ndarray) -> np.ndarray:
  """(example, 15600) float32 -> (example, 128) uint8."""
  out = []
  for at, count in padded_blocks(len(examples), _BLOCK):
    out.append(np.asarray(network(examples[at]))[:count])
  return np.concatenate(out)
