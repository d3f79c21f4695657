"""The runs of a sweep as it sees them, and the table that it shows."""

import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from aec_jax import leavings, presets
from aec_jax.errors import UserError
from aec_jax.run import cache, claim, console, fields, files
from aec_jax.train.progress import duration, score_words

from .jobs import Adopted, Run

# Seconds between two tables in a log file.
_REPEAT = 300.0
# What is shown of a run's progress.json.
_PROGRESS = ('step', 'max_steps', 'metric', 'best', 'seconds_left')


def config_of(run: Run):
  """The config that a run's command makes.

  Raises:
    UserError: a field is unknown, or a value is not of its type.
  """
  chosen = [x for x in run.options if x.startswith('--config')]
  argv = ['sweep', *chosen]
  values = flags.FlagValues()
  config_flags.DEFINE_config_file('config', flag_values=values, sys_argv=argv)
  try:
    values(argv)
  except (flags.Error, AttributeError, KeyError, OSError, TypeError) as error:
    # A KeyError's text is in quotes.
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    if isinstance(error, KeyError) or text.startswith(('"', "'")):
      text = f'the config has no field {text.strip(chr(34))}'
    raise UserError(f'{run.name}: {text}'.replace('\n', ' ')) from error
  config = values.config
  return presets.resolve(config)


class Watch:
  """A run as the sweep sees it.

  Attributes:
    state: 'missing', 'queued', 'running', 'done' or 'failed'.
    starts: how often it was started.
    note: why it failed.
    since: bytes of its log that are of earlier starts.
  """

  def __init__(self, run: Run):
    self.run, self.config = run, config_of(run)
    self.job, self.starts, self.note, self.since = None, 0, '', 0
    self.results = self._finished()
    self.state = 'done' if self.results else 'missing'

  def _finished(self, by_its_run: bool = False) -> dict | None:
    """The results of this config, if they are there.

    Where they were made of data or weights in another place, or something is
    missing beside them, the run is started: it reads the data, and finds that
    it is finished, refuses, or makes again what is missing.

    Args:
      by_its_run: whether it has been, and ended well.
    """
    config = self.config.to_dict()
    defaults = presets.model_defaults(self.config.model)
    found = claim.finished_results(self.config, self.run.workdir, defaults)
    if not found or by_its_run:
      return found
    same = fields.places(found['config']) == fields.places(config)
    return found if same and not leavings.lacks(self.run.workdir) else None

  def mark(self) -> None:
    """Notes where the log of the next start begins."""
    log = self.run.log()
    self.since = log.stat().st_size if log.exists() else 0

  def start(self, job) -> None:
    self.job, self.state = job, job.state
    self.starts += 1

  def adopt(self, job) -> None:
    """Takes a run for its own that another sweep has left, or has."""
    self.job, self.state = job, job.state
    self.mark()

  def look(self, retries: int) -> None:
    """Asks the job how it is; what was cut off is missing again."""
    status = self.job.poll()
    if status is None:
      self.state = self.job.state
      return
    self.results = self._finished(by_its_run=status == 0)
    lines = _lines(self.run.log(), self.since)
    in_use = status == 2 and any(cache.IN_USE in x for x in lines[-1:])
    error = _error(lines)
    if self.results:
      self.state = 'done'
    elif isinstance(self.job, Adopted) or (in_use and self.starts <= retries):
      self.state = 'missing'  # who has the folder is waited for
    elif status == 2 or error or self.starts > retries:
      self.state = 'failed'
      self.note = error or f'exit status {status}; see {self.run.log()}'
    else:
      self.state = 'missing'

  def row(self) -> tuple[str, ...]:
    progress = self._progress() if self.state in ('running', 'queued') else {}
    step = best = left = ''
    if self.results:
      metric = self.config.metric
      if value := self.results['metrics'].get(metric):
        best = f'{metric} {value:.4f}'
      step = f'{self.results.get("best_step", 0):,}'
    elif progress:
      step = f'{progress["step"]:,}/{progress["max_steps"]:,}'
      if progress['extractor']:
        step = f'{progress["extractor"]} {step}'
      if progress['best'] is not None:
        best = score_words(progress['metric'], progress['best'])
      if progress['seconds_left'] is not None:
        left = duration(progress['seconds_left'])
    starts = str(self.starts or '')
    return self.run.name, self.state, starts, step, best, left

  def _progress(self) -> dict:
    """What the trainer last said, of whatever it trains at the moment."""
    # There is one for each extractor and for each length of pieces.
    found = [*self.run.workdir.glob('extractors/*/progress.json'),
             *self.run.workdir.glob('checkpoints/*/progress.json')]  # fmt: skip
    try:
      latest = max(found, key=lambda path: path.stat().st_mtime, default=None)
      if not latest:
        return {}
      kind, name = latest.parts[-3:-1]
      extractor = name if kind == 'extractors' else ''
      return files.read_json(latest, *_PROGRESS) | {'extractor': extractor}
    except (OSError, UserError):  # it is just replaced
      return {}


def _lines(log: Path, since: int) -> list[str]:
  """What a start has printed."""
  if not log.exists():
    return []
  with open(log, 'rb') as file:
    file.seek(since)
    return file.read().decode('utf-8', 'replace').splitlines()


def _error(lines: list[str]) -> str:
  """The line with which a run has said what the user can mend, or ''."""
  # Another sweep's run says that the folder is in use, while this one goes on.
  last = [x for x in lines if cache.IN_USE not in x][-1:] or ['']
  return last[0] if last[0].startswith('error: ') else ''


class Screen:
  """Prints a table in the place of the last one; in a log file, when it says
  something new."""

  def __init__(self, file):
    self.file, self.lines, self.states, self.said = file, 0, None, 0.0

  def show(self, watches: Sequence[Watch]) -> None:
    rows = [('experiment', 'state', 'starts', 'step', 'best', 'left')]
    rows += [watch.row() for watch in watches]
    states = [watch.state for watch in watches]
    due = states != self.states or time.monotonic() - self.said > _REPEAT
    if not self.file.isatty() and not due:
      return
    if self.file.isatty() and self.lines:
      print(f'\033[{self.lines}F\033[J', end='', file=self.file)
    text = console.table(rows)
    print(text, file=self.file, flush=True)
    self.lines, self.states = text.count('\n') + 1, states
    self.said = time.monotonic()
