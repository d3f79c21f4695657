"""Thesis Table 12: 1 segment, one extractor, unbalanced, first part.

  python -m aec_jax.main --config=configs/dcase_extractor_unbalanced_first.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_unbalanced_first

Thesis: MAP@3 0.858.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_unbalanced_first'
  config.extractors = ('unbalanced_first',)
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.858)
  return config
