"""Thesis Table 10, level-1: attention on level 1.

  python -m aec_jax.main --config=configs/audioset_level1.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level1

Thesis: mAP 0.334, AUC 0.957, d' 2.422.
Time: 2 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level1'
  config.model = presets.attention((1,))
  config.expected = presets.table_10(0.334, 0.957, 2.422)
  return config
