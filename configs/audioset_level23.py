"""Thesis Table 10, level-23: attention on levels 2 and 3.

  python -m aec_jax.main --config=configs/audioset_level23.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level23

Thesis: mAP 0.345, AUC 0.962, d' 2.506.
Time: 5 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level23'
  config.model = presets.attention((2, 3))
  config.expected = presets.table_10(0.345, 0.962, 2.506)
  return config
