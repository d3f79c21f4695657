"""The synthetic set of AudioSet's size, at a small one."""

import os

import numpy as np
import pytest

from aec_jax.datasets import audioset_tfrecord
from aec_jax.datasets.examples import Examples
from aec_jax.errors import UserError
from launch import rehearsal


@pytest.fixture
def lists(tmp_path):
  folder = tmp_path / 'csv'
  folder.mkdir()
  rows = [f'{i},/m/{i},"Class {i}"' for i in range(300)]
  text = '\n'.join(['index,mid,display_name', *rows])
  (folder / 'class_labels_indices.csv').write_text(text + '\n')
  head = '# Segments csv\n# YTID, start_seconds, end_seconds, positive_labels\n'
  for name in ('balanced_train', 'eval'):
    (folder / f'{name}_segments.csv').write_text(
      head + 'abc, 0.000, 10.000, "/m/299,/m/1"\ndef, 5.000, 15.000, "/m/7"\n'
    )
  return folder


def test_it_is_a_release_with_the_label_sets_of_the_lists(lists, tmp_path):
  out = tmp_path / 'out'
  rehearsal.make(str(lists), str(out), clips=50, files=4)
  for split in ('unbal_train', 'bal_train', 'eval'):
    assert len(audioset_tfrecord.list_files(str(out), split)) == 4
    audioset_tfrecord.pack(str(out), split, str(tmp_path / split))
    examples = Examples.load(str(tmp_path / split))
    assert len(examples) == 50 and not examples.skipped
    assert len(set(examples.ids)) == 50
    hot = examples.labels.multi_hot()
    found = {tuple(np.flatnonzero(row)) for row in hot}
    assert found == {(7,), (1, 299)}
    assert (examples.n_segments == 10).all()
  # The classes can be told apart.
  seven = examples.embeddings[hot[:, 7]].mean((0, 1))
  other = examples.embeddings[~hot[:, 7]].mean((0, 1))
  assert np.abs(seven - other).mean() > 10


def test_what_is_there_is_not_written_over(lists, tmp_path):
  with pytest.raises(UserError, match='exists'):
    rehearsal.make(str(lists), str(lists), clips=5, files=2)
  (lists / 'eval_segments.csv').unlink()
  with pytest.raises(UserError, match=r'no eval_segments\.csv'):
    rehearsal.make(str(lists), str(tmp_path / 'out'), clips=5, files=2)
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  'name',
  ['class_labels_indices.csv', 'eval_segments.csv', 'other.csv'],
)
def test_a_pipe_among_the_lists_is_not_waited_for(lists, tmp_path, name):
  (lists / name).unlink(missing_ok=True)
  os.mkfifo(lists / name)
  with pytest.raises(UserError, match=f'{name}: a pipe, not a file'):
    rehearsal.make(str(lists), str(tmp_path / 'out'), clips=5, files=2)
  assert not (tmp_path / 'out').exists()
