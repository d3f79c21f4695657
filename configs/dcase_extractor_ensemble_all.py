"""Thesis Table 12: 1 segment, all four extractors.

  python -m aec_jax.main --config=configs/dcase_extractor_ensemble_all.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_ensemble_all

Thesis: MAP@3 0.903.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_extractor_ensemble_all'
  config.segments = (1,)
  config.expected = dcase.expected(0.903)
  return config
