"""Thesis Table 14: model F with attention on level 1 and 2.

  python -m aec_jax.main --config=configs/dcase_l6_level12.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_level12

Thesis: MAP@3 0.935.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_level12'
  presets.pitch_and_mixup(config, 0.2)
  config.model.levels = (1, 2)
  config.expected = presets.table_12_to_15(0.935)
  return config
