"""AudioSet's balanced set: one model that learns from finished ones.

  python -m aec_jax.main --config=configs/audioset_bal_distilled.py \
      --config.data_dir=AUDIOSET --config.teacher=runs/audioset_bal_ensemble \
      --workdir=runs/audioset_bal_distilled

Half of a clip's targets are its labels, half the mean of what the teachers say
of it: several, of any of the `audioset_bal_` models, are given as DIR,DIR.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.attention((3,)))
  config.name = 'audioset_bal_distilled'
  config.teacher_weight = 0.5
  config.max_steps = 4000
  return config
