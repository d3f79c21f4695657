"""VGGish, and the DCASE 2018 baseline CNN.

All take log-mel examples (batch, frame, band) and keep their parameters in
float32. Thesis Table 1 and §5.2.2.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from aec_jax.audio import FrontEnd
from aec_jax.models.convolution import convolve, max_pool
from aec_jax.models.layers import Dense, MaskedBatchNorm, add_bias

EMBEDDING_SIZE = 128

# Table 1: blocks of 3×3 convolutions by their names and widths, each block
# followed by a 2×2 max pool. The names are those of the released checkpoint.
CONVOLUTIONS = (
  (('conv1', 64),),
  (('conv2', 128),),
  (('conv3_1', 256), ('conv3_2', 256)),
  (('conv4_1', 512), ('conv4_2', 512)),
)
HIDDEN = (('fc1_1', 4096), ('fc1_2', 4096))

ACTIVATIONS = {'relu': nn.relu, 'linear': lambda x: x}


def scaled(features: int, width: float) -> int:
  """`features` times `width`, to a multiple of 8 and at least 8."""
  return max(8, 8 * round(features * width / 8))


class Conv(nn.Module):
  """A k×k "same" convolution (batch, height, width, channel), stride 1.

  Attributes:
    features: channels that it gives.
    size: k, odd.
    dtype, out: see `convolve`.
  """

  features: int
  size: int = 3
  dtype: str = 'float32'
  out: str = 'float32'
  kernel_init: Callable = nn.initializers.he_uniform()

  @nn.compact
  def __call__(self, x):
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = self.param('bias', nn.initializers.zeros_init(), (self.features,))
    return add_bias(convolve(x, kernel, self.dtype, self.out), bias)


class VGGish(nn.Module):
  """VGGish (Hershey et al. 2017, arXiv:1609.09430): 0.96 s -> 128 numbers.

  Attributes:
    embedding_activation: of the last layer, a key of `ACTIVATIONS`. The
      release of 2018 has 'relu' there; later ones, and the PCA, are 'linear'.
    width: multiplies every layer's width but the last's; 1.0 is Table 1.
    dtype: operand precision, 'float32' or 'bfloat16'; sums are float32.
    batch_norm: whether to normalise before each ReLU. The release does not.
    bn_momentum: share of the running statistics kept at each step.
    activations: of `layers.activation_dtype`, what layers hand on.
    axis_name: the device axis of `pmap`, None outside one.
  """

  embedding_activation: str = 'linear'
  width: float = 1.0
  dtype: str = 'float32'
  batch_norm: bool = False
  bn_momentum: float = 0.9
  activations: str = 'float32'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, mask=None, train: bool = False):
    """Embeds log-mel examples.

    Args:
      x: (batch, 96, 64), or any other multiples of 16 frames and bands.
      mask: (batch,), True where an example is valid; None if all are. Only
        batch norm asks.
      train: whether batch norm takes this batch's statistics.

    Returns:
      (batch, 128).
    """
    if mask is None:
      mask = jnp.ones(x.shape[:1], bool)
    x = x[..., None]  # (batch, 96, 64, 1)
    for block in CONVOLUTIONS:
      for name, features in block:
        features = scaled(features, self.width)
        x = Conv(features, 3, self.dtype, self.activations, name=name)(x)
        if self.batch_norm:
          x = self._norm(name, x, mask, train)
        if name != block[-1][0]:
          x = nn.relu(x)
      # ReLU rises, so it may follow the pool, on a quarter of the values.
      x = nn.relu(max_pool(x))
    x = x.reshape(x.shape[0], -1)  # (batch, 6 × 4 × 512), in that order
    for name, features in HIDDEN:
      features = scaled(features, self.width)
      x = self._dense(name, features, self.activations)(x)
      if self.batch_norm:
        x = self._norm(name, x, mask, train)
      x = nn.relu(x)
    x = self._dense('fc2', EMBEDDING_SIZE)(x)
    return ACTIVATIONS[self.embedding_activation](x)

  def _dense(self, name, features, out='float32'):
    init = nn.initializers.he_uniform()
    return Dense(features, self.dtype, out, init, name=name)

  def _norm(self, name, x, mask, train):
    norm = MaskedBatchNorm(
      self.bn_momentum, axis_name=self.axis_name, name=f'{name}_norm'
    )
    return norm(x, mask, train)


# Of the baseline: examples of 0.25 s every 0.12 s, of audio at 44.1 kHz.
BASELINE_FRONT_END = FrontEnd(
  sample_rate=44_100,
  window=1102,
  hop=441,
  fft=2048,
  offset=0.001,
  frames=25,
  step=12,
)


class BaselineCNN(nn.Module):
  """The baseline of DCASE 2018 Task 2: three convolutions, max over all.

  Facts from the challenge's description of it: kernels of 7, 5 and 3, 100, 150
  and 200 filters with ReLU, a 3×3 max pool of stride 2 after the first two,
  the maximum over frames and bands, softmax. It takes 0.25 s (25 frames of 64
  bands, hop 0.125 s, log offset 0.001, of 44.1 kHz audio), starts from
  normal weights of deviation 0.001, and is trained by Adam at 1e-4 on
  batches of 64. A clip's prediction is the mean of its examples'.

  Attributes:
    classes: number of classes K.
    width: multiplies the number of filters.
    init_stddev: deviation of the truncated normal weights at the start, None
      for He's uniform ones, which start faster at this depth.
    dtype: operand precision, 'float32' or 'bfloat16'; sums are float32.
    activations: of `layers.activation_dtype`, what layers hand on.
  """

  classes: int
  width: float = 1.0
  init_stddev: float | None = 1e-3
  dtype: str = 'float32'
  activations: str = 'float32'

  @nn.compact
  def __call__(self, x, mask=None, train: bool = False):
    """Log-mel (batch, frame, band), any sizes -> logits (batch, class)."""
    del mask, train  # nothing here depends on them
    init = nn.initializers.he_uniform()
    if self.init_stddev is not None:
      init = nn.initializers.truncated_normal(self.init_stddev)
    filters = [max(1, round(f * self.width)) for f in (100, 150, 200)]
    x = x[..., None]  # (batch, frame, band, 1)
    for i, (features, size) in enumerate(zip(filters, (7, 5, 3), strict=True)):
      if i:
        x = nn.max_pool(x, (3, 3), (2, 2), 'SAME')
      conv = Conv(
        features, size, self.dtype, self.activations, init, name=f'conv{i + 1}'
      )
      x = nn.relu(conv(x))
    x = jnp.max(x, (1, 2))  # (batch, filter)
    return Dense(self.classes, self.dtype, kernel_init=init, name='output')(x)
