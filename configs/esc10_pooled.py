"""ESC-10 from random weights by a network that pools over 4.8 s.

  python -m aec_jax.main --config=configs/esc10_pooled.py \
      --config.data_dir=ESC10 --workdir=runs/esc10_pooled

`presets.pooled_from_scratch` says by what. What a clip has after its last whole
4.8 s is dropped; --config.extractor.tail=repeat takes it as an example more.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'esc10_pooled'
  config.dataset = 'folder'
  presets.pooled_from_scratch(config, steps=1800)
  config.extractor.augment.gain = 6.0
  return config
