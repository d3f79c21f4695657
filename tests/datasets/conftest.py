"""What several tests of lists take."""

import pytest
from list_data import wav


@pytest.fixture
def root(tmp_path):
  """A folder with audio/a.wav to audio/d.wav."""
  for name in 'abcd':
    wav(tmp_path / 'audio' / f'{name}.wav')
  return tmp_path
