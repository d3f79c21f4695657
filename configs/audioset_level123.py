"""Thesis Table 10, level-123: attention on all three levels.

  python -m aec_jax.main --config=configs/audioset_level123.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level123

Thesis: mAP 0.340, AUC 0.958, d' 2.439.
Time: 7 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level123'
  config.model = presets.attention((1, 2, 3))
  config.expected = presets.table_10(0.340, 0.958, 2.439)
  return config
