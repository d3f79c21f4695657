"""VGGish against TensorFlow's operations and against Table 1."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from aec_jax.errors import UserError
from aec_jax.input.batches import dequantise
from aec_jax.models import convolution, embedding_postprocess, vggish
from aec_jax.models.extractors import ExampleClassifier
from aec_jax.run import processor

RNG = np.random.default_rng(0)


def random_params(module, *args):
  """Parameters of the module's shapes, biases too, and activations near 1."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), *args)['params']

  def draw(shape):
    fan_in = int(np.prod(shape.shape[:-1])) if len(shape.shape) > 1 else 100
    x = RNG.standard_normal(shape.shape) * np.sqrt(2 / fan_in)
    return x.astype(np.float32)

  return jax.tree.map(draw, shapes)


def tensorflow_vggish(params, x, last_relu):
  """Table 1 in tf.nn, NHWC."""
  import tensorflow as tf

  def conv(x, name):
    x = tf.nn.conv2d(x, params[name]['kernel'], 1, 'SAME')
    return tf.nn.relu(x + params[name]['bias'])

  def pool(x):
    return tf.nn.max_pool2d(x, 2, 2, 'SAME')

  x = pool(conv(tf.constant(x)[..., None], 'conv1'))
  x = pool(conv(x, 'conv2'))
  x = pool(conv(conv(x, 'conv3_1'), 'conv3_2'))
  x = pool(conv(conv(x, 'conv4_1'), 'conv4_2'))
  x = tf.reshape(x, (x.shape[0], -1))
  for name in ('fc1_1', 'fc1_2'):
    x = tf.nn.relu(x @ params[name]['kernel'] + params[name]['bias'])
  x = x @ params['fc2']['kernel'] + params['fc2']['bias']
  return (tf.nn.relu(x) if last_relu else x).numpy()


@pytest.mark.parametrize(
  ('activation', 'shape'), [('linear', (3, 96, 64)), ('relu', (2, 16, 16))]
)
def test_equals_the_tensorflow_graph(activation, shape):
  module = vggish.VGGish(activation, width=1 / 8)
  x = RNG.standard_normal(shape).astype(np.float32)
  params = random_params(module, x)
  ours = jax.jit(module.apply)({'params': params}, x)
  theirs = tensorflow_vggish(params, x, activation == 'relu')
  assert (theirs.min() < 0) == (activation == 'linear')
  np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def test_parameters_are_those_of_table_1():
  x = jax.ShapeDtypeStruct((1, 96, 64), jnp.float32)
  init = vggish.VGGish().init
  params = jax.eval_shape(init, jax.random.key(0), x)['params']
  kernels = {name: layer['kernel'].shape for name, layer in params.items()}
  assert kernels == {
    'conv1': (3, 3, 1, 64),
    'conv2': (3, 3, 64, 128),
    'conv3_1': (3, 3, 128, 256),
    'conv3_2': (3, 3, 256, 256),
    'conv4_1': (3, 3, 256, 512),
    'conv4_2': (3, 3, 512, 512),
    'fc1_1': (12288, 4096),
    'fc1_2': (4096, 4096),
    'fc2': (4096, 128),
  }
  assert sum(p.size for p in jax.tree.leaves(params)) == 72_141_184


def test_width_leaves_the_embedding_alone():
  module = vggish.VGGish(width=1 / 16)
  x = jnp.zeros((2, 96, 64))
  out, params = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
  assert out.shape == (2, 128)
  assert params['params']['conv4_2']['kernel'].shape == (3, 3, 32, 32)


def test_batch_norm_ignores_masked_examples():
  module = vggish.VGGish(width=1 / 16, batch_norm=True)
  x = RNG.standard_normal((4, 32, 16)).astype(np.float32)
  variables = jax.jit(module.init)(jax.random.key(0), x)

  @jax.jit
  def run(x, mask):
    return module.apply(variables, x, mask, True, mutable=['batch_stats'])

  mask = np.array([True, True, True, False])
  out, stats = run(x, mask)
  x[3] = 100.0
  other, other_stats = run(x, mask)
  np.testing.assert_array_equal(out[:3], other[:3])
  jax.tree.map(np.testing.assert_array_equal, stats, other_stats)
  kept, _ = run(x[:3], mask[:3])
  np.testing.assert_allclose(kept, out[:3], atol=1e-4)


