"""Thesis Table 13, H: 6-segment attention, pitch shifting, mixup of α 1.0.

  python -m aec_jax.main --config=configs/dcase_l6_mixup10.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_mixup10

Thesis: MAP@3 0.930.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_mixup10'
  presets.pitch_and_mixup(config, 1.0)
  config.expected = presets.table_12_to_15(0.930)
  return config
