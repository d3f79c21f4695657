"""Flax modules, by name."""

import dataclasses
from typing import Any

from aec_jax.errors import UserError, check_choice
from aec_jax.models import classifiers
from aec_jax.models.classifiers import CLASSIFIERS
from aec_jax.models.layers import activation_dtype, product_dtype
from aec_jax.run.fields import DTYPES

# Fields of a module that are none of the config's.
_OURS = ('classes', 'activations', 'axis_name', 'parent', 'name')
# Defaults of a config where they are others than the module's own.
_DEFAULTS = {'dtype': 'auto'}
# What a field of a model may be.
_CHOICES = {
  'dtype': DTYPES,
  'f_activation': tuple(classifiers.F_ACTIVATIONS),
  'activation': tuple(classifiers.LSTM_ACTIVATIONS),
}


def defaults(name: str) -> dict:
  """The fields that a config has of a classifier, with their defaults.

  Raises:
    UserError: there is none of that name.
  """
  check_choice('config.model.name', name, CLASSIFIERS)
  return {
    field.name: _DEFAULTS.get(field.name, field.default)
    for field in dataclasses.fields(CLASSIFIERS[name])
    if field.name not in _OURS
  }


def classifier(config, classes: int, axis_name: str | None = None):
  """The classifier of a config's `model` section.

  Args:
    config: `name`, a key of `CLASSIFIERS`, and the module's own fields.
    classes: number of classes.
    axis_name: the device axis when the module runs inside `pmap`.

  Raises:
    UserError: the name or a field is unknown, or a value is none it may have.
  """
  fields: dict[str, Any] = {
    key: tuple(value) if isinstance(value, list | tuple) else value
    for key, value in config.items()
  }
  name = fields.pop('name')
  check_choice('config.model.name', name, CLASSIFIERS)
  for field in fields.keys() & _CHOICES.keys():
    check_choice(f'config.model.{field}', fields[field], _CHOICES[field])
  _check_layers(name, fields)
  activations = activation_dtype(fields.get('dtype', 'float32'))
  if 'dtype' in fields:
    fields['dtype'] = product_dtype(fields['dtype'])
  try:
    return CLASSIFIERS[name](
      classes=classes,
      activations=activations,
      axis_name=axis_name,
      **fields,
    )
  except TypeError as error:
    raise UserError(f'config.model: {error}') from error


def _check_layers(name, fields):
  hidden = fields.get('hidden', ())
  levels = fields.get('levels', (1,))
  if not hidden or not all(isinstance(n, int) and n > 0 for n in hidden):
    raise UserError(
      f'config.model.hidden is {hidden}; it takes the units of each layer, such'
      ' as (600, 600)'
    )
  if name == 'lstm' and len(hidden) != 1:
    raise UserError(
      f'config.model.hidden is {hidden}; an LSTM has one layer: (600,)'
    )
  if not levels or not set(levels) <= set(range(1, len(hidden) + 1)):
    raise UserError(
      f'config.model.levels is {levels}; it must name some of the'
      f' {len(hidden)} hidden layers, counted from 1'
    )
