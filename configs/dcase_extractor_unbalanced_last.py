"""Thesis Table 12: 1 segment, one extractor, unbalanced, last part.

  python -m aec_jax.main --config=configs/dcase_extractor_unbalanced_last.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_unbalanced_last

Thesis: MAP@3 0.872.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_unbalanced_last'
  config.extractors = ('unbalanced_last',)
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.872)
  return config
