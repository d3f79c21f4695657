"""Thesis Table 13, E: 6-segment attention, pitch shifting, mixup of α 0.1.

  python -m aec_jax.main --config=configs/dcase_l6_mixup01.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_mixup01

Thesis: MAP@3 0.930.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_mixup01'
  dcase.pitch_and_mixup(config, 0.1)
  config.expected = dcase.expected(0.930)
  return config
