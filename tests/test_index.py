"""Indices of embeddings: which files are some, and looking in them."""

import types

import numpy as np
import pytest

from aec_jax import embed, index
from aec_jax.answers import Found
from aec_jax.errors import UserError

COLUMNS = {'start': float, 'end': float, 'embedding': list}


def made(path, vectors):
  """An index of pieces of a second, of a file each."""
  rows = [
    (None, f'{i}.wav', Found([(0.0, 1.0, np.array(vector, np.float32))]))
    for i, vector in enumerate(vectors)
  ]
  answer = types.SimpleNamespace(columns=COLUMNS)
  embed._write_npz(path, answer, rows, {'source': {}})
  return index.open_index(str(path))


def test_an_index_goes_by_its_suffix_in_any_case(tmp_path):
  (block,) = made(tmp_path / 'x.NPZ', [[1, 2, 3]]).blocks()
  assert block.file.tolist() == ['0.wav'] and block.embedding.shape == (1, 3)


def test_the_nearest_by_what_differs_in_an_index_that_is_summed_up_once(
  tmp_path,
):
  whole = made(tmp_path / 'x.npz', [[9, 1, 5], [9, 2, 1], [9, 3, 3]])
  asked = []

  def blocks():
    asked.append(1)
    return whole.blocks()

  opened = index.Index(whole.path, whole.about, blocks)
  mean, deviation = opened.moments
  np.testing.assert_allclose(mean, [9, 2, 3])
  assert deviation[0] == np.inf
  np.testing.assert_allclose(deviation[1:], np.std([[1, 5], [2, 1], [3, 3]], 0))
  for row, name in (([0, 1, 5], '0.wav'), ([5, 3, 3.1], '2.wav')):
    ((likeness, file, *span),) = index.nearest(
      opened, np.array([row]), 'none.wav', 1
    )
    assert likeness > 0.99 and file.endswith(name) and span == [0.0, 1.0]
  assert len(asked) == 3


def test_an_index_of_nothing_is_refused():
  with pytest.raises(UserError, match=r'x\.npz: the index is empty'):
    index.Index('x.npz', {}, lambda: iter([])).moments  # noqa: B018