@pytest.mark.parametrize(
  ('module', 'shape'),
  [
    (ExampleClassifier(vggish.VGGish(width=1 / 16), 7), (2, 32, 32)),
    (vggish.BaselineCNN(7, width=0.05), (2, 25, 64)),
  ],
)
def test_classifiers_learn_one_batch(module, shape):
  x = RNG.standard_normal(shape).astype(np.float32)
  params = random_params(module, x)

  @jax.value_and_grad
  def loss(params):
    logits = module.apply({'params': params}, x)
    assert logits.shape == (2, 7)
    return -jnp.mean(
      jax.nn.log_softmax(logits)[jnp.arange(2), jnp.array([3, 5])]
    )

  step = jax.jit(loss)
  losses = []
  for _ in range(21):
    found, grads = step(params)
    losses.append(found)
    params = jax.tree.map(lambda p, g: p - 0.003 * g, params, grads)
  assert losses[-1] < 0.7 * losses[0]


def test_baseline_has_the_challenges_number_of_weights():
  module = vggish.BaselineCNN(41)
  x = jax.ShapeDtypeStruct((1, 25, 64), jnp.float32)
  params = jax.eval_shape(module.init, jax.random.key(0), x)['params']
  weights = sum(layer['kernel'].size for layer in params.values())
  assert weights == 4_900 + 375_000 + 270_000 + 8_200


@pytest.fixture
def float64():
  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', False)


