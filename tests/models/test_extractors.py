"""The table of extractors: what each asks its section of a config for."""

import importlib

import jax
import numpy as np
import pytest

from aec_jax import presets
from aec_jax.errors import UserError
from aec_jax.models import extractors
from aec_jax.models.extractors import EXTRACTORS

# Another value than the default.
OTHER = {
  'hidden': 50,
  'embedding_activation': 'relu',
  'batch_norm': False,
  'dtype': 'bfloat16',
}


class Asked:
  """A section that remembers which of its fields were read."""

  def __init__(self, section):
    self.section, self.names = section, set()

  def __getattr__(self, name):
    self.names.add(name)
    return getattr(self.section, name)


def section_of(model):
  """The section `extractor`, resolved."""
  config = presets.dcase()
  config.extractor.model = model
  return presets.resolve(config).extractor


@pytest.mark.parametrize('model', EXTRACTORS)
def test_an_extractor_takes_what_its_module_asks_for(model):
  asked = Asked(section_of(model))
  if EXTRACTORS[model].quantised:  # it is not trained
    extractors.embedder(asked)
  else:
    extractors.example_classifier(asked, 3)
  row = EXTRACTORS[model]
  assert {n for n in OTHER if row.has_use_for(n)} == asked.names & OTHER.keys()
  assert row.has_use_for('width') and row.has_use_for('batch_size')


@pytest.mark.parametrize('model', EXTRACTORS)
@pytest.mark.parametrize('name', OTHER)
def test_what_an_extractor_does_not_take_is_refused(model, name):
  config = presets.dcase()
  config.extractor.model = model
  config.extractor[name] = OTHER[name]
  if EXTRACTORS[model].has_use_for(name):
    assert presets.resolve(config).extractor[name] == OTHER[name]
    return
  with pytest.raises(UserError) as refused:
    presets.resolve(config)
  assert str(refused.value) == (
    f'config.extractor.{name} is {OTHER[name]}; the extractor {model!r} has no'
    ' use for it: leave it out'
  )


def test_a_new_extractor_s_row_says_what_it_takes(monkeypatch):
  """One that does not say is refused `batch_norm`, and not silently."""
  row = extractors.Extractor(lambda c, classes, axis_name: None)
  monkeypatch.setitem(EXTRACTORS, 'new', row)
  taken = {name for name in OTHER if row.has_use_for(name)}
  assert taken == {'hidden', 'dtype'}


def precisions_of(section):
  """Of the products of all modules, and between layers."""
  if EXTRACTORS[section.model].quantised:
    found = [extractors.embedder(section)]
  else:
    module = extractors.example_classifier(section, 3)
    found = [module, getattr(module, 'extractor', module)]
  return {
    getattr(m, name)
    for m in found
    for name in ('dtype', 'activations')
    if hasattr(m, name)
  }


@pytest.mark.parametrize('model', EXTRACTORS)
def test_auto_is_by_the_device(model, monkeypatch):
  section = section_of(model)
  assert section.dtype == 'auto'
  assert precisions_of(section) == {'float32'}
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  # The released embeddings are float32's.
  released = EXTRACTORS[model].quantised
  assert precisions_of(section) == {'float32' if released else 'bfloat16'}
  if not released:
    section.dtype = 'float32'
    assert precisions_of(section) == {'float32'}


def test_auto_gives_float32_s_bits_on_a_processor():
  x = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32)
  found = []
  for dtype in ('auto', 'float32'):
    section = section_of('vggish')
    section.dtype, section.width = dtype, 1 / 16
    module = extractors.example_classifier(section, 3)
    variables = jax.jit(module.init)(jax.random.key(0), x)
    found.append(jax.jit(module.apply)(variables, x))
  np.testing.assert_array_equal(*found)


@pytest.mark.parametrize('name', ['esc10_pooled', 'dcase_baseline'])
def test_what_the_size_of_the_data_fills_in_is_no_mistake(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  assert presets.resolve(config).extractor.batch_norm is not None
