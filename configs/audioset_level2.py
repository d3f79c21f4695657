"""Thesis Table 10, level-2: attention on level 2.

  python -m aec_jax.main --config=configs/audioset_level2.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level2

Thesis: mAP 0.346, AUC 0.961, d' 2.497.
Time: 3 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level2'
  config.model = presets.attention((2,))
  config.expected = presets.table_10(0.346, 0.961, 2.497)
  return config
