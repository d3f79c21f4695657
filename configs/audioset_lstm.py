"""Thesis Table 10, LSTM: LSTM.

  python -m aec_jax.main --config=configs/audioset_lstm.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_lstm

Thesis: mAP 0.307, AUC 0.953, d' 2.367.
Time: 8 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_lstm'
  config.model = presets.lstm()
  config.expected = presets.table_10(0.307, 0.953, 2.367)
  return config
