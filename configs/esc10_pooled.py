"""ESC-10 from random weights by a network that pools over 4.8 s.

  python -m aec_jax.main --config=configs/esc10_pooled.py \
      --config.data_dir=ESC10 --workdir=runs/esc10_pooled

Sounds mixed with others by their loudness (between-class learning), random
speed, time shift and SpecAugment. A fixed number of steps on all clips of the
other folds: no clip chooses the step. What a clip has after its last whole
4.8 s is dropped; --config.extractor.tail=repeat takes it as an example more.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'esc10_pooled'
  config.dataset = 'folder'
  presets.from_scratch(config)
  config.extractors = ('unbalanced_first',)
  extractor = config.extractor
  extractor.model = 'pooled'
  extractor.width = 0.5
  config.keep = extractor.keep = 'last'
  extractor.batch_size = 40
  extractor.max_steps = 600
  extractor.eval_every = 100
  extractor.optimizer.cosine_steps = 600
  extractor.optimizer.learning_rate = 3e-3
  extractor.augment.time_shift = True
  extractor.augment.between_classes = True
  extractor.augment.speed = 1.25
  extractor.augment.mask_frames = 24
  extractor.augment.mask_bands = 12
  return config
