"""Thesis Table 12: 1 segment, the two balanced extractors.

  python -m aec_jax.main --config=configs/dcase_extractor_ensemble_balanced.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_ensemble_balanced

Thesis: MAP@3 0.891.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_ensemble_balanced'
  config.extractors = ('balanced_first', 'balanced_last')
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.891)
  return config
