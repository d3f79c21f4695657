"""Thesis Table 12: 1 segment, one extractor, balanced, last part.

  python -m aec_jax.main --config=configs/dcase_extractor_balanced_last.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_balanced_last

Thesis: MAP@3 0.864.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_balanced_last'
  config.extractors = ('balanced_last',)
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.864)
  return config
