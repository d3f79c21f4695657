"""Attention on FSD50K: 200 classes, several labels a clip, its own splits.

  python -m aec_jax.main --config=configs/fsd50k.py \
      --config.data_dir=FSD50K --config.extractor.init=vggish.npz \
      --workdir=runs/fsd50k

FSD50K has FSD50K.dev_audio/, FSD50K.eval_audio/ and FSD50K.ground_truth/
(https://zenodo.org/records/4060432). One extractor and one classifier train on
its training clips, stop by its validation clips and are scored on its eval
clips, by mAP. `--config.extractor.init=random` starts from random weights.
"""

from aec_jax import presets


def get_config():
  config = presets.dcase()
  config.name = 'fsd50k'
  config.dataset = 'folder'
  presets.multi_label(config)
  config.extractors = ('unbalanced',)
  config.last_piece = 'align'
  config.segments = (10,)
  config.mixup_alpha = 1.0
  config.sampling = 'unbalanced'
  return config
