"""Tiny AudioSet-shaped data, made once."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import pytest

from aec_jax.datasets import synthetic_audioset


@pytest.fixture(scope='session')
def audioset_dir(tmp_path_factory):
  """A release-shaped folder with 5 classes and all three splits."""
  folder = tmp_path_factory.mktemp('data') / 'audioset'
  synthetic_audioset.make(
    str(folder), classes=5, train=90, unbalanced=120, evaluation=70
  )
  return folder
