"""Thesis Table 12: 1 segment, the two unbalanced extractors.

  python -m aec_jax.main \
      --config=configs/dcase_extractor_ensemble_unbalanced.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_ensemble_unbalanced

Thesis: MAP@3 0.892.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_extractor_ensemble_unbalanced'
  config.extractors = ('unbalanced_first', 'unbalanced_last')
  config.segments = (1,)
  config.expected = dcase.expected(0.892)
  return config
