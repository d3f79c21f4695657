"""Tiny AudioSet-shaped data, made once."""

import os
from importlib import metadata
from pathlib import Path

# Tests compile the same tiny programs again and again.
os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(Path(__file__).parents[1] / '.pytest_cache' / 'xla'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')
# And compile more than they compute: less optimised takes 2.5 times less, and
# without the emitters of fused loops that go through MLIR 2.5 times less again;
# jaxlib 0.11 crashes without them. XLA_FLAGS= has the tests compile as a user's
# programs are, as for the slow ones.
os.environ.setdefault(
  'XLA_FLAGS',
  '--xla_backend_optimization_level=0'
  ' --xla_llvm_disable_expensive_passes=true'
  + ' --xla_cpu_use_fusion_emitters=false'
  * metadata.version('jaxlib').startswith('0.10.'),
)
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import bundle_data
import hypothesis
import pytest

from aec_jax.datasets import audioset_tfrecord, synthetic_audioset
from aec_jax.datasets.examples import Examples

# A busy machine takes longer than 200 ms over any example.
hypothesis.settings.register_profile('busy', deadline=None)
hypothesis.settings.load_profile('busy')


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
  """Compiled programs are not kept in the user's cache folder."""
  folder = tmp_path_factory.getbasetemp() / 'compiled'
  monkeypatch.setenv('XDG_CACHE_HOME', str(folder))


@pytest.fixture(scope='session')
def audioset_dir(tmp_path_factory):
  """A release-shaped folder with 5 classes and all three splits."""
  folder = tmp_path_factory.mktemp('data') / 'audioset'
  synthetic_audioset.make(
    str(folder), classes=5, train=90, unbalanced=120, evaluation=70
  )
  return folder


@pytest.fixture(scope='session')
def synthetic_dir(tmp_path_factory):
  """A release-shaped folder with 8 classes and all three splits."""
  folder = tmp_path_factory.mktemp('synthetic') / 'audioset'
  synthetic_audioset.make(folder, **bundle_data.SYNTHETIC_SIZES)
  return folder


@pytest.fixture(scope='session')
def synthetic_set(synthetic_dir, tmp_path_factory):
  """What the reader packs of it, by split."""
  packed = {}
  for split in audioset_tfrecord.SPLITS:
    out = tmp_path_factory.mktemp(split)
    audioset_tfrecord.pack(synthetic_dir, split, out)
    packed[split] = Examples.load(out)
  return packed


@pytest.fixture(scope='session')
def dcase_run(tmp_path_factory):
  """A tiny experiment on clips: config, results, work folder.

  Its members take pieces of one and of two segments.
  """
  root = tmp_path_factory.mktemp('dcase')
  config, results = bundle_data.dcase_run(root, segments=(1, 2))
  return config, results, root / 'dcase_l6'


@pytest.fixture(scope='session')
def audioset_run(tmp_path_factory, audioset_dir):
  """A tiny experiment on embeddings: config, results, work folder."""
  root = tmp_path_factory.mktemp('audioset')
  config, results = bundle_data.audioset_run(root, audioset_dir)
  return config, results, root / 'audioset'


@pytest.fixture(scope='session')
def hearing(audioset_run, tmp_path_factory):
  """A bundle of embeddings and what it takes to hear: three paths."""
  root = tmp_path_factory.mktemp('vggish')
  return audioset_run[2] / 'bundle', *bundle_data.write_vggish(root)
