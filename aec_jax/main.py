"""Runs one experiment: see README.md. Everything it calls can be imported."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# Before TensorFlow is imported: it logs from C++ what a user can't act on, and
# we need none of what it does with oneDNN.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

from absl import app, flags
from ml_collections import config_flags

from aec_jax import experiment
from aec_jax.errors import UserError
from aec_jax.run import console, devices, files, hosts, memory, termination

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'The experiment, such as configs/audioset_dnn1.py.'
)
_WORKDIR = flags.DEFINE_string('workdir', None, "The experiment's own folder.")
_CACHE = flags.DEFINE_string(
  'cache_dir', None, 'Stages that experiments share [WORKDIR/../cache].'
)
_MODE = flags.DEFINE_enum(
  'mode', 'train', ('train', 'evaluate'), 'evaluate: restore and score again.'
)
_DRY_RUN = flags.DEFINE_boolean(
  'dry_run', False, 'Say what was found and what would run; do nothing.'
)
hosts.define_flags()


def main(argv: Sequence[str]) -> None:
  if len(argv) > 1:
    raise UserError(f'unexpected argument {argv[1]!r}; every option is --name=')
  for name in ('config', 'workdir'):
    if not flags.FLAGS[name].value:
      raise UserError(f'--{name} is missing')
  if _CONFIG.value.deterministic:
    devices.ask_for_determinism()
  hosts.initialize(flags.FLAGS)
  assert _WORKDIR.value
  workdir = Path(_WORKDIR.value).expanduser()
  cache_dir = Path(_CACHE.value or workdir.parent / 'cache').expanduser()
  files.check_folder_can_be('--workdir', workdir)
  files.check_folder_can_be('--cache_dir', cache_dir)
  if _DRY_RUN.value:
    for line in experiment.dry_run(_CONFIG.value, workdir, cache_dir):
      print(line, flush=True)
    return
  devices.keep_programs(cache_dir / 'xla')
  results = experiment.run(_CONFIG.value, workdir, cache_dir, _MODE.value)
  if hosts.is_first():
    print(console.score_table(results), console.took(results), sep='\n')
    if _MODE.value == 'train':  # an evaluation has said what it wrote
      print(console.next_steps(results['config'], workdir, cache_dir))


def run() -> NoReturn:
  """Runs `main`; what the user can mend is one line and exit status 2."""
  console.configure_logging()
  memory.keep_freed()
  command = lambda: app.run(main, flags_parser=console.parse_flags)
  termination.run(lambda: console.run_command(command))


if __name__ == '__main__':
  run()
