"""Thesis Table 10, DNN-1: DNN on the balanced set alone.

  python -m aec_jax.main --config=configs/audioset_dnn1.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_dnn1

Thesis: mAP 0.253, AUC 0.934, d' 2.133.
Here: 0.237, 0.946, 2.270 after 2,000 steps.
Time: 3 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_dnn1'
  config.model = presets.dnn()
  config.train_splits = ('bal_train',)
  config.expected = presets.table_10(0.253, 0.934, 2.133)
  return config
