"""Thesis Table 13, A: 1 segment, multi-level.

  python -m aec_jax.main --config=configs/dcase_l1.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l1

Thesis: MAP@3 0.903.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l1'
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.903)
  return config
