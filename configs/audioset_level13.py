"""Thesis Table 10, level-13: attention on levels 1 and 3.

  python -m aec_jax.main --config=configs/audioset_level13.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level13

Thesis: mAP 0.335, AUC 0.959, d' 2.457.
Time: 8 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level13'
  config.model = presets.attention((1, 3))
  config.expected = presets.table_10(0.335, 0.959, 2.457)
  return config
