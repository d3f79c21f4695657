"""The recipe of thesis §5.2, model F, on ESC-10 and the folds it comes with.

  python -m aec_jax.main --config=configs/esc10.py \
      --config.data_dir=ESC10 --workdir=runs/esc10

ESC10 is the folder of the ten classes' folders. Extractors start from random
weights: give --config.extractor.init for others. Accuracy, over five folds:
0.727 of the authors' random forest, 0.8025 of Piczak's CNN.
"""

from configs import dcase


def get_config():
  config = dcase.get_config()
  config.name = 'esc10'
  config.dataset = 'folder'
  dcase.pitch_and_mixup(config, 0.2)
  dcase.from_scratch(config)
  return config
