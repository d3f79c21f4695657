"""What goes to the screen: log lines and tables."""

import argparse
import ast
import contextlib
import difflib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from absl import app, flags
from absl import logging as absl_logging

from aec_jax.errors import UserError, refusal
from aec_jax.run import clock, fields, files, progress, starting
from aec_jax.run.text import printable as printable  # for the commands

# Characters of a path in an error.
_LONGEST = 300
# Up to which level other packages are not heard. What orbax logs as an error it
# raises as well.
_UNHEARD = {
  '/orbax/': logging.ERROR,
  '/jax/': logging.WARNING,
  '/tensorflow': logging.WARNING,
}


def configure_logging() -> None:
  """Our own log lines and clu's, short; of other packages only errors.

  Orbax and JAX share absl's logger and say much that no user can act on.
  """
  absl_logging.set_verbosity(absl_logging.INFO)
  # Else absl warns, in commands that have none of its flags.
  flags.FLAGS.mark_as_parsed()
  handler = absl_logging.get_absl_handler()
  handler.setFormatter(logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S'))
  handler.addFilter(
    lambda record: all(
      record.levelno > level
      for part, level in _UNHEARD.items()
      if part in record.pathname
    )
  )
  handler.addFilter(progress.make_way)
  absl_logging.use_absl_handler()
  # A program that cannot be kept, or read again, is compiled again.
  warnings.filterwarnings('ignore', 'Error (read|writ)ing persistent comp')
  # When one file of a checkpoint fails, orbax forgets the others that do.
  logging.getLogger('asyncio').setLevel(logging.CRITICAL)


def _unraisable(unraisable) -> None:
  """Hears of what is raised in destructors and by the garbage collector.

  Python goes on from there. So Ctrl-C, or another signal that is to end the
  command, is sent again, until it comes where it can be raised.
  """
  error = unraisable.exc_value
  if isinstance(error, KeyboardInterrupt):
    _send_again(signal.SIGINT)
  elif isinstance(error, SystemExit):
    # `termination` raises its own again.
    if type(error) is SystemExit and isinstance(error.code, int):
      _send_again(error.code - 128)
  elif 'Event loop is closed' not in str(error):
    sys.__unraisablehook__(unraisable)


def _send_again(number: int) -> None:
  if number > 0:
    threading.Timer(0.1, os.kill, (os.getpid(), number)).start()


def table(rows: Sequence[Sequence[str]]) -> str:
  """Rows of cells as aligned text, the first row being the header."""
  rows = [[printable(cell) for cell in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = [
    '  '.join(
      cell.rjust(width) if i else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in rows
  ]
  lines.insert(1, '  '.join('-' * width for width in widths))
  return '\n'.join(line.rstrip() for line in lines)


def caveats(results: Mapping) -> list[str]:
  """What is to be known of scores before they are held against others."""
  config, found = results['config'], []
  if results.get('synthetic', not config.get('data_dir')):
    found.append('on SYNTHETIC data: it says nothing of real sounds')
  if started := config.get('init_from'):
    found.append(f'started from {started}')
  elif config.get('extractor', {}).get('init') == 'random':
    found.append('extractors trained from random weights')
  return found


def score_table(results: Mapping) -> str:
  """The scores of a finished experiment beside the thesis's."""
  expected = results.get('expected', {})
  lines = [f'{results["experiment"]}: {what}' for what in caveats(results)]
  rows = [(results['experiment'], 'here', 'thesis' if expected else '')]
  for name, value in results['metrics'].items():
    if isinstance(value, float):
      theirs = f'{expected[name]:.3f}' if name in expected else ''
      rows.append((name, f'{value:.4f}', theirs))
  return '\n'.join([*lines, table(rows)])


def took(results: Mapping) -> str:
  """What a finished experiment took, in all and by stage."""
  seconds = results['seconds']
  parts = [
    f'{clock.WORDS.get(stage, stage)} {progress.duration(value)}'
    for stage, value in seconds.items()
    if value >= 1
  ]
  whole = progress.duration(sum(seconds.values()))
  return f'took:    {whole} ({", ".join(parts) or "all at once"})'


def next_steps(config: Mapping, workdir: Path, cache_dir: Path) -> str:
  """Where a finished experiment's results lie, and a command to go on with."""
  sounds = 'SOUND…'
  if not config.get('data_dir'):
    files.check_file(workdir / 'predictions.npz')
    with np.load(workdir / 'predictions.npz', allow_pickle=False) as file:
      name = str(file['ids'][0])
    made = cache_dir.glob(f'synthetic-fsd-*/fsd/audio_test/{name}')
    sounds = str(min(made, default=sounds))
  options = ''
  if config.get('extractor', {}).get('model') == 'released':
    sounds = 'SOUND…'
    options = (
      ' --vggish=vggish.npz --pca=vggish_pca_params.npz'
      '  # of python -m aec_jax.models.fetch vggish'
    )
  return '\n'.join(
    [
      f'results: {workdir}/results.json',
      f'report:  {workdir}/report/index.html',
      f'bundle:  {workdir}/bundle',
      f'curves:  tensorboard --logdir={workdir}',
      f'next:    python -m aec_jax.predict --bundle={workdir}/bundle'
      f' {sounds}{options}',
    ]
  )


def parse_flags(argv: Sequence[str]) -> list[str]:
  """Parses absl's flags, of which `config` is ml_collections'.

  Raises:
    UserError: a flag or a field of the config is unknown, with the nearest
      name, or of another type; or the config's file cannot be used.
  """
  if {'--help', '-h'} & {*argv[1:]}:
    _print_help(argv)
    sys.exit(0)  # absl would end with status 1
  # The config file is to be known before its fields are set, and ml_collections
  # looks for it in sys.argv.
  renamed = [fields.renamed_option(_with_config(arg)) for arg in argv[1:]]
  options = [arg for arg in renamed if arg]
  options.sort(key=lambda arg: not arg.startswith('--config='))
  sys.argv = [argv[0], *options]
  try:
    rest = flags.FLAGS(sys.argv)
    config = flags.FLAGS['config'].value  # its file is read only now
    if config is not None and not hasattr(config, 'objective'):
      raise UserError('--config: its get_config() gives no experiment')
  except Exception as error:  # a config's file may raise anything
    raise UserError(_flag_error(error)) from error
  return rest


def _print_help(argv) -> None:
  """The flags, the configs that are shipped, and the fields of the one given.

  Raises:
    UserError: the config's file cannot be used.
  """
  app.usage(shorthelp=True, writeto_stdout=True)
  given = [_with_config(a) for a in argv[1:] if a.startswith('--config=')]
  if not given:
    print('\n--config, one of those shipped, or a file:\n')
    for path in sorted(configs_folder().glob('[!_]*.py')):
      what = ast.get_docstring(ast.parse(path.read_text('utf-8'))) or ''
      print(f'  {path.stem:36}{what.partition(chr(10))[0]}')
    print('\n--help --config=NAME lists the fields of one.')
    return
  sys.argv = [argv[0], *given]
  try:
    flags.FLAGS(sys.argv)
    config = flags.FLAGS['config'].value
  except Exception as error:  # a config's file may raise anything
    raise UserError(_flag_error(error)) from error
  print(f'\nThe fields of {given[0].removeprefix("--config=")}:\n')
  settings = config.to_dict() if config is not None else {}
  # Fields that are None go by the size of the data.
  sizes = [settings.pop(f'when_{which}', {}) for which in ('full', 'synthetic')]
  for name, value in fields.flattened(settings):
    field = fields.FIELDS.get(name)
    of = [one.get(name.replace('.', '/')) for one in sizes]
    said = [fields.allowed(field) if field else '']
    if value is None and of[0] == of[1]:
      value = of[0]
    elif value is None:
      value = ''
      said.insert(0, f'{of[0]} with data_dir, {of[1]} without')
    note = '; '.join(filter(None, said))
    print(f'  --config.{name}={value}{f"  # {note}" if note else ""}')


def configs_folder() -> Path:
  """Where the shipped configs lie: in the package, or beside it."""
  package = Path(__file__).parents[1]
  inside = package / 'configs'
  return inside if inside.is_dir() else package.parent / 'configs'


def config_path(name: str) -> str:
  """The file of a config: a path, or the name of one that is shipped.

  Raises:
    UserError: there is neither, or the path may not be read.
  """
  if not name:
    raise UserError(
      "--config is '': give the name of a config that is shipped, or a file"
    )
  if os.path.isfile(name):  # a folder may be of the same name
    return name
  if not os.path.isdir(name):
    files.check_file(name, needed=False)
  path = configs_folder() / f'{Path(name).stem}.py'
  if Path(name).suffix not in ('', '.py') or not path.is_file():
    known = sorted(p.stem for p in configs_folder().glob('[!_]*.py'))
    near = difflib.get_close_matches(Path(name).stem, known, 3) or known
    raise UserError(
      f'--config={name}: no such file, and none that is shipped; there are'
      f' {", ".join(near)}'
    )
  return str(path)


def _with_config(option):
  name = option.removeprefix('--config=')
  return option if name == option else f'--config={config_path(name)}'


def _flag_error(error):
  text = ' '.join(_unquoted(error.args[0] if error.args else error).split())
  if isinstance(error, flags.Error | UserError):
    return text
  if text.startswith("'"):  # ml_collections adds a name that is very near
    name = '' if ' Did you mean ' in text else text.strip("'")
    near = difflib.get_close_matches(name, fields.FIELDS, 5, 0.5)
    told = ', '.join(f'config.{name}' for name in near)
    told = f'nearest to it: {told}; ' if told else ''
    return (
      f'the config has no field {text} ({told}--help --config=… lists them)'
    )
  return f'--config: {type(error).__name__}: {text}'


def _unquoted(message) -> str:
  """What ml_collections says of a field's name, whose `repr` it may raise."""
  text = str(message)
  with contextlib.suppress(SyntaxError, ValueError):
    inner = ast.literal_eval(text)
    if isinstance(inner, str) and inner.startswith("'"):
      return inner
  return text


class Parser(argparse.ArgumentParser):
  """Options of a command; a mistake in them is a `UserError`."""

  def __init__(self, description: str | None) -> None:
    super().__init__(
      description=description,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )

  def parse_known_args(self, args=None, namespace=None):
    """As argparse does; an empty value, as of `$UNSET`, is a mistake, too.

    Unless the option is empty where it is not given.
    """
    found, rest = super().parse_known_args(args, namespace)
    for action in self._actions:
      value = getattr(found, action.dest, None)
      if '' in (value if isinstance(value, list) else [value]):
        name = '/'.join(action.option_strings) or action.metavar or action.dest
        rest_of_it = '' if action.required else ', or leave it out'
        if action.default != '':
          self.error(f"{name} is '': give a value{rest_of_it}")
    return found, rest

  def error(self, message: str) -> NoReturn:
    raise UserError(f'{message} (--help lists the options)')


class BundleParser(Parser):
  """Options of a command that takes a bundle."""

  def __init__(self, description: str | None) -> None:
    super().__init__(description)
    self.add_argument(
      '--bundle', required=True, help='The folder bundle/ of an experiment.'
    )
    self.add_argument(
      '--vggish', help='For AudioSet bundles: of aec_jax.models.fetch.'
    )
    self.add_argument(
      '--pca', help='For AudioSet bundles: vggish_pca_params.npz.'
    )


def run_command(main: Callable[[], int]) -> int:
  """Runs `main`; what the user can mend is one line and exit status 2.

  So is what the system refuses to write, the output itself among it. Ctrl-C
  is one line and 130, as of any program that a signal ends.
  """
  starting.hear_ctrl_c()
  _open_streams()
  sys.unraisablehook = _unraisable
  # Matplotlib says on its first use that it looks for fonts.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  try:
    try:
      return main()
    finally:
      sys.stdout.flush()
  except UserError as error:
    progress.wipe()
    print(f'error: {printable(str(error))}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('stopped by Ctrl-C', file=sys.stderr)
    return 128 + signal.SIGINT
  except BrokenPipeError:  # the reader, such as head, has enough
    _say_no_more()
    return 0
  except Exception as error:  # TensorFlow's are no OSErrors
    refused = refusal(error)
    if refused is None:
      raise
    _say_no_more()
    (did, reason), where = refused, getattr(error, 'filename', None)
    where = str(where or 'what is made or said')
    if len(where) > _LONGEST:
      where = f'{where[:_LONGEST]}…'
    print(f'error: cannot {did} {printable(where)}: {reason}', file=sys.stderr)
    return 2


def allow_any_names() -> None:
  """Has the standard streams take names in whatever bytes they have."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(encoding='utf-8', errors='surrogateescape')


def _open_streams() -> None:
  """Has something for what is said where standard streams are closed.

  Else the next file that is opened would get what is meant for them.
  """
  for number in (0, 1, 2):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # it takes the lowest number
  for name in ('stdout', 'stderr'):
    if getattr(sys, name) is None:
      nothing = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115
      setattr(sys, name, nothing)


def _say_no_more() -> None:
  """Lets Python's last words to the output get lost."""
  with contextlib.suppress(io.UnsupportedOperation):  # it is no file
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
