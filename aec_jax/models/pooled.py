"""A convolutional network that pools over the whole example.

For sets of some hundreds of recordings and no weights to start from: VGGish's
flattened last block has most of its parameters where it matters where in 0.96 s
a sound lies, which small sets do not teach.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from aec_jax.audio import FRONT_END
from aec_jax.models.convolution import max_pool
from aec_jax.models.layers import Dense, MaskedBatchNorm
from aec_jax.models.vggish import Conv, scaled

# Examples of 4.8 s, in frames of 40 ms every 20 ms.
POOLED_FRONT_END = FRONT_END._replace(
  window=640, fft=1024, hop=320, frames=240, step=240
)
# Channels of the blocks, each of which halves frames and bands.
CHANNELS = (32, 64, 128, 256)


class PooledCNN(nn.Module):
  """Blocks of a 3×3 convolution, batch norm, ReLU and a 2×2 max pool.

  Then the mean over bands, and the sum of mean and maximum over frames, as of
  the Cnn networks of Kong et al. 2020 (PANNs, arXiv:1912.10211), whose input,
  too, is normalised band by band.

  Attributes:
    classes: number of classes K.
    width: multiplies the channels.
    dtype: operand precision, 'float32' or 'bfloat16'; sums are float32.
    bn_momentum: share of the running statistics kept at each step.
    activations: of `layers.activation_dtype`, what layers hand on.
    axis_name: the device axis of `pmap`, None outside one.
  """

  classes: int
  width: float = 1.0
  dtype: str = 'float32'
  bn_momentum: float = 0.9
  activations: str = 'float32'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, mask=None, train: bool = False):
    """Log-mel (batch, frame, band), multiples of 16 -> logits (batch, class).

    Args:
      x: log-mel examples.
      mask: (batch,), True where an example is valid; None if all are.
      train: whether batch norm takes this batch's statistics.
    """
    if mask is None:
      mask = jnp.ones(x.shape[:1], bool)
    x = self._norm('input', x, mask, train)[..., None]
    for i, channels in enumerate(CHANNELS, 1):
      features = scaled(channels, self.width)
      conv = Conv(features, 3, self.dtype, self.activations, name=f'conv{i}')
      x = self._norm(f'conv{i}', conv(x), mask, train)
      # ReLU rises, so it may follow the pool, on a quarter of the values.
      x = nn.relu(max_pool(x))
    x = jnp.mean(x.astype(jnp.float32), 2)  # (batch, frame, channel)
    x = jnp.mean(x, 1) + _loudest(x)
    return Dense(self.classes, self.dtype, name='output')(x)

  def _norm(self, name, x, mask, train):
    norm = MaskedBatchNorm(
      self.bn_momentum, axis_name=self.axis_name, name=f'{name}_norm'
    )
    return norm(x, mask, train)


@jax.custom_vjp
def _loudest(x: jax.Array) -> jax.Array:
  """The maximum of (batch, frame, channel) over frames.

  Its gradient goes to the first of the largest. JAX's own is divided by how
  many there are, by comparing with the maximum: none, and so NaN, where XLA
  works the values out anew and rounds them otherwise.
  """
  return jnp.max(x, 1)


def _loudest_forward(x):
  return _loudest(x), x


def _loudest_backward(x, grad):
  at = jnp.argmax(x, 1, keepdims=True)
  here = jnp.arange(x.shape[1])[:, None] == at
  return (jnp.where(here, grad[:, None], 0),)


_loudest.defvjp(_loudest_forward, _loudest_backward)
