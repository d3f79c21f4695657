"""A multi-level attention model on the embedded synthetic set.

python -m aec_jax.main --config=configs/demo.py --workdir=runs/demo
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'demo'
  config.train_splits = ('bal_train',)
  config.model.hidden = (200, 200, 200)
  config.batch_size = 200
  config.max_steps = 300
  config.eval_every = 50
  config.checkpoint_every = 50
  return config
