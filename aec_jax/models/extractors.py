"""The extractors, by name: what turns an example's log-mel into an embedding.

An extractor is a row of `EXTRACTORS`; nothing else of the project knows its
size, its front end or its layers. A new one is a module and a row.
"""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp

from aec_jax.audio import FRONT_END, FrontEnd
from aec_jax.errors import UserError, check_choice
from aec_jax.models import convert, pooled, vggish
from aec_jax.models.layers import Dense, activation_dtype, product_dtype
from aec_jax.run import fields


@dataclasses.dataclass(frozen=True)
class Extractor:
  """A kind of extractor.

  Attributes:
    module: of a config's section `extractor`, the number of classes and the
      device axis; maps log-mel (example, frame, band) to embeddings (example,
      feature), or to logits where it `classifies`.
    front_end: of the examples that it takes.
    classifies: whether it is a classifier of examples by itself.
    quantised: whether embeddings are AudioSet's: PCA, and uint8.
    pretrained: reads a file of weights for the section; None: there are none.
    halvings: how often its pools halve the frames, which are to divide evenly.
    takes: those of `_OPTIONAL` that `module` asks the section for.
  """

  module: Callable[[SimpleNamespace, int, str | None], nn.Module]
  front_end: FrontEnd = FRONT_END
  classifies: bool = False
  quantised: bool = False
  pretrained: Callable[[str, SimpleNamespace], dict] | None = None
  halvings: int = 0
  takes: tuple[str, ...] = ('dtype',)

  def has_use_for(self, name: str) -> bool:
    """Whether a field of the section, such as 'hidden', changes anything."""
    if name == 'hidden':  # of `ExampleClassifier`
      return not (self.classifies or self.quantised)
    return name in self.takes or name not in _OPTIONAL


# The section's fields that are of some extractors' layers, and not of others'.
_OPTIONAL = ('hidden', 'embedding_activation', 'batch_norm', 'dtype')


def _vggish(c, classes, axis_name):
  del classes
  return vggish.VGGish(
    c.embedding_activation,
    c.width,
    product_dtype(c.dtype),
    c.batch_norm,
    activations=activation_dtype(c.dtype),
    axis_name=axis_name,
  )


def _baseline(c, classes, axis_name):
  del axis_name
  # With He's weights: from the challenge's own it takes very long to start.
  return vggish.BaselineCNN(
    classes, c.width, None, product_dtype(c.dtype), activation_dtype(c.dtype)
  )


def _pooled(c, classes, axis_name):
  return pooled.PooledCNN(
    classes,
    c.width,
    product_dtype(c.dtype),
    activations=activation_dtype(c.dtype),
    axis_name=axis_name,
  )


EXTRACTORS = {
  'vggish': Extractor(
    _vggish,
    pretrained=lambda file, c: convert.load(file, c.width),
    halvings=4,
    takes=('embedding_activation', 'batch_norm', 'dtype'),
  ),
  # AudioSet's release: VGGish before any last activation, then PCA and uint8;
  # in float32 on any device, since the released embeddings are.
  'released': Extractor(
    lambda c, classes, axis_name: vggish.VGGish('linear', c.width or 1.0),
    quantised=True,
    takes=(),
  ),
  'baseline': Extractor(
    _baseline, front_end=vggish.BASELINE_FRONT_END, classifies=True
  ),
  'pooled': Extractor(
    _pooled, front_end=pooled.POOLED_FRONT_END, classifies=True, halvings=4
  ),
}  # fmt: skip


class ExampleClassifier(nn.Module):
  """An extractor, a hidden layer and an output layer (§5.2.2).

  Attributes:
    extractor: log-mel to embeddings.
    classes: number of classes K.
    hidden: units of the layer between the embedding and the output.
    dtype: operand precision of the two layers.
  """

  extractor: nn.Module
  classes: int
  hidden: int = 100
  dtype: str = 'float32'

  @nn.compact
  def __call__(self, x, mask=None, train: bool = False):
    """Log-mel (example, frame, band) -> logits (example, class)."""
    x = self.extractor(x, mask, train)
    init = nn.initializers.he_uniform()
    dense = Dense(self.hidden, self.dtype, kernel_init=init, name='hidden')
    x = nn.relu(dense(x))
    return Dense(self.classes, self.dtype, name='output')(x)


