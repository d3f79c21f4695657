"""AudioSet's balanced set by a recipe of today: attention on level 3.

  python -m aec_jax.main --config=configs/audioset_bal_level3.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_bal_level3

All training clips for a fixed number of steps: `eval` chooses nothing.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.attention((3,)))
  config.name = 'audioset_bal_level3'
  return config
