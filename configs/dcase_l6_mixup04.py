"""Thesis Table 13, G: 6-segment attention, pitch shifting, mixup of α 0.4.

  python -m aec_jax.main --config=configs/dcase_l6_mixup04.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_mixup04

Thesis: MAP@3 0.931.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_mixup04'
  dcase.pitch_and_mixup(config, 0.4)
  config.expected = dcase.expected(0.931)
  return config
