"""Folders of silent wavs with a list of them."""

import numpy as np
import pytest
import soundfile

from aec_jax.datasets.folders import from_folder
from aec_jax.errors import UserError


def wav(path, seconds=0.001, rate=8000):
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, np.zeros(round(seconds * rate), np.float32), rate)


def tree(root, *files):
  """A folder of wavs at these paths."""
  for file in files:
    wav(root / file)
  return root


def write(root, text, name='labels.csv', encoding='utf-8'):
  (root / name).parent.mkdir(parents=True, exist_ok=True)
  (root / name).write_bytes(text.encode(encoding))


def names_of(clips):
  return {
    clip: tuple(clips.names_of(i)) for i, clip in enumerate(clips.ids.tolist())
  }


def of(root, text, **options):
  write(root, text)
  return names_of(from_folder(root, **options))


def refused(root, text, **options):
  write(root, text)
  return refusal(root, **options)


def refusal(root, **options):
  with pytest.raises(UserError) as error:
    from_folder(root, **options)
  assert '\n' not in str(error.value)
  return str(error.value)