def row(section) -> Extractor:
  """The row of `EXTRACTORS` that a section `extractor` names.

  Raises:
    UserError: there is none.
  """
  check_choice('config.extractor.model', section.model, EXTRACTORS)
  return EXTRACTORS[section.model]


def front_end(section) -> FrontEnd:
  """The front end of the extractor, with the section's frames if it has any."""
  # Older bundles lack the field.
  tail = getattr(section, 'tail', 'drop')
  spec = row(section).front_end._replace(tail=tail)
  if section.frames and section.frames != spec.frames:
    return spec._replace(frames=section.frames, step=section.frames)
  return spec


def embedder(section, axis_name: str | None = None) -> nn.Module:
  """The module from log-mel to embeddings."""
  return row(section).module(section, 0, axis_name)


def embedding_size(section) -> int:
  """Numbers of an embedding."""
  spec = front_end(section)
  example = jnp.zeros((1, spec.frames, spec.bands))
  module = embedder(section)
  out = jax.eval_shape(
    lambda: module.init_with_output(jax.random.key(0), example)[0]
  )
  return out.shape[-1]


def example_classifier(
  section, classes: int, axis_name: str | None = None
) -> nn.Module:
  """What is trained on single examples."""
  found = row(section)
  module = found.module(section, classes, axis_name)
  if found.classifies:
    return module
  dtype = product_dtype(section.dtype)
  return ExampleClassifier(module, classes, section.hidden, dtype)


def extractor_variables(section, variables: dict) -> dict:
  """Of an `example_classifier`'s variables, those that a bundle keeps."""
  if row(section).classifies:
    return {k: v for k, v in variables.items() if v}
  return {k: v['extractor'] for k, v in variables.items() if v}


def pretrained(section) -> dict | None:
  """The parameters that training starts from; None: random ones.

  Raises:
    UserError: the file can't be read or is of another width, or there are no
      such weights for this extractor or this number of frames.
  """
  if section.init == 'random':
    return None
  found = row(section)
  if not section.init:
    raise UserError(
      'config.extractor.init is empty: give the weights that training starts'
      ' from, vggish_model.ckpt or the file that python -m'
      ' aec_jax.models.fetch vggish makes of it; or, to train from nothing,'
      ' --config.extractor.init=random'
    )
  if not found.pretrained:
    raise UserError(
      f'config.extractor.init is {section.init}, but there are no weights for'
      f" a {section.model}: it must be 'random'"
    )
  if front_end(section).frames != found.front_end.frames:
    raise UserError(
      f'config.extractor.init is {section.init}, whose examples have'
      f' {found.front_end.frames} frames, and config.extractor.frames is'
      f" {section.frames}: start from 'random'"
    )
  return found.pretrained(section.init, section)


def check_given(section) -> None:
  """Raises `UserError` for a field that the extractor has no use for.

  Before the fields that are None are filled in by the size of the data: it
  fills them in for every extractor.

  Args:
    section: of a config that `presets.resolve` has not yet filled in.
  """
  found = row(section)
  for name in _OPTIONAL:
    value = section[name]
    default = fields.FIELDS[f'extractor.{name}'].default
    if value != default and not found.has_use_for(name):
      raise UserError(
        f'config.extractor.{name} is {value}; the extractor {section.model!r}'
        ' has no use for it: leave it out'
      )


def check(section) -> None:
  """Raises `UserError` for a section `extractor` that makes no sense.

  Its file of weights is `pretrained`'s to look at.
  """
  check_choice(
    'config.extractor.embedding_activation',
    section.embedding_activation,
    vggish.ACTIVATIONS,
  )
  spec = front_end(section)
  multiple = 1 << row(section).halvings
  if spec.frames % multiple:
    raise UserError(
      f'config.extractor.frames is {spec.frames}; a {section.model} takes'
      f' multiples of {multiple}'
    )
  if section.augment.between_classes and section.augment.mixup_alpha:
    raise UserError(
      'config.extractor.augment has mixup_alpha and between_classes, which are'
      ' two ways of mixing: give one of them'
    )
  for axis, most in (('frames', spec.frames), ('bands', spec.bands)):
    if (widest := section.augment[f'mask_{axis}']) > most:
      raise UserError(
        f'config.extractor.augment.mask_{axis} is {widest}; an example has'
        f' {most} {axis}'
      )
