"""Thesis Table 13, F: 6-segment attention, pitch shifting, mixup of α 0.2.

  python -m aec_jax.main --config=configs/dcase_l6.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6

Thesis: MAP@3 0.936.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6'
  dcase.pitch_and_mixup(config, 0.2)
  config.expected = dcase.expected(0.936)
  return config
