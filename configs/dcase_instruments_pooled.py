"""`dcase_instruments` by a network that pools over 4.8 s.

  python -m aec_jax.main --config=configs/dcase_instruments_pooled.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/instruments_pooled

`presets.pooled_from_scratch` says by what. No row of the thesis.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_instruments_pooled'
  config.classes = presets.INSTRUMENTS
  presets.pooled_from_scratch(config, steps=300)
  config.extractor.tail = 'repeat'
  return config
