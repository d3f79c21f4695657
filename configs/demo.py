"""From wavs to tags in three minutes: eight classes of the synthetic set.

  python -m aec_jax.main --config=configs/demo.py --workdir=runs/demo

One small extractor from random weights, multi-level attention on pieces of
three segments. It ends with a bundle, and prints how to tag a sound with it.
"""

from aec_jax import presets

CLASSES = (
  'bell',
  'buzz',
  'chirp-down',
  'chirp-up',
  'clicks-fast',
  'noise-brown',
  'siren',
  'tone-bright',
)


def get_config():
  config = presets.dcase()
  config.name = 'demo'
  config.classes = CLASSES
  config.extractors = ('balanced_first',)
  config.extractor.batch_size = 8
  config.extractor.max_steps = 100
  config.segments = (3,)
  config.folds = 2
  config.max_steps = 200
  return config
