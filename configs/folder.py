"""Model F on anybody's own recordings, scored out of fold.

  python -m aec_jax.main --config=configs/folder.py \
      --config.data_dir=RECORDINGS --workdir=runs/folder

RECORDINGS has a sub-folder of sounds for each class, or a CSV of files and
labels, or is a data set that docs/data.md names. A sub-folder `test` beside
`train` is scored in place of the folds.
"""

from aec_jax import presets


def get_config():
  config = presets.recordings()
  config.name = 'folder'
  return config
