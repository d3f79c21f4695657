"""Thesis Table 10, DNN-2: DNN.

  python -m aec_jax.main --config=configs/audioset_dnn2.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_dnn2

Thesis: mAP 0.294, AUC 0.960, d' 2.482.
Time: 3 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_dnn2'
  config.model = presets.dnn()
  config.expected = presets.table_10(0.294, 0.960, 2.482)
  return config
