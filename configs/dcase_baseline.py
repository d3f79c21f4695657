"""Thesis Table 12: the challenge's baseline, a CNN on log-mel.

  python -m aec_jax.main --config=configs/dcase_baseline.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_baseline

Thesis: MAP@3 0.704.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_baseline'
  config.extractors = ('unbalanced_first',)
  presets.baseline(config)
  config.expected = presets.table_12_to_15(0.704)
  return config
