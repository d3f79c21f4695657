"""Thesis Table 13, A: 1 segment, multi-level.

  python -m aec_jax.main --config=configs/dcase_l1.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l1

Thesis: MAP@3 0.903.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l1'
  config.segments = (1,)
  config.expected = dcase.expected(0.903)
  return config
