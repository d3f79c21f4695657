"""What an experiment's classifiers train on and are scored on.

`Released` and `Recorded` both say which members there are, and make the
`Features` that these take.
"""

from pathlib import Path

from absl import logging

from aec_jax.run import hosts
from aec_jax.sources.recorded import Recorded
from aec_jax.sources.released import Released
from aec_jax.sources.trained import Trained

__all__ = ['Recorded', 'Released', 'Trained', 'open_source']


def open_source(
  config, cache_dir: str | Path, scoring: bool = False
) -> Released | Recorded:
  """What a config's `dataset` and `extractor` name."""
  if not config.data_dir:
    logging.warning(
      'config.data_dir is empty: this is a SYNTHETIC data set, whose scores say'
      ' nothing of real sounds'
    )
  kind = Released if config.dataset == 'audioset' else Recorded
  source = kind(config, cache_dir, scoring)
  hosts.check_same(
    source.read_from(),
    f'what is in {config.data_dir}, or in what config.extractor.init,'
    ' config.init_from or config.teacher name, is not the same on all hosts',
  )
  return source
