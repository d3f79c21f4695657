"""Thesis Table 10, level-12: attention on levels 1 and 2.

  python -m aec_jax.main --config=configs/audioset_level12.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level12

Thesis: mAP 0.338, AUC 0.957, d' 2.423.
Time: 6 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level12'
  config.model = presets.attention((1, 2))
  config.expected = presets.table_10(0.338, 0.957, 2.423)
  return config
