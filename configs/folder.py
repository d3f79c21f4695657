"""Model F on anybody's own recordings, scored out of fold.

  python -m aec_jax.main --config=configs/folder.py \
      --config.data_dir=RECORDINGS --workdir=runs/folder

RECORDINGS has a sub-folder of wav, flac, ogg or mp3 files for each class, or a
CSV of file, label and perhaps fold: see `from_folder` of
`aec_jax.datasets.audio_folder`. A sub-folder `test` beside `train` is scored
in place of the folds.
"""

from aec_jax import presets


def get_config():
  config = presets.recordings()
  config.name = 'folder'
  return config
