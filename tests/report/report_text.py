"""What the report of a made-up run says, for the tests of its sections."""

import re

import finished_runs

from aec_jax import report


def written(folder, results):
  """Writes the report of a made-up run, and returns its Markdown."""
  report.write(folder, results, finished_runs.show)
  return (folder / 'report/index.md').read_text()


def rows_of(markdown, caption):
  """The rows of the table with a caption, cell by cell."""
  _, _, rest = markdown.partition(f'**{caption}')
  block = rest.split('\n\n')[1]
  lines = [re.split(r' (?<!\\)\| ', line[2:-2]) for line in block.splitlines()]
  return lines[2:]