def plain(x, w):
  return lax.conv_general_dilated(
    x, w, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def value_and_gradients(f, x, w, grad):
  y, vjp = jax.vjp(f, x, w)
  return y, *vjp(grad)


# (dtype, kind of the operands, tolerance)
EXACT = ('float32', jnp.float64, 1e-13)
SINGLE = ('float32', jnp.float32, 2e-5)
ROUNDED = ('bfloat16', jnp.float32, 1e-2)


@pytest.mark.parametrize(
  ('shape', 'kernel', 'precisions'),
  [
    # Winograd, 2 chunks and a rest; 2 chunks; for the kernel's gradient
    ((11, 8, 8, 64), (3, 3, 64, 72), [EXACT]),
    ((8, 8, 8, 72), (3, 3, 72, 64), [SINGLE]),
    ((9, 8, 8, 24), (3, 3, 24, 16), [EXACT, ROUNDED]),
    ((3, 7, 6, 1), (3, 3, 1, 9), [EXACT, SINGLE, ROUNDED]),  # one channel
    ((2, 7, 6, 8), (3, 3, 8, 8), [EXACT, SINGLE, ROUNDED]),  # odd height
    ((2, 25, 64, 1), (7, 7, 1, 5), [EXACT, ROUNDED]),  # another kernel
    # few channels, 2 chunks and a rest
    ((11, 12, 8, 8), (3, 3, 8, 16), [EXACT, SINGLE, ROUNDED]),
  ],
)
def test_convolution_and_its_gradients(
  float64, monkeypatch, shape, kernel, precisions
):
  # So that few and small examples are several chunks.
  monkeypatch.setattr('aec_jax.models.winograd._ROWS_PER_CHUNK', 16)
  monkeypatch.setattr(convolution, '_PATCH_VALUES', 2**15)
  x, w = RNG.standard_normal(shape), RNG.standard_normal(kernel)
  grad = RNG.standard_normal((*shape[:3], kernel[3]))
  wanted = jax.jit(partial(value_and_gradients, plain))(x, w, grad)
  for dtype, kind, tolerance in precisions:
    args = (jnp.asarray(a, kind) for a in (x, w, grad))
    convolve = partial(convolution.convolve, dtype=dtype)
    ours = jax.jit(partial(value_and_gradients, convolve))
    for got, want in zip(ours(*args), wanted, strict=True):
      assert got.dtype == kind
      np.testing.assert_allclose(got, want, atol=tolerance * np.abs(want).max())


def test_the_processor_s_flags_choose_the_kernel():
  xeon = frozenset(['avx512f', 'avx512_bf16', 'amx_tile', 'amx_bf16'])
  for flags, unit, products in (
    (frozenset(), False, False),
    (frozenset(['avx2', 'avx512_bf16']), False, True),
    (xeon, True, True),
  ):
    assert processor.has_bfloat16_matrix_unit(flags) is unit
    assert processor.multiplies_bfloat16(flags) is products
  wide = (8, 24, 16, 64), (3, 3, 64, 64)
  kernel, gradient = convolution._kernel_on_cpu, convolution._gradient_on_cpu
  assert kernel(*wide, 'bfloat16', True) is convolution.patch_products
  assert kernel(*wide, 'bfloat16', False) is convolution.winograd
  assert kernel(*wide, 'float32', True) is convolution.winograd
  thin = (8, 24, 16, 1), (3, 3, 1, 64)
  assert kernel(*thin, 'bfloat16', True) is convolution._shifted_sum
  by_winograd = convolution.winograd_kernel_gradient
  assert gradient(*wide, 'bfloat16', False) is by_winograd
  assert gradient(*wide, 'float32', True) is by_winograd
  assert gradient(*wide, 'bfloat16', True) is not by_winograd


def test_flags_are_the_kernel_s_words(tmp_path):
  file = tmp_path / 'cpuinfo'
  file.write_text('model name\t: X\nflags\t\t: fpu amx_bf16 amx_tile\n\n')
  assert processor.flags(str(file)) == {'fpu', 'amx_bf16', 'amx_tile'}
  assert processor.flags(str(tmp_path / 'none')) == frozenset()


def test_a_convolution_by_products_of_patches(monkeypatch):
  unit = lambda of=None: True
  monkeypatch.setattr(processor, 'has_bfloat16_matrix_unit', unit)
  shape = 3, 16, 16, 64  # 3 chunks of one
  x = RNG.standard_normal(shape).astype(np.float32)
  w = RNG.standard_normal((3, 3, 64, 64)).astype(np.float32)
  grad = RNG.standard_normal(shape).astype(np.float32)
  wanted = value_and_gradients(plain, x, w, grad)
  convolve = partial(convolution.convolve, dtype='bfloat16')
  found = jax.jit(partial(value_and_gradients, convolve))(x, w, grad)
  for got, want in zip(found, wanted, strict=True):
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=0.01 * np.abs(want).max())


def test_a_convolution_of_bfloat16_alone_stays_near():
  x = RNG.standard_normal((2, 8, 8, 8)).astype(np.float32)
  w = RNG.standard_normal((3, 3, 8, 8)).astype(np.float32)
  grad = RNG.standard_normal((2, 8, 8, 8)).astype(np.float32)
  wanted = value_and_gradients(plain, x, w, grad)
  convolve = partial(convolution.convolve, dtype='bfloat16', out='bfloat16')
  y, vjp = jax.vjp(convolve, x, w)
  found = y, *vjp(jnp.asarray(grad, 'bfloat16'))
  assert [a.dtype for a in found] == ['bfloat16', 'float32', 'float32']
  for got, want in zip(found, wanted, strict=True):
    error = np.asarray(got, np.float32) - want
    assert np.abs(error).max() < 0.02 * np.abs(want).max()


@pytest.mark.parametrize('model', [vggish.VGGish, vggish.BaselineCNN])
def test_extractors_with_bfloat16_between_layers_stay_near(model):
  make = partial(model, 7) if model is vggish.BaselineCNN else model
  start = {'init_stddev': None} if model is vggish.BaselineCNN else {}
  x = RNG.standard_normal((2, 32, 32)).astype(np.float32)
  params = random_params(make(width=1 / 16, **start), x)

  def apply(**precision):
    module = make(width=1 / 16, **start, **precision)
    return jax.jit(module.apply)({'params': params}, x)

  exact = apply()
  found = apply(dtype='bfloat16', activations='bfloat16')
  assert found.dtype == np.float32
  assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)


