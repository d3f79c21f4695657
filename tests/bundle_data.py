"""Tiny finished experiments with their bundles, for the tests that take one."""

import dcase_data
import numpy as np

from aec_jax import experiment
from aec_jax.models import convert
from configs import audioset_level13

VGGISH_WIDTH = 8 / 4096  # every layer has 8 units


def dcase_run(root, name='dcase_l6', data_dir=None, **fields):
  """Runs a tiny experiment on clips: its config and results."""
  data_dir = data_dir or dcase_data.write_fsd(root / 'fsd')
  config = dcase_data.tiny_config(name, data_dir, **fields)
  # experiment.run resolves it again.
  with config.unlocked():
    config.when_full = config.when_synthetic = type(config)()
  return config, experiment.run(config, root / name, root / 'cache')


def audioset_run(root, data_dir, **fields):
  """Runs a tiny experiment on embeddings: its config and results."""
  config = audioset_level13.get_config()
  config.update_from_flattened_dict(
    {
      'data_dir': str(data_dir),
      'batch_size': 16,
      'max_steps': 40,
      'eval_every': 20,
      'checkpoint_every': 20,
      'steps_per_dispatch': 5,
      'model.hidden': (16, 16, 16),
      'model.dtype': 'float32',
      **fields,
    }
  )
  return config, experiment.run(config, root / 'audioset', root / 'cache')


def write_vggish(root):
  """A narrow VGGish of random weights and a PCA: the two files' paths."""
  rng = np.random.default_rng(0)
  params = {
    name: 0.2 * rng.standard_normal(shape).astype(np.float32)
    for name, shape in convert.shapes(VGGISH_WIDTH).items()
  }
  convert.save(str(root / 'vggish.npz'), params)
  np.savez(
    root / 'pca.npz',
    pca_eigen_vectors=np.linalg.qr(rng.standard_normal((128, 128)))[0],
    pca_means=np.zeros(128),
  )
  return root / 'vggish.npz', root / 'pca.npz'
