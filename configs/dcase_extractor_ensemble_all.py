"""Thesis Table 12: 1 segment, all four extractors.

  python -m aec_jax.main --config=configs/dcase_extractor_ensemble_all.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_ensemble_all

Thesis: MAP@3 0.903.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_extractor_ensemble_all'
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.903)
  return config
