"""Thesis Table 13, C: 6-segment attention.

  python -m aec_jax.main --config=configs/dcase_l6_plain.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_plain

Thesis: MAP@3 0.925.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_plain'
  config.expected = dcase.expected(0.925)
  return config
