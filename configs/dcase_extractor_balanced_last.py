"""Thesis Table 12: 1 segment, one extractor, balanced, last part.

  python -m aec_jax.main --config=configs/dcase_extractor_balanced_last.py \
      --config.data_dir=FSDKAGGLE2018 \
      --workdir=runs/dcase_extractor_balanced_last

Thesis: MAP@3 0.864.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_extractor_balanced_last'
  config.extractors = ('balanced_last',)
  config.segments = (1,)
  config.expected = dcase.expected(0.864)
  return config
