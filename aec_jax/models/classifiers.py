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

# Up to so many segments an LSTM keeps all that it computes for its gradient.
_KEPT = 10
# Segments after which it leaves out the examples that are over.
_BLOCK = 4

LSTM_ACTIVATIONS = {'tanh': jnp.tanh, 'relu': nn.relu}


class HiddenLayer(nn.Module):
  """Dense, batch norm, ReLU, dropout: one of h1, h2, h3."""

  features: int
  dropout: float
  batch_norm: bool
  bn_momentum: float
  dtype: str
  activations: str
  axis_name: str | None

  @nn.compact
  def __call__(self, x, mask, train):
    init = nn.initializers.he_uniform()
    dense = Dense(
      self.features, self.dtype, self.activations, init, name='dense'
    )
    x = dense(x)
    if self.batch_norm:
      x = MaskedBatchNorm(
        self.bn_momentum, axis_name=self.axis_name, name='norm'
      )(x, mask, train)
    return Dropout(self.dropout, self.axis_name, relu=True)(x, train)


class Classifier(nn.Module):
  """What the three classifiers share.

  Attributes:
    classes: number of classes K.
    hidden: units of each hidden layer.
    dropout: share of the units dropped after each hidden layer.
    batch_norm: whether hidden layers are normalised before their ReLU.
    bn_momentum: share of the running statistics kept at each step.
    dtype: operand precision of the matrix products; sums are float32.
    activations: of `layers.activation_dtype`, what layers hand on.
    axis_name: the device axis of `pmap`, None outside one.
  """

  classes: int
  hidden: tuple[int, ...] = (600, 600, 600)
  dropout: float = 0.4
  batch_norm: bool = True
  bn_momentum: float = 0.9
  dtype: str = 'float32'
  activations: str = 'float32'
  axis_name: str | None = None

  def hidden_layer(self, level: int) -> HiddenLayer:
    """The hidden layer of a level, counted from 1."""
    return HiddenLayer(
      features=self.hidden[level - 1],
      dropout=self.dropout,
      batch_norm=self.batch_norm,
      bn_momentum=self.bn_momentum,
      dtype=self.dtype,
      activations=self.activations,
      axis_name=self.axis_name,
      name=f'hidden{level}',
    )

  def starts(self, segments: int) -> range:
    """Where a batch of such examples is cut, along its segments.

    There a module that has any takes an argument `rows` of `__call__`.
    """
    del segments
    return range(0)

  def output_layer(self) -> Dense:
    return Dense(self.classes, self.dtype, name='output')


class DNN(Classifier):
  """Hidden layers per segment, mean over the valid segments (Table 5)."""

  @nn.compact
  def __call__(self, x, mask, train: bool = False):
    for level in range(1, len(self.hidden) + 1):
      x = self.hidden_layer(level)(x, mask, train)  # (batch, segment, unit)
    weight = mask.astype(jnp.float32)[..., None]
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
  def __call__(self, x, mask, train: bool = False, rows: tuple[int, ...] = ()):
    """Logits (batch, class).

    Args:
      x, mask, train: as of all classifiers.
      rows: at each of `starts`, how many examples at most are longer; empty:
        maybe all.
    """
    x = self._last_output(x, mask, rows)  # (batch, unit)
    if self.batch_norm:
      x = MaskedBatchNorm(
        self.bn_momentum, axis_name=self.axis_name, name='norm'
      )(x, mask.any(1), train)
    x = Dropout(self.dropout, self.axis_name)(x, train)
    return self.output_layer()(x)

  def starts(self, segments: int) -> range:
    """See `Classifier`."""
    return range(0, segments, _BLOCK) if segments > _KEPT else range(0)

  def _last_output(self, x, mask, rows):
    (units,) = self.hidden
    # Gates in the order input, forget, cell, output.
    gates = Dense(
      4 * units, self.dtype, self.activations, bias_init=_forget_one,
      name='input',
    )  # fmt: skip
    recurrent = self.param('recurrent', _orthogonal_blocks, (units, 4 * units))
    c = jnp.zeros((x.shape[0], units))
    h = c.astype(self.activations)
    starts = self.starts(x.shape[1])
    if not starts or self.is_initializing():
      run = self._run(recurrent, lambda gate: gate)
      return run((h, c), gates(x), mask)[0]
    # Of 20 members and 31 segments, all that a step computes takes 22 GB.
    w = gates.variables['params']
    run = self._run(
      recurrent,
      lambda x: product(x, w['kernel'], self.dtype) + w['bias'],
      again=True,
    )
    if not rows:
      return run((h, c), x, mask)[0]
    # The longest first, so that those that are over are the last rows.
    order = jnp.argsort(-jnp.sum(mask, 1))
    x, mask = x[order], mask[order]
    for start, n in zip(starts, rows, strict=True):
      span = slice(start, start + _BLOCK)
      now = run((h[:n], c[:n]), x[:n, span], mask[:n, span])
      h, c = (
        jnp.concatenate([new, old[n:]])
        for new, old in zip(now, (h, c), strict=True)
      )
    return h[jnp.argsort(order)]

  def _run(self, recurrent, gates, again=False):
    """A function from (h, c), x and mask to (h, c) after these segments.

    Args:
      recurrent: the kernel.
      gates: what is made of a segment (batch, feature) of x.
      again: whether the gradient computes all anew but h and c.
    """
    activation = LSTM_ACTIVATIONS[self.activation]

    def step(carry, inputs):
      h, c = carry
      x, valid = inputs
      gate = gates(x) + product(h, recurrent, self.dtype)
      i, f, g, o = jnp.split(gate, 4, -1)
      new_c = nn.sigmoid(f) * c + nn.sigmoid(i) * activation(g)
      new_h = nn.sigmoid(o) * activation(new_c)
      new_h = new_h.astype(h.dtype)
      valid = valid[:, None]
      return (jnp.where(valid, new_h, h), jnp.where(valid, new_c, c)), None

    if again:
      step = jax.checkpoint(step, prevent_cse=False)

    def run(carry, x, mask):
      inputs = jnp.swapaxes(x, 0, 1), jnp.swapaxes(mask, 0, 1)
      return lax.scan(step, carry, inputs, unroll=1 if again else _KEPT)[0]

    return run


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


