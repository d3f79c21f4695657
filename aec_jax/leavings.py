"""What a finished experiment leaves in its work folder beside its results."""

from pathlib import Path

from absl import logging

from aec_jax import predictions, report
from aec_jax.bundle import store
from aec_jax.run import files

PREDICTIONS = (predictions.FILE,)
BUNDLE = tuple(f'{store.FOLDER}/{name}' for name in store.FILES)
REPORT = tuple(str(path) for path in (report.PAGE, report.TEXT))


def lacks(
  workdir: Path, names: tuple[str, ...] = PREDICTIONS + BUNDLE + REPORT
) -> bool:
  """Whether some files are missing or empty; said of the first one."""
  for name in names:
    trouble = files.why_no_file(workdir / name)
    if not trouble and not (workdir / name).stat().st_size:
      trouble = 'empty'
    if trouble:
      logging.info('%s/%s: %s', workdir, name, trouble)
      return True
  return False
