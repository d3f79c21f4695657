"""Thesis Table 13, C: 6-segment attention.

  python -m aec_jax.main --config=configs/dcase_l6_plain.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_plain

Thesis: MAP@3 0.925.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_plain'
  config.expected = presets.table_12_to_15(0.925)
  return config
