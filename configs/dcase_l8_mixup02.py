"""Thesis Table 15: model F with 8 segments.

  python -m aec_jax.main --config=configs/dcase_l8_mixup02.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l8_mixup02

Thesis: MAP@3 0.930.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l8_mixup02'
  dcase.pitch_and_mixup(config, 0.2)
  config.segments = (8,)
  config.expected = dcase.expected(0.930)
  return config
