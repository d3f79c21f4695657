"""Thesis Table 12: 1 segment, VGGish as it is released.

  python -m aec_jax.main --config=configs/dcase_vggish_original.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_vggish_original

Thesis: MAP@3 0.606.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_vggish_original'
  config.extractors = ('original',)
  config.segments = (1,)
  config.expected = presets.table_12_to_15(0.606)
  return config
