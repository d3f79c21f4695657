"""AudioSet's balanced set, with labels passed up the ontology.

  python -m aec_jax.main --config=configs/audioset_bal_pass_up.py \
      --config.data_dir=AUDIOSET --workdir=runs/audioset_bal_pass_up

Training clips have the classes above theirs, too; `eval` is as it is.
"""

from aec_jax import presets


def get_config():
  config = presets.audioset_balanced(presets.attention((3,)))
  config.name = 'audioset_bal_pass_up'
  config.pass_up = True
  return config
