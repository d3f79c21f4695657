"""Thesis Table 12: the challenge's baseline, a CNN on log-mel.

  python -m aec_jax.main --config=configs/dcase_baseline.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_baseline

Thesis: MAP@3 0.704.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'dcase_baseline'
  config.extractors = ('unbalanced_first',)
  dcase.baseline(config)
  config.expected = dcase.expected(0.704)
  return config
