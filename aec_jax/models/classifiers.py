"""The classifiers over VGGish embeddings: DNN, LSTM, multi-level attention.

Every model maps embeddings (batch, segment, 128) and a mask (batch, segment) of
the valid segments to logits (batch, class). Thesis §5.1.3, Tables 5 to 7.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from aec_jax.models.layers import Dense, Dropout, MaskedBatchNorm, product

# What a classification module f of eq. 22 may be passed through. 'relu' is the
# thesis's word; 'sigmoid' is what its references 34 and 73 have.
F_ACTIVATIONS = {
  'linear': lambda x: x,
  'relu': nn.relu,
  'sigmoid': nn.sigmoid,
}

# Attention's logit of a segment that is not valid.
_MASKED = -1e30

LSTM_ACTIVATIONS = {'tanh': jnp.tanh, 'relu': nn.relu}


class HiddenLayer(nn.Module):
  """Dense, batch norm, ReLU, dropout: one of h1, h2, h3."""

  features: int
  dropout: float
  batch_norm: bool
  bn_momentum: float
  dtype: str
  axis_name: str | None

  @nn.compact
  def __call__(self, x, mask, train):
    x = Dense(
      self.features, self.dtype, nn.initializers.he_uniform(), name='dense'
    )(x)
    if self.batch_norm:
      x = MaskedBatchNorm(
        self.bn_momentum, axis_name=self.axis_name, name='norm'
      )(x, mask, train)
    return Dropout(self.dropout, self.axis_name)(nn.relu(x), train)


class Classifier(nn.Module):
  """What the three classifiers share.

  Attributes:
    classes: number of classes K.
    hidden: units of each hidden layer.
    dropout: share of the units dropped after each hidden layer.
    batch_norm: whether hidden layers are normalised before their ReLU.
    bn_momentum: share of the running statistics kept at each step.
    dtype: operand precision of the matrix products; sums are float32.
    axis_name: the device axis of `pmap`, None outside one.
  """

  classes: int
  hidden: tuple[int, ...] = (600, 600, 600)
  dropout: float = 0.4
  batch_norm: bool = True
  bn_momentum: float = 0.9
  dtype: str = 'float32'
  axis_name: str | None = None

  def hidden_layer(self, level: int) -> HiddenLayer:
    """The hidden layer of a level, counted from 1."""
    return HiddenLayer(
      features=self.hidden[level - 1],
      dropout=self.dropout,
      batch_norm=self.batch_norm,
      bn_momentum=self.bn_momentum,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name=f'hidden{level}',
    )

  def output_layer(self) -> Dense:
    return Dense(self.classes, self.dtype, name='output')


class DNN(Classifier):
  """Hidden layers per segment, mean over the valid segments (Table 5)."""

  @nn.compact
  def __call__(self, x, mask, train: bool = False):
    for level in range(1, len(self.hidden) + 1):
      x = self.hidden_layer(level)(x, mask, train)  # (batch, segment, unit)
    weight = mask.astype(x.dtype)[..., None]
    # An example that only fills up a batch has no valid segment.
    count = jnp.maximum(jnp.sum(weight, 1), 1)
    x = jnp.sum(x * weight, 1) / count  # (batch, unit)
    return self.output_layer()(x)


class LSTM(Classifier):
  """One LSTM layer, its output at the last valid segment (Table 6).

  Attributes:
    activation: of the cell's input and output, 'tanh' or 'relu'.
  """

  hidden: tuple[int, ...] = (600,)
  activation: str = 'tanh'

  @nn.compact
  def __call__(self, x, mask, train: bool = False):
    x = self._last_output(x, mask)  # (batch, unit)
    if self.batch_norm:
      x = MaskedBatchNorm(
        self.bn_momentum, axis_name=self.axis_name, name='norm'
      )(x, mask.any(1), train)
    x = Dropout(self.dropout, self.axis_name)(x, train)
    return self.output_layer()(x)

  def _last_output(self, x, mask):
    (units,) = self.hidden
    activation = LSTM_ACTIVATIONS[self.activation]
    # Gates in the order input, forget, cell, output.
    gates = Dense(4 * units, self.dtype, bias_init=_forget_one, name='input')(x)
    recurrent = self.param('recurrent', _orthogonal_blocks, (units, 4 * units))

    def step(carry, inputs):
      h, c = carry
      gate, valid = inputs
      i, f, g, o = jnp.split(gate + product(h, recurrent, self.dtype), 4, -1)
      new_c = nn.sigmoid(f) * c + nn.sigmoid(i) * activation(g)
      new_h = nn.sigmoid(o) * activation(new_c)
      valid = valid[:, None]
      return (jnp.where(valid, new_h, h), jnp.where(valid, new_c, c)), None

    zeros = jnp.zeros((x.shape[0], units))
    inputs = jnp.swapaxes(gates, 0, 1), jnp.swapaxes(mask, 0, 1)
    (h, _), _ = lax.scan(step, (zeros, zeros), inputs, unroll=10)
    return h


def _forget_one(key, shape, dtype=jnp.float32):
  """Zero biases but 1 for the forget gate, so that memory survives at first."""
  del key
  units = shape[0] // 4
  return jnp.zeros(shape, dtype).at[units : 2 * units].set(1.0)


def _orthogonal_blocks(key, shape, dtype=jnp.float32):
  """One orthogonal matrix for each of the four gates."""
  keys = jax.random.split(key, 4)
  square = (shape[0], shape[1] // 4)
  init = nn.initializers.orthogonal()
  # One after another: side by side, jaxlib's QR factorisations wait for each
  # other for ever where the processor has no more cores than there are of them.
  blocks = lax.map(lambda key: init(key, square, dtype), keys)
  return jnp.concatenate(blocks, 1)


class Attention(nn.Module):
  """y_k = sum_t p_k(x_t) f_k(x_t), p_k = softmax_t v_k (thesis eq. 22)."""

  classes: int
  f_activation: str
  dtype: str

  @nn.compact
  def __call__(self, h, mask):
    """h (batch, segment, unit), mask (batch, segment) -> y (batch, class)."""
    fv = Dense(2 * self.classes, self.dtype, name='fv')(h)
    f, v = jnp.split(fv, 2, -1)  # (batch, segment, class) each
    # Finite, for examples without a valid segment.
    v = jnp.where(mask[..., None], v, _MASKED)
    p = nn.softmax(v, axis=1)
    self.sow('intermediates', 'p', p)
    return jnp.sum(p * F_ACTIVATIONS[self.f_activation](f), 1)


class MultiLevelAttention(Classifier):
  """An attention module on each chosen level, then the output layer (Table 7).

  Attributes:
    levels: which hidden layers have an attention module, counted from 1.
    f_activation: a key of `F_ACTIVATIONS`.
    pool_norm: whether the pooled y is batch-normalised before the output layer.
  """

  levels: tuple[int, ...] = (1, 2, 3)
  f_activation: str = 'relu'
  pool_norm: bool = False

  @nn.compact
  def __call__(self, x, mask, train: bool = False):
    pooled = []
    for level in range(1, max(self.levels) + 1):
      x = self.hidden_layer(level)(x, mask, train)  # (batch, segment, unit)
      if level in self.levels:
        attention = Attention(
          self.classes,
          self.f_activation,
          self.dtype,
          name=f'attention{level}',
        )
        pooled.append(attention(x, mask))
    y = jnp.concatenate(pooled, -1)  # (batch, level × class)
    if self.pool_norm:
      y = MaskedBatchNorm(
        self.bn_momentum, axis_name=self.axis_name, name='pool_norm'
      )(y, mask.any(1), train)
    return self.output_layer()(y)


# By the name that `config.model.name` gives.
CLASSIFIERS = {
  'dnn': DNN,
  'lstm': LSTM,
  'attention': MultiLevelAttention,
}