@jax.custom_vjp
def attend(f: jax.Array, v: jax.Array) -> jax.Array:
  """sum_t f softmax_t v, of (batch, segment, class) to (batch, class)."""
  return _attend_forward(f, v)[0]


def _attend_forward(f, v):
  e = jnp.exp(v - jnp.max(v, 1, keepdims=True))
  total = jnp.sum(e, 1)
  y = jnp.sum(e * f, 1) / total
  return y, (f, e, total, y)


def _attend_backward(residuals, grad):
  f, e, total, y = residuals
  grad_f = (grad / total)[:, None] * e
  return grad_f, grad_f * (f - y[:, None])


# JAX's own gradient goes over the segments three times more: it sums what the
# normalisation by `total` takes away, which y tells.
attend.defvjp(_attend_forward, _attend_backward)


class Attention(nn.Module):
  """y_k = sum_t p_k(x_t) f_k(x_t), p_k = softmax_t v_k (thesis eq. 22)."""

  classes: int
  f_activation: str
  dtype: str
  activations: str = 'float32'
  heads: int = 1

  @nn.compact
  def __call__(self, h, mask):
    """h (batch, segment, unit), mask (batch, segment) -> y (batch, head ×
    class), and what y is the sum of, p f (batch, segment, head × class).
    """
    width = self.heads * self.classes
    dense = Dense(2 * width, self.dtype, self.activations, name='fv')
    # (batch, segment, head × class) each; what follows is one pass over them.
    f, v = jnp.split(dense(h), 2, -1)
    f, v = (x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in (f, v))
    # Finite, for examples without a valid segment.
    v = jnp.where(mask[..., None], v, _MASKED)
    p, f = nn.softmax(v, axis=1), F_ACTIVATIONS[self.f_activation](f)
    of_heads = p.reshape(*p.shape[:2], self.heads, self.classes)
    self.sow('intermediates', 'p', jnp.mean(of_heads, 2))
    return attend(f, v), p * f


class MultiLevelAttention(Classifier):
  """An attention module on each chosen level, then the output layer (Table 7).

  Attributes:
    levels: which hidden layers have an attention module, counted from 1.
    f_activation: a key of `F_ACTIVATIONS`.
    pool_norm: whether the pooled y is batch-normalised before the output layer.
    heads: attentions of a level side by side, each with its own f and v.

  Where the collection `located` is mutable, it gets (batch, segment, class)
  logits of the segments, whose mean over the valid ones is the logits: what
  follows p f is linear.
  """

  levels: tuple[int, ...] = (1, 2, 3)
  f_activation: str = 'relu'
  pool_norm: bool = False
  heads: int = 1

  @nn.compact
  def __call__(self, x, mask, train: bool = False):
    pooled, located = [], []
    for level in range(1, max(self.levels) + 1):
      x = self.hidden_layer(level)(x, mask, train)  # (batch, segment, unit)
      if level in self.levels:
        attention = Attention(
          self.classes,
          self.f_activation,
          self.dtype,
          self.activations,
          self.heads,
          name=f'attention{level}',
        )
        y, parts = attention(x, mask)
        pooled.append(y)
        located.append(parts)
    norm = self.pool_norm and MaskedBatchNorm(
      self.bn_momentum, axis_name=self.axis_name, name='pool_norm'
    )
    output = self.output_layer()
    if self.is_mutable_collection('located') and not self.is_initializing():
      count = jnp.sum(mask, 1)[:, None, None]
      parts = jnp.concatenate(located, -1) * count
      parts = norm(parts, mask, False) if norm else parts
      self.sow('located', 'logits', output(parts))
    y = jnp.concatenate(pooled, -1)  # (batch, level × head × class)
    if norm:
      y = norm(y, mask.any(1), train)
    return output(y)


# By the name that `config.model.name` gives.
CLASSIFIERS = {
  'dnn': DNN,
  'lstm': LSTM,
  'attention': MultiLevelAttention,
}
