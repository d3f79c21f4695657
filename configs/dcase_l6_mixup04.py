"""Thesis Table 13, G: 6-segment attention, pitch shifting, mixup of α 0.4.

  python -m aec_jax.main --config=configs/dcase_l6_mixup04.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_mixup04

Thesis: MAP@3 0.931.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_mixup04'
  presets.pitch_and_mixup(config, 0.4)
  config.expected = presets.table_12_to_15(0.931)
  return config
