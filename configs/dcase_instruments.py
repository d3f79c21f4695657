"""Model F from random weights on ten instruments of FSDKaggle2018, five folds.

  python -m aec_jax.main --config=configs/dcase_instruments.py \
      --config.data_dir=FSDKAGGLE2018 --workdir=runs/instruments

For a part of the data set: clips that are listed and missing are skipped and
counted, and where no test clip is there the training clips are scored out of
fold. No row of the thesis.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'dcase_instruments'
  config.classes = presets.INSTRUMENTS
  presets.pitch_and_mixup(config, 0.2)
  presets.from_scratch(config)
  return config
