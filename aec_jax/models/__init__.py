"""Flax modules, by name."""

from aec_jax.errors import UserError
from aec_jax.models import classifiers, vggish

CLASSIFIERS = {
  'dnn': classifiers.DNN,
  'lstm': classifiers.LSTM,
  'attention': classifiers.MultiLevelAttention,
}


def classifier(config, classes: int, axis_name: str | None = None):
  """The classifier of a config's `model` section.

  Args:
    config: `name`, a key of `CLASSIFIERS`, and the module's own fields.
    classes: number of classes.
    axis_name: the device axis when the module runs inside `pmap`.

  Raises:
    UserError: the name or a field is unknown, or the levels do not exist.
  """
  fields = {
    key: tuple(value) if isinstance(value, list | tuple) else value
    for key, value in config.items()
  }
  name = fields.pop('name')
  if name not in CLASSIFIERS:
    raise UserError(
      f'config.model.name is {name!r}; it must be one of'
      f' {", ".join(sorted(CLASSIFIERS))}'
    )
  try:
    return CLASSIFIERS[name](classes=classes, axis_name=axis_name, **fields)
  except TypeError as error:
    raise UserError(f'config.model: {error}') from error


# Classifiers of single log-mel examples, from a config's `extractor` section.
EXTRACTORS = {
  'vggish': lambda c, classes, axis_name: vggish.VGGishClassifier(
    classes,
    c.hidden,
    c.embedding_activation,
    c.width,
    c.dtype,
    c.batch_norm,
    axis_name=axis_name,
  ),
  # With He's weights: from the challenge's own it takes very long to start.
  'baseline': lambda c, classes, axis_name: vggish.BaselineCNN(
    classes, c.width, None, c.dtype
  ),
}


def extractor(config, classes: int, axis_name: str | None = None):
  """The example classifier of a config's `extractor` section.

  Raises:
    UserError: its model is unknown.
  """
  if config.model not in EXTRACTORS:
    raise UserError(
      f'config.extractor.model is {config.model!r}; it must be one of'
      f' {", ".join(EXTRACTORS)}'
    )
  return EXTRACTORS[config.model](config, classes, axis_name)
