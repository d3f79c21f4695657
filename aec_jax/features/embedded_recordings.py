"""Recordings to AudioSet-style embeddings, in the release's own format.

The work is cut into shards, a TFRecord file each, that any number of machines
may write in any order; what is written already is left as it is. Paths may be
local or of any file system that TFDS opens, such as gs://.
"""

import collections
import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import cast

import jax
import numpy as np
from etils import epath

from aec_jax.audio import stream
from aec_jax.audio.log_mel import log_mel
from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.audioset_tfrecord import MAX_SEGMENTS
from aec_jax.datasets.recordings import Recording
from aec_jax.errors import PassingError, UserError
from aec_jax.models import convert, embedding_postprocess, vggish
from aec_jax.run import remote
from aec_jax.run.cache import digest
from aec_jax.run.devices import on_cpu

# Examples of one call of the network, for which it is compiled once: on a CPU,
# and on an accelerator, where a call is on its way while the next is filled.
_BLOCK = 64
_LARGE_BLOCK = 1024
_SECONDS = 0.96


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


def shards(
  recordings: Sequence[Recording],
  classes: Sequence[tuple[str, str]],
  out: str,
  split: str,
  files: int,
  weights: str,
  pca: str,
  width: float = 1.0,
  skipped: Sequence[dict[str, str]] = (),
  notes: Sequence[dict[str, str]] = (),
) -> list[Shard]:
  """The shards that `out` still lacks; writes its class list.

  `out` becomes a `config.data_dir`: features/SPLIT/NNNN.tfrecord and
  csv/class_labels_indices.csv. What was left out and noted when the recordings
  were listed goes beside the files.

  Raises:
    UserError: `out` holds embeddings of other recordings or weights, or the
      weights cannot be read.
  """
  if split not in audioset_tfrecord.SPLITS:
    raise UserError(
      f'split {split!r}; it must be one of'
      f' {", ".join(audioset_tfrecord.SPLITS)}'
    )
  if not recordings:
    raise UserError('there are no recordings to embed')
  _network(weights, pca, width)
  files = min(files, len(recordings))
  top = epath.Path(out)
  _settle(top / 'csv' / 'class_labels_indices.csv', _class_list(classes))
  made_of = {
    'recordings': digest([dataclasses.astuple(r) for r in recordings]),
    'files': files,
    'weights': digest(epath.Path(weights).read_bytes().hex()),
    'pca': digest(epath.Path(pca).read_bytes().hex()),
  }
  folder = top / 'features' / split
  _settle(folder / 'made_of.json', json.dumps(made_of, indent=1) + '\n')
  _write_beside(folder, 'listing', skipped, notes)
  there = {path.name for path in folder.iterdir()}
  return [
    Shard(
      os.fspath(folder / f'{i:04d}.tfrecord'), tuple(recordings[i::files]),
      weights, pca, width,
    )
    for i in range(files)
    if f'{i:04d}.tfrecord' not in there
  ]  # fmt: skip


def _class_list(classes) -> str:
  """As AudioSet's CSV of the (mid, name) of each class."""
  table = io.StringIO()
  writer = csv.writer(table, lineterminator='\n')
  writer.writerow(('index', 'mid', 'display_name'))
  writer.writerows((i, *row) for i, row in enumerate(classes))
  return table.getvalue()


def _settle(path, text: str) -> None:
  """Writes a small file, or checks that it holds this."""
  if not remote.settle(path, text):
    raise UserError(
      f'{path} is of other recordings, classes or weights: give another --out'
    )


def write(shard: Shard) -> dict[str, int]:
  """Embeds a shard's recordings and writes its file, whole or not at all.

  What cannot be read as audio is left out, and listed in a file beside it; so
  is what is odd about the rest, which an experiment on the records repeats.

  Returns:
    How many 'recordings' and 'records' it has, and how many were 'skipped'.
  """
  network = _network(shard.weights, shard.pca, shard.width)
  skipped: list[dict[str, str]] = []
  notes: list[dict[str, str]] = []
  records = list(_records(shard.recordings, network, skipped, notes))
  path = epath.Path(shard.path)
  with remote.whole(path) as unfinished:
    audioset_tfrecord.write(records, os.fspath(unfinished))
    _write_beside(path.parent, path.stem, skipped, notes)
  return {
    'recordings': len(shard.recordings) - len(skipped),
    'records': len(records),
    'skipped': len(skipped),
  }


def _write_beside(folder: epath.Path, name: str, skipped, notes) -> None:
  """Writes NAME.skipped.json and NAME.notes.json, for `listed_beside`."""
  for kind, entries in (('skipped', skipped), ('notes', notes)):
    beside = folder / f'{name}.{kind}.json'
    if entries:
      text = json.dumps(list(entries), indent=1, ensure_ascii=False) + '\n'
      remote.write_text(beside, text)
    else:
      beside.unlink(missing_ok=True)


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


