"""Which of a clip's segments the attention models of a bundle heed."""

import numpy as np
import pytest

from aec_jax.audio.stream import Facts
from aec_jax.bundle import store
from aec_jax.bundle.embedded import Stretch
from aec_jax.bundle.network import Network
from aec_jax.bundle.tagger import Tagger
from aec_jax.report.listening import Embedded, attention


@pytest.fixture(scope='module')
def stored(dcase_run):
  return store.read(dcase_run[2], hears=False)


@pytest.fixture(scope='module')
def clips(stored):
  """Of one, two and five segments; of two lengths of pieces is the bundle."""
  rng = np.random.default_rng(0)
  extractors, size = len(stored.info['extractors']), 128
  return [
    rng.standard_normal((extractors, n, size)).astype(np.float32)
    for n in (1, 2, 5)
  ]


def test_it_is_what_a_tagger_says_relative_to_even_attention(stored, clips):
  assert stored.extractors == [] and len(stored.ensembles) == 2
  found = attention(
    Network(stored.info, [], stored.ensembles), [Embedded(x) for x in clips]
  )
  tagger = Tagger(stored.info, [], stored.ensembles)
  for values, tags in zip(
    found,
    tagger.tag_embedded(
      Stretch('', Facts(), 0, True, [*np.moveaxis(x, 1, 0)]) for x in clips
    ),
    strict=True,
  ):
    expected = tags.attention / tags.uniform[:, None]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
  np.testing.assert_allclose(found[0], 1, rtol=1e-5)
  assert np.ptp(found[2]) > 0.01


def test_members_of_other_folds_say_nothing_of_a_clip(stored, clips):
  network = Network(stored.info, [], stored.ensembles)
  folds = {name.partition('/')[2] for name in stored.ensembles[0].members}
  assert len(folds) > 1
  alone = [
    attention(network, [Embedded(clips[2], fold=int(fold))])[0]
    for fold in folds
  ]
  assert np.ptp(alone, axis=0).max() > 1e-3
  (whole,) = attention(network, [Embedded(clips[2])])
  np.testing.assert_allclose(np.mean(alone, 0), whole, rtol=1e-4)