def test_max_pool_and_its_gradient():
  x = RNG.standard_normal((2, 6, 4, 3)).astype(np.float32)
  x[0, :2, :2] = 5.0  # four equal maxima share the gradient
  tiles = x.reshape(2, 3, 2, 2, 2, 3)
  np.testing.assert_array_equal(convolution.max_pool(x), tiles.max((2, 4)))
  grad = RNG.standard_normal((2, 3, 2, 3)).astype(np.float32)
  _, vjp = jax.vjp(lambda x: x.reshape(tiles.shape).max((2, 4)), x)
  _, ours = jax.vjp(convolution.max_pool, x)
  np.testing.assert_allclose(ours(grad)[0], vjp(grad)[0], rtol=1e-6)


def test_max_pool_s_gradient_loses_nothing_where_many_are_equal():
  x = RNG.integers(0, 3, (2, 8, 8, 4)).astype(jnp.bfloat16)
  grad = RNG.integers(-4, 5, (2, 4, 4, 4)).astype(jnp.bfloat16) * 12
  _, ours = jax.vjp(convolution.max_pool, jnp.asarray(x))
  (found,) = ours(jnp.asarray(grad))
  found = np.asarray(found, np.float32).reshape(2, 4, 2, 4, 2, 4)
  tiles = x.reshape(2, 4, 2, 4, 2, 4)
  np.testing.assert_array_equal(found.sum((2, 4)), grad.astype(np.float32))
  below = tiles < tiles.max((2, 4), keepdims=True)
  np.testing.assert_array_equal(found[below], 0)


def write_pca(path, means_shape=(128, 1), **other):
  matrix = RNG.standard_normal((128, 128)) / 8
  means = RNG.standard_normal(means_shape)
  np.savez(path, **{'pca_eigen_vectors': matrix, 'pca_means': means} | other)
  return matrix, means


@pytest.mark.parametrize('means_shape', [(128, 1), (128,)])
def test_postprocessing_is_the_release_s(tmp_path, means_shape):
  path = tmp_path / 'pca.npz'
  matrix, means = write_pca(path, means_shape)
  x = RNG.standard_normal((50, 128)).astype(np.float32)
  out = embedding_postprocess.postprocess(
    x, embedding_postprocess.load_pca(path)
  )
  applied = np.dot(matrix, x.T.astype(np.float64) - means.reshape(128, 1)).T
  clipped = np.clip(applied, -2.0, 2.0)
  scaled = (clipped + 2.0) * (255.0 / 4.0)
  assert out.dtype == jnp.uint8
  assert {0, 255} <= set(np.unique(out))
  # float32 may fall on the other side of a step that float64 is at.
  safe = np.abs(scaled - np.round(scaled)) > 1e-3
  saturated = np.abs(applied) > 2.0001
  sure = safe | saturated
  assert sure.mean() > 0.99
  np.testing.assert_array_equal(np.asarray(out)[sure], np.trunc(scaled)[sure])
  back = dequantise(out)
  assert np.all(clipped - back > -1e-5) and np.all(
    clipped - back < 4 / 255 + 1e-5
  )


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'no such file'),
    (b'not a zip', 'not a readable'),
    ({'pca_means': np.zeros(127)}, r'\(127,\) must be'),
    ({'pca_means': np.array([None] * 128)}, 'not a readable'),
    ('other keys', 'has no pca_eigen_vectors'),
  ],
)
def test_bad_pca_files_are_refused(tmp_path, content, message):
  path = tmp_path / 'pca.npz'
  if isinstance(content, bytes):
    path.write_bytes(content)
  elif isinstance(content, dict):
    write_pca(path, **content)
  elif content:
    np.savez(path, x=np.zeros(3))
  with pytest.raises(UserError, match=message) as caught:
    embedding_postprocess.load_pca(path)
  assert '\n' not in str(caught.value)
