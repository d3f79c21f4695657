"""Thesis Table 13, B: LSTM on whole clips, of any length.

  python -m aec_jax.main --config=configs/dcase_lstm.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_lstm

Thesis: MAP@3 0.914.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_lstm'
  presets.lstm_of_clips(config)
  config.expected = presets.table_12_to_15(0.914)
  return config
