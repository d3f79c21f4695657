"""Thesis Table 14: model F with attention on level 1 and 2.

  python -m aec_jax.main --config=configs/dcase_l6_level12.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_level12

Thesis: MAP@3 0.935.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_level12'
  dcase.pitch_and_mixup(config, 0.2)
  config.model.levels = (1, 2)
  config.expected = dcase.expected(0.935)
  return config
