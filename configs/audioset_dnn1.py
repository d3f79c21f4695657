"""Thesis Table 10, DNN-1: DNN on the balanced set alone.

  python -m aec_jax.main --config=configs/audioset_dnn1.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_dnn1

Thesis: mAP 0.253, AUC 0.934, d' 2.133.
"""

from configs import audioset


def get_config():
  config = audioset.get_config()
  config.name = 'audioset_dnn1'
  config.model = audioset.dnn()
  config.train_splits = ('bal_train',)
  # A thousand steps are 23 times the balanced set, and its best step is near.
  config.eval_every = 250
  config.max_steps = 3000
  config.expected = audioset.expected(0.253, 0.934, 2.133)
  return config
