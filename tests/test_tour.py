"""The notebook: it runs from top to bottom, and is kept with its outputs."""

import ast
from pathlib import Path

import nbformat
import pytest

PATH = Path(__file__).parents[1] / 'docs' / 'tour.ipynb'


def cells_of(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def test_it_is_kept_as_it_ran():
  cells = cells_of(nbformat.read(PATH, 4))
  counts = [cell.execution_count for cell in cells]
  assert counts == list(range(1, len(cells) + 1))
  kinds = {o.output_type for cell in cells for o in cell.outputs}
  assert kinds <= {'stream', 'execute_result', 'display_data'}
  pictures = [
    o
    for cell in cells
    for o in cell.outputs
    if 'image/png' in o.get('data', ())
  ]
  assert pictures
  for cell in cells:
    ast.parse(cell.source)
    assert max(map(len, cell.source.splitlines())) <= 100


@pytest.mark.slow
def test_it_runs(tmp_path):
  import nbclient

  notebook = nbformat.read(PATH, 4)
  nbclient.NotebookClient(
    notebook, timeout=1200, resources={'metadata': {'path': PATH.parent}}
  ).execute()
  assert len(cells_of(notebook)[-1].outputs) == 1
