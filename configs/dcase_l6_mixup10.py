"""Thesis Table 13, H: 6-segment attention, pitch shifting, mixup of α 1.0.

  python -m aec_jax.main --config=configs/dcase_l6_mixup10.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_mixup10

Thesis: MAP@3 0.930.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_mixup10'
  dcase.pitch_and_mixup(config, 1.0)
  config.expected = dcase.expected(0.930)
  return config
