"""AudioSet's balanced set: six `audioset_bal_level3` side by side, averaged.

  python -m aec_jax.main --config=configs/audioset_bal_ensemble.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_bal_ensemble

They differ by their seeds. The mean of their probabilities is what is scored
and bundled.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.attention((3,)))
  config.name = 'audioset_bal_ensemble'
  config.members = 6
  return config
