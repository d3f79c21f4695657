"""What a trained extractor makes of clips, and how its variables are kept."""

from collections.abc import Iterator
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np

from aec_jax import models
from aec_jax.errors import UNREADABLE, UserError
from aec_jax.features.log_mels import ClipExamples, Rows, progress
from aec_jax.models import vggish
from aec_jax.run import cache
from aec_jax.train import step
from aec_jax.train.step import AXIS

# Examples of a batch.
_BLOCK = 128


def blocks(count: int, devices: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """(device, example) indices below `count` and masks; the last is padded."""
  size = -(-_BLOCK // devices) * devices
  for start in range(0, count, size):
    indices = np.arange(start, start + size)
    mask = indices < count
    indices = np.where(mask, indices, 0)
    yield indices.reshape(devices, -1), mask.reshape(devices, -1)


def save_variables(path: Path, variables: dict) -> None:
  """Writes variables to an .npz, named as 'params/vggish/conv1/kernel'."""
  flat = flax.traverse_util.flatten_dict(variables, sep='/')
  np.savez(path, **{name: np.asarray(x) for name, x in flat.items()})


def load_variables(folder: Path) -> dict:
  """What `save_variables` wrote as a stage's `variables.npz`.

  Raises:
    UserError: it is damaged.
  """
  try:
    with np.load(folder / 'variables.npz', allow_pickle=False) as file:
      return flax.traverse_util.unflatten_dict(dict(file), sep='/')
  except UNREADABLE as error:
    raise UserError(
      f'{folder} holds no whole extractor ({error}): delete it and run again'
    ) from error


def embed(config, clips: ClipExamples, folder: Path, cache_dir) -> np.ndarray:
  """An extractor's embeddings of clips, from the cache or computed now.

  Args:
    config: of the experiment.
    clips: what to embed.
    folder: of the extractor.

  Returns:
    (segment, 128) float32, mapped from disk; a segment is an example.
  """
  variables = load_variables(folder)
  variables = {k: v['vggish'] for k, v in variables.items() if v}
  c = config.extractor
  model = vggish.VGGish(c.embedding_activation, c.width, c.dtype, c.batch_norm)
  return _outputs(model, variables, clips, folder, cache_dir, 'embeddings')


def classify(config, clips: ClipExamples, folder: Path, cache_dir):
  """Logits (segment, class) float32 of an extractor's own classifier."""
  variables = {k: v for k, v in load_variables(folder).items() if v}
  model = models.extractor(config.extractor, len(clips.classes))
  return _outputs(model, variables, clips, folder, cache_dir, 'logits')


def _outputs(model, variables, clips, folder, cache_dir, name):
  depends = {'clips': clips.folder.name, 'extractor': folder.name}

  def build(unfinished):
    apply = jax.pmap(
      lambda v, x: model.apply(v, x.astype(jnp.float32)),
      axis_name=AXIS,
      in_axes=(None, 0),
    )
    resident = step.replicate(variables)
    count = len(clips.examples)
    indices_of = blocks(count, jax.local_device_count())
    with Rows(unfinished / f'{name}.npy') as rows:
      for indices, mask in progress(name, indices_of, _BLOCK, count):
        out = np.asarray(apply(resident, clips.examples[indices]))
        rows.append(out[mask])

  folder = cache.stage(cache_dir, name, depends, build)
  return np.load(folder / f'{name}.npy', mmap_mode='r', allow_pickle=False)
