"""Thesis Table 10, level-3: attention on level 3.

  python -m aec_jax.main --config=configs/audioset_level3.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_level3

Thesis: mAP 0.347, AUC 0.963, d' 2.520.
Time: 4 minutes per 1,000 steps, evaluations every 250 of them included, on 2
shared cores of an AMD EPYC.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset()
  config.name = 'audioset_level3'
  config.model = presets.attention((3,))
  config.expected = presets.table_10(0.347, 0.963, 2.520)
  return config
