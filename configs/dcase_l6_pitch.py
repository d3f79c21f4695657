"""Thesis Table 13, D: 6-segment attention, pitch shifting.

  python -m aec_jax.main --config=configs/dcase_l6_pitch.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_pitch

Thesis: MAP@3 0.930.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_l6_pitch'
  dcase.pitch_and_mixup(config, 0.0)
  config.expected = dcase.expected(0.930)
  return config
