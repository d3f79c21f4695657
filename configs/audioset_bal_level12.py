"""AudioSet's balanced set by a recipe of today: attention on levels 1 and 2.

  python -m aec_jax.main --config=configs/audioset_bal_level12.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_bal_level12

All training clips for a fixed number of steps: `eval` chooses nothing.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.attention((1, 2)))
  config.name = 'audioset_bal_level12'
  return config
