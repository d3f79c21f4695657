"""Tiny finished experiments with their bundles, for the tests that take one."""

import zlib

import dcase_data
import numpy as np
import pytest

from aec_jax import experiment
from aec_jax.models import convert
from aec_jax.train import extractor
from configs import audioset_level13

VGGISH_WIDTH = 8 / 4096  # every layer has 8 units
# Of the release-shaped set of the fixtures `synthetic_…`.
SYNTHETIC_SIZES = {
  'classes': 8, 'train': 160, 'unbalanced': 300, 'evaluation': 120
}  # fmt: skip


def random_vggish(seed, width=VGGISH_WIDTH):
  """Flat parameters, as `convert.save` takes them."""
  rng = np.random.default_rng(seed)
  return {
    name: 0.2 * rng.standard_normal(shape).astype(np.float32)
    for name, shape in convert.shapes(width).items()
  }


def _random_extractor(config, clips, job, *_):
  """In the place of fine-tuning, which takes a minute to compile."""
  del clips
  flat = random_vggish(zlib.crc32(job.name.encode()), config.extractor.width)
  params = {}
  for name, array in flat.items():
    layer, kind = name.split('/')
    params.setdefault(layer, {})[kind] = array
  return {'params': {'extractor': params}}, {'evaluations': []}


def dcase_run(root, name='dcase_l6', data_dir=None, **fields):
  """Runs a tiny experiment on clips: its config and results.

  Its two extractors have random weights, its members are trained.
  """
  data_dir = data_dir or dcase_data.write_fsd(root / 'fsd', seconds=(0.3, 4.5))
  tiny = {
    'extractor.init': 'random',
    'extractor.batch_norm': False,
    'extractors': ('balanced_first', 'unbalanced_last'),
    'pitch_to': 0,
    'max_steps': 2,
    'model.hidden': (8, 8, 8),
    **fields,
  }
  config = dcase_data.tiny_config(name, data_dir, **tiny)
  with pytest.MonkeyPatch.context() as patch:
    if config.extractor.model == 'vggish':
      patch.setattr(extractor, '_train', _random_extractor)
    return config, experiment.run(config, root / name, root / 'cache')


def audioset_run(root, data_dir):
  """Runs a tiny experiment on embeddings: its config and results."""
  config = audioset_level13.get_config()
  config.update_from_flattened_dict(
    {
      'data_dir': str(data_dir),
      'batch_size': 16,
      'max_steps': 20,
      'eval_every': 20,
      'checkpoint_every': 20,
      'steps_per_dispatch': 5,
      'model.hidden': (16, 16, 16),
      'model.dtype': 'float32',
    }
  )
  return config, experiment.run(config, root / 'audioset', root / 'cache')


def write_vggish(root):
  """A narrow VGGish of random weights and a PCA: the two files' paths."""
  convert.save(str(root / 'vggish.npz'), random_vggish(0))
  rng = np.random.default_rng(0)
  np.savez(
    root / 'pca.npz',
    pca_eigen_vectors=np.linalg.qr(rng.standard_normal((128, 128)))[0],
    pca_means=np.zeros(128),
  )
  return root / 'vggish.npz', root / 'pca.npz'
