"""Thesis Table 15: model F with 1, 2, 4, 6, 8 and 10 segments together.

  python -m aec_jax.main --config=configs/dcase_l_all.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l_all

Thesis: MAP@3 0.932.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l_all'
  presets.pitch_and_mixup(config, 0.2)
  config.segments = (1, 2, 4, 6, 8, 10)
  config.expected = presets.table_12_to_15(0.932)
  return config