def listed(out: str, split: str, kind: str) -> list[dict[str, str]]:
  """A {'file', 'reason'} for each recording that was left out or is odd.

  Args:
    out, split: as `shards` takes them.
    kind: 'skipped' or 'notes'.
  """
  return audioset_tfrecord.listed_beside(
    epath.Path(out) / 'features' / split, kind
  )


@functools.cache
def _network(weights: str, pca: str, width: float):
  """Maps samples (example, 15600) to embeddings (example, 128) uint8."""
  params = convert.load(weights, width)
  loaded = embedding_postprocess.load_pca(pca)
  # What the PCA was fitted to, in float32 on any device, as the released
  # embeddings were made.
  model = vggish.VGGish('linear', width)

  @jax.jit
  def embed(params, samples):
    raw = model.apply({'params': params}, log_mel(samples))
    return embedding_postprocess.postprocess(cast(jax.Array, raw), loaded)

  return functools.partial(embed, jax.device_put(params))


def _records(recordings, network, skipped, notes) -> Iterator[dict]:
  """Records as `audioset_tfrecord.write` takes them, ten segments at most."""
  under_way: collections.deque[tuple[Recording, list]] = collections.deque()
  batch = _Batch(network)
  for recording in recordings:
    embeddings: list[np.ndarray] = []
    odd: list[str] = []
    try:
      for some in _examples(recording.path, odd):
        batch.add(some, embeddings)
    except PassingError:
      raise
    except UserError as error:
      skipped.append({'file': recording.path, 'reason': str(error)})
      continue
    notes += [{'file': recording.path, 'reason': note} for note in odd]
    under_way.append((recording, embeddings))
    while under_way and not batch.waits_for(under_way[0][1]):
      yield from _cut(*under_way.popleft())
  batch.finish()
  for done in under_way:
    yield from _cut(*done)


class _Batch:
  """Examples on their way through the network, some of each recording.

  Args:
    network: of `_network`.
  """

  def __init__(self, network) -> None:
    self._network = network
    self._size, self._ahead = (_BLOCK, 0) if on_cpu() else (_LARGE_BLOCK, 1)
    self._rows: list[np.ndarray] = []
    self._wanted_by: list[list] = []
    # What was dispatched and not yet fetched, and by whom it is wanted.
    self._sent: collections.deque[tuple[jax.Array, list[list]]]
    self._sent = collections.deque()

  def add(self, examples: np.ndarray, embeddings: list) -> None:
    """Takes (example, 15600); `embeddings` gets (128,) for each, by and by."""
    for row in examples:
      self._rows.append(row)
      self._wanted_by.append(embeddings)
      if len(self._rows) == self._size:
        self._send()
        self._fetch(self._ahead)

  def waits_for(self, embeddings: list) -> bool:
    """Whether it has examples whose embeddings are wanted there."""
    blocks = self._wanted_by, *(wanted_by for _, wanted_by in self._sent)
    return any(embeddings is other for block in blocks for other in block)

  def finish(self) -> None:
    """Embeds all that it has."""
    if self._rows:
      self._send()
    self._fetch(0)

  def _send(self) -> None:
    rows = np.stack(self._rows)
    missing = self._size - len(rows)
    rows = np.concatenate([rows, np.repeat(rows[-1:], missing, 0)])
    self._sent.append((self._network(rows), self._wanted_by))
    self._rows, self._wanted_by = [], []

  def _fetch(self, left: int) -> None:
    """Hands out what was sent, but for the last `left` blocks."""
    while len(self._sent) > left:
      found, wanted_by = self._sent.popleft()
      for embeddings, one in zip(wanted_by, np.asarray(found), strict=False):
        embeddings.append(one)


def _cut(recording, embeddings) -> Iterator[dict]:
  """The records of one recording, by the embeddings (128,) of its segments."""
  for first in range(0, len(embeddings), MAX_SEGMENTS):
    part = np.stack(embeddings[first : first + MAX_SEGMENTS])
    start = recording.start + first * _SECONDS
    yield {
      'video_id': recording.id.encode(),
      'start_time_seconds': start,
      'end_time_seconds': start + len(part) * _SECONDS,
      'labels': recording.labels,
      'audio_embedding': part,
    }


def _examples(path: str, notes: list[str]) -> Iterator[np.ndarray]:
  """Examples (example, 15600) of a file, some at a time.

  `notes` gets what is odd about it.
  """
  with contextlib.ExitStack() as stack:
    name = path
    if remote.is_remote(path):  # decoders open local files alone
      name = stack.enter_context(
        tempfile.NamedTemporaryFile(suffix=os.path.splitext(path)[1])
      ).name
      source = epath.Path(path)
      if not source.exists():  # other errors may pass: the shard fails
        raise UserError(f'{path}: no such file')
      source.copy(name, overwrite=True)
    recording = stream.Recording.of_file(name).held()
    found = stream.survey(recording, None, False)
    notes += found.notes
    yield from stream.examples(recording, found)
