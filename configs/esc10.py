"""The recipe of thesis §5.2, model F, on ESC-10 and the folds it comes with.

  python -m aec_jax.main --config=configs/esc10.py \
      --config.data_dir=ESC10 --workdir=runs/esc10

ESC10 is the folder of the ten classes' folders. Extractors start from random
weights: give --config.extractor.init for others. Accuracy, over five folds:
0.727 of the authors' random forest, 0.8025 of Piczak's CNN.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'esc10'
  config.dataset = 'folder'
  presets.pitch_and_mixup(config, 0.2)
  presets.from_scratch(config)
  return config
