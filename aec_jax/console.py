"""What goes to the screen: log lines and tables."""

import logging
from collections.abc import Mapping, Sequence

from absl import logging as absl_logging

_TALKATIVE = ('/orbax/', '/jax/', '/tensorflow')


def configure_logging() -> None:
  """Our own log lines and clu's, short; of other packages only warnings.

  Orbax and JAX share absl's logger and say much that no user can act on.
  """
  absl_logging.set_verbosity(absl_logging.INFO)
  handler = absl_logging.get_absl_handler()
  handler.setFormatter(logging.Formatter('%(asctime)s %(message)s', '%H:%M:%S'))
  handler.addFilter(
    lambda record: (
      record.levelno > logging.WARNING
      or not any(part in record.pathname for part in _TALKATIVE)
    )
  )
  absl_logging.use_absl_handler()


def table(rows: Sequence[Sequence[str]]) -> str:
  """Rows of cells as aligned text, the first row being the header."""
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


def score_table(results: Mapping) -> str:
  """The scores of a finished experiment beside the thesis's."""
  expected = results['expected']
  rows = [(results['experiment'], 'here', 'thesis')]
  for name, value in results['metrics'].items():
    if isinstance(value, float):
      theirs = f'{expected[name]:.3f}' if name in expected else ''
      rows.append((name, f'{value:.4f}', theirs))
  return table(rows)
