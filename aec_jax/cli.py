"""The commands by one name: `aec-jax train demo` is `python -m aec_jax.main`.

  aec-jax COMMAND [OPTION …]        aec-jax COMMAND --help

{commands}
"""

import importlib.util
import runpy
import sys

from aec_jax.errors import UserError
from aec_jax.run import console

# Each a module that is a command by itself.
COMMANDS = {
  'train': 'aec_jax.main',
  'predict': 'aec_jax.predict',
  'embed': 'aec_jax.embed',
  'search': 'aec_jax.search',
  'evaluate': 'aec_jax.evaluate',
  'compare': 'aec_jax.compare',
  'export': 'aec_jax.export',
  'demo': 'aec_jax.demo',
  'fetch': 'aec_jax.models.fetch',
  'check': 'aec_jax.models.check',
  'convert': 'aec_jax.models.convert',
  'sweep': 'launch.sweep',
}


def main() -> int:
  """Runs a command in the place of this one.

  Raises:
    UserError: there is none of that name.
  """
  name, *rest = sys.argv[1:] or ['--help']
  if name in ('--help', '-h'):
    commands = '\n'.join(f'  {k:10}{v}' for k, v in COMMANDS.items())
    print((__doc__ or '').format(commands=commands).strip())
    return 0
  if name not in COMMANDS:
    raise UserError(f'no command {name!r}; there are {", ".join(COMMANDS)}')
  if name == 'train' and rest and not rest[0].startswith('-'):
    rest[0] = f'--config={rest[0]}'
  sys.argv = [f'aec-jax {name}', *rest]
  runpy.run_module(_module(name), run_name='__main__', alter_sys=False)
  return 0


def _module(name) -> str:
  """Sweeps lie beside the package in a checkout, and in it when installed."""
  inside = f'aec_jax.{COMMANDS[name]}'
  if name == 'sweep' and importlib.util.find_spec('aec_jax.launch'):
    return inside
  return COMMANDS[name]


def run() -> None:
  """The entry point."""
  sys.exit(console.run_command(main))


if __name__ == '__main__':
  run()
