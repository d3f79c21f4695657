"""Thesis Table 12: 1 segment, one extractor, balanced, first part.

  python -m aec_jax.main --config=configs/dcase_extractor_balanced_first.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_balanced_first

Thesis: MAP@3 0.870.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_balanced_first'
  config.extractors = ('balanced_first',)
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.870)
  return config
