"""Thesis Table 15: model F with 4 segments.

  python -m aec_jax.main --config=configs/dcase_l4_mixup02.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l4_mixup02

Thesis: MAP@3 0.932.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l4_mixup02'
  presets.pitch_and_mixup(config, 0.2)
  config.segments = (4,)
  config.expected = presets.table_12_to_15(0.932)
  return config
