"""Model F on anybody's own recordings with several labels each.

  python -m aec_jax.main --config=configs/folder_multi.py \
      --config.data_dir=RECORDINGS --workdir=runs/folder_multi

RECORDINGS has a CSV with several labels in a cell, or a column a class: see
docs/data.md. Scored out of fold, by mAP, or on test clips where there are some.
"""

from aec_jax import presets


def get_config():
  config = presets.recordings()
  config.name = 'folder_multi'
  presets.multi_label(config)
  return config
