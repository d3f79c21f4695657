"""`dcase_l6` with examples of 192 frames, 1.92 s, in the place of 96.

  python -m aec_jax.main --config=configs/dcase_l6_frames192.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/dcase_l6_frames192

From random weights, since released ones have 96 frames. No row of the thesis.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_l6_frames192'
  presets.pitch_and_mixup(config, 0.2)
  config.extractor.frames = 192
  config.extractor.init = 'random'
  config.segments = (3,)
  return config
