"""AudioSet's balanced set by a recipe of today: the DNN.

  python -m aec_jax.main --config=configs/audioset_bal_dnn.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_bal_dnn

All training clips for a fixed number of steps: `eval` chooses nothing.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.dnn())
  config.name = 'audioset_bal_dnn'
  return config
