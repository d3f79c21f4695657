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
    ('mid,display_name\n/m/0\n', 'a,0,1,/m/0\n', 'not as its heading'),
    ('mid,display_name\n"/m/0', 'a,0,1,/m/0\n', 'is no CSV'),
    ('mid,display_name\n/m/0,a\n/m/0,b', 'a,0,1,/m/0\n', 'twice'),
    ('mid,display_name\n/m/0,a\n', 'a,0,inf,/m/0\n', 'not YTID, start'),
    ('mid,display_name\n/m/0,a\n', 'a,0,1,"/m/0\n', 'is no CSV'),
    ('mid,display_name\n/m/0,a\n', 'a,0,1,\udcff\n', 'no text in UTF-8'),
  ],
)
def test_wrong_lists(tmp_path, classes, segments, message):
  for name, text in (('c.csv', classes), ('s.csv', segments)):
    (tmp_path / name).write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(UserError, match=message):
    recordings.of_segments(
      str(tmp_path / 's.csv'), '{id}', str(tmp_path / 'c.csv')
    )


def test_folders_of_classes(tmp_path):
  for label in ('dog', 'rain'):
    (tmp_path / label).mkdir()
    soundfile.write(tmp_path / label / f'{label}.wav', np.ones(100), 16000)
  found, classes = recordings.of_folder(str(tmp_path))
  assert [(r.id, r.labels) for r in found] == [
    ('dog.wav', (0,)), ('rain.wav', (1,))
  ]  # fmt: skip
  assert [name for _, name in classes] == ['dog', 'rain']
