"""Recordings to embed, by segment lists and folders."""

import numpy as np
import pytest
import soundfile

from aec_jax.datasets import recordings
from aec_jax.errors import UserError


@pytest.mark.parametrize(
  ('classes', 'segments', 'message'),
  [
    ('', 'a,0,1,/m/0\n', 'no columns mid and display_name'),
    ('mid,display_name\n/m/0\n', 'a,0,1,/m/0\n', 'display_name: empty'),
    ('mid,display_name\n"/m/0', 'a,0,1,/m/0\n', 'row 2: unexpected end'),
    ('mid,display_name\n/m/0,a\n/m/0,b', 'a,0,1,/m/0\n', 'twice'),
    ('mid,display_name\n/m/0,a\n', 'a,0,inf,/m/0\n', 'not YTID, start'),
    ('mid,display_name\n/m/0,a\n', '#\na,0,1,/m/1\n', "row 2.*'/m/1' is not"),
    ('mid,display_name\n/m/0,a\n', 'a,0,1,"/m/0\n', 'row 1: unexpected end'),
    ('mid,display_name\n/m/0,a\n', 'a,0,1,\udcff\n', 'not UTF-8'),
  ],
)
def test_wrong_lists(tmp_path, classes, segments, message):
  for name, text in (('c.csv', classes), ('s.csv', segments)):
    (tmp_path / name).write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(UserError, match=message):
    recordings.of_segments(
      str(tmp_path / 's.csv'), '{id}', str(tmp_path / 'c.csv')
    )


def test_classes_are_in_the_order_of_their_indices(tmp_path):
  (tmp_path / 'c.csv').write_text(
    'index,mid,display_name\n1,/m/1,b\n0,/m/0,a\n'
  )
  (tmp_path / 's.csv').write_text(
    '# a, "remark\nv, 0.5, 1.5, "/m/1,/m/0,/m/1"\n'
  )
  found = recordings.of_segments(
    str(tmp_path / 's.csv'), '{id}_{start}', str(tmp_path / 'c.csv')
  )
  assert found.classes == [('/m/0', 'a'), ('/m/1', 'b')]
  assert found.recordings == [recordings.Recording('v_500', 'v', 0.5, (0, 1))]


def test_folders_of_classes(tmp_path):
  for label in ('dog', 'rain'):
    (tmp_path / label).mkdir()
    soundfile.write(tmp_path / label / f'{label}.wav', np.ones(100), 16000)
  (tmp_path / 'rain/none.wav').touch()
  found = recordings.of_folder(str(tmp_path), 'eval')
  assert [(r.id, r.labels) for r in found.recordings] == [
    ('dog.wav', (0,)), ('rain.wav', (1,))
  ]  # fmt: skip
  assert [name for _, name in found.classes] == ['dog', 'rain']
  assert found.skipped == [{'file': 'rain/none.wav', 'reason': 'empty'}]


def test_a_split_takes_its_clips_of_a_folder(tmp_path):
  for name in 'abcd':
    soundfile.write(tmp_path / f'{name}.wav', np.ones(100), 16000)
  rows = 'a.wav,x,train\nb.wav,y,val\nc.wav,x,test\nd.wav,,train\n'
  (tmp_path / 'labels.csv').write_text(f'file,labels,split\n{rows}')
  train = recordings.of_folder(str(tmp_path), 'unbal_train')
  test = recordings.of_folder(str(tmp_path), 'eval')
  assert [[r.id for r in f.recordings] for f in (train, test)] == [
    ['a.wav'], ['c.wav']
  ]  # fmt: skip
  assert train.classes == test.classes == [('/f/000', 'x'), ('/f/001', 'y')]
  assert train.skipped == [{'file': 'd.wav', 'reason': 'no label'}]
  assert train.notes[-1]['reason'] == (
    'unbal_train is of the train clips, without 1 validation and 1 test'
  )
