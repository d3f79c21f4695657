"""`dcase_l6` where labels that nobody has verified count less.

  python -m aec_jax.main --config=configs/dcase_l6_unverified.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_unverified

The run writes `corrected/` and `accepted/` lists, which --config.data_dir takes
in a next round (docs/data.md). No row of the thesis.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_unverified'
  presets.pitch_and_mixup(config, 0.2)
  config.unverified_weight = 0.3
  return config
