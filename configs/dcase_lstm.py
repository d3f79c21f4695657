"""Thesis Table 13, B: LSTM on whole clips, of any length.

  python -m aec_jax.main --config=configs/dcase_lstm.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_lstm

Thesis: MAP@3 0.914.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_lstm'
  dcase.lstm(config)
  config.expected = dcase.expected(0.914)
  return config
