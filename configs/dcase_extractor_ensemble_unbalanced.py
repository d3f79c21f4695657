"""Thesis Table 12: 1 segment, the two unbalanced extractors.

  python -m aec_jax.main \
      --config=configs/dcase_extractor_ensemble_unbalanced.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_ensemble_unbalanced

Thesis: MAP@3 0.892.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_ensemble_unbalanced'
  config.extractors = ('unbalanced_first', 'unbalanced_last')
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.892)
  return config
