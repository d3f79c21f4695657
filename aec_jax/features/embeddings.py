"""What a trained extractor makes of clips, and how its variables are kept."""

import collections
from collections.abc import Iterator
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

from aec_jax.errors import UNREADABLE, UserError
from aec_jax.features.log_mels import ClipExamples
from aec_jax.input import shifts
from aec_jax.input.batches import padded_blocks
from aec_jax.models import extractors
from aec_jax.models.layers import product_dtype
from aec_jax.run import cache, files, rates
from aec_jax.run.devices import on_cpu, replicate
from aec_jax.run.progress import Meter

_STAGE = 'embeddings'
# Examples of a batch: on a CPU, and on an accelerator, where the next one is on
# its way while the last comes back.
_BLOCK = 128
_LARGE_BLOCK = 1024


class Shifted:
  """Examples that begin later than clips' own, shift after shift.

  Read as an array (example, frame, band).

  Args:
    clips: that are shifted.
    rows: (row,) of their examples, as `shifts.firsts` has them.
    count: of shifts.
    step: frames from one example to the next.
  """

  def __init__(
    self, clips: ClipExamples, rows: np.ndarray, count: int, step: int
  ) -> None:
    self._examples, self._step = clips.examples, step
    self._rows = np.tile(rows, count - 1)
    self._later = np.repeat(shifts.later(count, step), len(rows))

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, at: np.ndarray) -> np.ndarray:
    rows = self._rows[at]
    before, after = self._examples[rows], self._examples[rows + 1]
    return shifts.between(before, after, self._later[at], self._step)

  def depends(self) -> dict:
    """What they are a function of beside the clips."""
    both = np.stack([self._rows, self._later]).tolist()
    return {'shifted': cache.digest(both)}


def save_variables(path: Path, variables: dict) -> None:
  """Writes variables to an .npz, named as 'params/extractor/conv1/kernel'."""
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  arrays = {name: np.asarray(x) for name, x in flat.items()}
  np.savez(path, **arrays)  # type: ignore[arg-type]


def load_variables(folder: Path) -> dict:
  """What `save_variables` wrote as a stage's `variables.npz`.

  Raises:
    UserError: it is damaged.
  """
  files.check_file(folder / 'variables.npz', needed=False)
  try:
    with np.load(folder / 'variables.npz', allow_pickle=False) as file:
      return flax.traverse_util.unflatten_dict(dict(file), sep='/')
  except UNREADABLE as error:
    raise UserError(
      f'{folder} holds no whole extractor ({error}): delete it and run again'
    ) from error


def step_costs(section) -> list:
  """What the time of an example depends on, of a section `extractor`."""
  names = 'model', 'width', 'frames', 'batch_norm', 'dtype', 'batch_size'
  found = section.to_dict() | {'dtype': product_dtype(section.dtype)}
  return [found[name] for name in names]


def block_size(count: int, devices: int, cpu: bool | None = None) -> int:
  """Examples of a block that the devices share equally.

  Args:
    count: of all examples.
    devices: how many.
    cpu: whether they are processors; None: as those in use.
  """
  cpu = on_cpu() if cpu is None else cpu
  size = _BLOCK if cpu else min(_LARGE_BLOCK, max(count, _BLOCK))
  return -(-size // devices) * devices


def embed(
  section, classes: int, clips: ClipExamples, variables: dict, key: str,
  cache_dir: str | Path, shifted: Shifted | None = None,
) -> np.ndarray:  # fmt: skip
  """An extractor's embeddings of clips, from the cache or computed now.

  Args:
    section: `config.extractor`.
    classes: number of classes.
    clips: what to embed.
    variables: of the extractor, as `extractors.extractor_variables` has them.
    key: names them, for the cache.
    shifted: what to embed in the place of the clips' own examples.

  Returns:
    (segment, feature) float32, mapped from disk; a segment is an example. Of an
    extractor that classifies by itself, logits (segment, class).
  """
  module = extractors.row(section).module(section, classes, None)
  costs = step_costs(section)
  examples = clips.examples if shifted is None else shifted
  depends = _depends(clips, key) | (shifted.depends() if shifted else {})

  def build(unfinished):
    with (
      files.GrowingNpy(unfinished / 'embeddings.npy') as rows,
      rates.timed(cache_dir, 'embed', costs, len(examples)),
    ):
      for found in embedded(module, variables, examples):
        rows.append(found)

  folder = cache.stage(cache_dir, _STAGE, depends, build)
  return _mapped(folder)


def embedded_already(
  clips: ClipExamples, key: str, cache_dir: str | Path
) -> np.ndarray | None:
  """What `embed` would find in the cache; it computes nothing."""
  folder = cache.folder_of(cache_dir, _STAGE, _depends(clips, key))
  return _mapped(folder) if folder.exists() else None


def _depends(clips: ClipExamples, key: str) -> dict:
  """All that embeddings are a function of."""
  return {'clips': clips.folder.name, 'extractor': key}


def _mapped(folder: Path) -> np.ndarray:
  path = folder / 'embeddings.npy'
  files.check_file(path)
  return np.load(path, mmap_mode='r', allow_pickle=False)


def embedded(module, variables, examples) -> Iterator[np.ndarray]:
  """(example, feature) of some examples after the other.

  Args:
    module: what embeds.
    variables: its own.
    examples: (example, frame, band), or `Shifted`.
  """
  # Each device takes its share of a block; other hosts wait, or embed as well.
  here, cpu = jax.local_devices(), on_cpu()
  devices = len(here)
  apply = jax.pmap(
    lambda v, x: module.apply(v, x.astype(jnp.float32)), in_axes=(None, 0),
    devices=here,
  )  # fmt: skip
  on_devices = replicate(variables, here)  # sent once
  count = len(examples)
  size = block_size(count, devices, cpu)
  meter = Meter('examples', count, logged=True)
  found: collections.deque = collections.deque()

  def oldest():
    out, real = found.popleft()
    rows = np.asarray(out).reshape(size, -1)[:real]
    meter.advance(real)
    return rows

  for at, real in padded_blocks(count, size):
    block = examples[at]
    block = block.reshape(devices, -1, *block.shape[1:])
    found.append((apply(on_devices, block), real))
    if cpu or len(found) > 1:
      yield oldest()
  while found:
    yield oldest()
