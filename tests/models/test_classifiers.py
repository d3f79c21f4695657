"""The classifiers, against written-out formulas."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aec_jax import models
from aec_jax.errors import UserError
from aec_jax.models import classifiers

CLASSES, SEGMENTS, FEATURES = 7, 6, 16
MODELS = {
  'dnn': functools.partial(classifiers.DNN, hidden=(9, 8, 7)),
  'lstm': functools.partial(classifiers.LSTM, hidden=(9,)),
  'attention': functools.partial(
    classifiers.MultiLevelAttention, hidden=(9, 8, 7)
  ),
  'attention sigmoid': functools.partial(
    classifiers.MultiLevelAttention,
    hidden=(9, 8, 7),
    levels=(1, 3),
    f_activation='sigmoid',
    pool_norm=True,
  ),
  'attention heads': functools.partial(
    classifiers.MultiLevelAttention, hidden=(9, 8, 7), heads=3
  ),
}
ATTENTIONS = [name for name in MODELS if name.startswith('attention')]


def inputs(examples=5, seed=0):
  """Random embeddings, and a mask with 1 … SEGMENTS valid segments."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(examples, SEGMENTS, FEATURES)).astype(np.float32)
  lengths = 1 + np.arange(examples) % SEGMENTS
  return x, np.arange(SEGMENTS) < lengths[:, None]


def init(model, seed=0):
  x, mask = inputs()
  variables = model.init(jax.random.key(seed), x, mask, train=True)
  # Nothing at its initial zeros and ones, so that every term shows.
  leaves, tree = jax.tree.flatten(variables)
  rng = np.random.default_rng(seed)
  leaves = [x + rng.uniform(0.0, 0.3, x.shape).astype(x.dtype) for x in leaves]
  return jax.tree.unflatten(tree, leaves)


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('name', MODELS)
def test_what_is_masked_changes_nothing(name, train):
  model = MODELS[name](classes=CLASSES)
  variables = init(model)
  x, mask = inputs()
  garbage = np.where(mask[..., None], x, 1e3)
  apply = functools.partial(
    model.apply,
    variables,
    train=train,
    rngs={'dropout': jax.random.key(1)},
    mutable=['batch_stats'],
  )
  logits, stats = apply(x, mask)
  other_logits, other_stats = apply(garbage, mask)
  assert logits.shape == (5, CLASSES)
  np.testing.assert_array_equal(logits, other_logits)
  jax.tree.map(np.testing.assert_array_equal, stats, other_stats)


def hidden(params, stats, x, level):
  """Dense, batch norm by running statistics, ReLU."""
  layer, norm = params[f'hidden{level}'], stats[f'hidden{level}']['norm']
  x = x @ layer['dense']['kernel'] + layer['dense']['bias']
  x = (x - norm['mean']) / np.sqrt(norm['var'] + 1e-3)
  return np.maximum(x * layer['norm']['scale'] + layer['norm']['bias'], 0)


def output(params, y):
  return y @ params['output']['kernel'] + params['output']['bias']


def numpy_tree(tree):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def test_dnn_is_the_mean_of_hidden_layers_then_dense():
  model = MODELS['dnn'](classes=CLASSES)
  variables = init(model)
  params, stats = map(
    numpy_tree, (variables['params'], variables['batch_stats'])
  )
  x, mask = inputs()
  for i, logits in enumerate(model.apply(variables, x, mask)):
    h = x[i][mask[i]].astype(np.float64)
    for level in (1, 2, 3):
      h = hidden(params, stats, h, level)
    np.testing.assert_allclose(logits, output(params, h.mean(0)), rtol=2e-5)


@pytest.mark.parametrize('levels', [(1,), (2,), (1, 3), (1, 2, 3)])
@pytest.mark.parametrize('f_activation', classifiers.F_ACTIVATIONS)
def test_attention_is_equation_22(levels, f_activation):
  model = MODELS['attention'](
    classes=CLASSES, levels=levels, f_activation=f_activation
  )
  variables = init(model)
  params, stats = map(
    numpy_tree, (variables['params'], variables['batch_stats'])
  )
  activation = {
    'linear': lambda f: f,
    'relu': lambda f: np.maximum(f, 0),
    'sigmoid': lambda f: 1 / (1 + np.exp(-f)),
  }[f_activation]
  x, mask = inputs()
  for i, logits in enumerate(model.apply(variables, x, mask)):
    h, pooled = x[i][mask[i]].astype(np.float64), []
    for level in range(1, max(levels) + 1):
      h = hidden(params, stats, h, level)
      if level in levels:
        fv = params[f'attention{level}']['fv']
        f, v = np.split(h @ fv['kernel'] + fv['bias'], 2, -1)
        p = np.exp(v) / np.exp(v).sum(0)
        pooled.append((p * activation(f)).sum(0))
    expected = output(params, np.concatenate(pooled))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_heads_lie_side_by_side():
  model = MODELS['attention heads'](classes=CLASSES, levels=(1, 3))
  variables = init(model)
  params, stats = map(
    numpy_tree, (variables['params'], variables['batch_stats'])
  )
  x, mask = inputs()
  for i, logits in enumerate(model.apply(variables, x, mask)):
    h, pooled = x[i][mask[i]].astype(np.float64), []
    for level in (1, 2, 3):
      h = hidden(params, stats, h, level)
      if level in (1, 3):
        fv = params[f'attention{level}']['fv']
        f, v = np.split(h @ fv['kernel'] + fv['bias'], 2, -1)
        f = np.maximum(f, 0).reshape(-1, 3, CLASSES)
        p = np.exp(v).reshape(-1, 3, CLASSES)
        pooled += [*(f * p / p.sum(0)).sum(0)]  # head after head
    expected = output(params, np.concatenate(pooled))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_one_head_is_the_model_that_older_bundles_have():
  model = MODELS['attention'](classes=CLASSES)
  shapes = jax.tree.map(jnp.shape, init(model)['params'])
  for level, units in ((1, 9), (2, 8), (3, 7)):
    fv = {'kernel': (units, 2 * CLASSES), 'bias': (2 * CLASSES,)}
    assert shapes[f'attention{level}'] == {'fv': fv}
  assert shapes['output']['kernel'] == (3 * CLASSES, CLASSES)


@pytest.mark.parametrize('name', ATTENTIONS)
def test_attention_weights_sum_to_one_over_the_valid_segments(name):
  model = MODELS[name](classes=CLASSES, levels=(1, 2, 3))
  x, mask = inputs()
  _, seen = model.apply(init(model), x, mask, mutable=['intermediates'])
  for level in (1, 2, 3):
    (p,) = seen['intermediates'][f'attention{level}']['p']
    assert p.shape == (*mask.shape, CLASSES)
    np.testing.assert_allclose(p.sum(1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(p[~mask], 0.0)
  # With one segment there is no attention.
  np.testing.assert_array_equal(p[0, 0], 1.0)


@pytest.mark.parametrize('activation', classifiers.LSTM_ACTIVATIONS)
def test_lstm_is_the_textbook_cell_at_the_last_valid_segment(activation):
  model = MODELS['lstm'](
    classes=CLASSES, activation=activation, batch_norm=False
  )
  variables = init(model)
  params = numpy_tree(variables['params'])
  sigmoid = lambda z: 1 / (1 + np.exp(-z))
  act = {'tanh': np.tanh, 'relu': lambda z: np.maximum(z, 0)}[activation]
  x, mask = inputs()
  for i, logits in enumerate(model.apply(variables, x, mask)):
    h = c = np.zeros(9)
    for frame in x[i][mask[i]].astype(np.float64):
      gates = frame @ params['input']['kernel'] + params['input']['bias']
      i_, f, g, o = np.split(gates + h @ params['recurrent'], 4)
      c = sigmoid(f) * c + sigmoid(i_) * act(g)
      h = sigmoid(o) * act(c)
    np.testing.assert_allclose(logits, output(params, h), rtol=1e-4)


def test_an_lstm_of_long_clips_leaves_out_those_that_are_over():
  """The same with and without `rows`, gradients too, as where none is long."""
  model = MODELS['lstm'](classes=CLASSES)
  x, mask = inputs(8)
  longer = [
    np.pad(a, [(0, 0), (0, 7), *rest])
    for a, rest in ((x, [(0, 0)]), (mask, []))
  ]
  variables = init(model)
  starts = model.starts(SEGMENTS + 7)
  assert not model.starts(SEGMENTS) and list(starts) == [0, 4, 8, 12]
  last = [int((mask.sum(1) > start).sum()) for start in starts]

  def loss(variables, x, mask, **rows):
    logits, _ = model.apply(
      variables, x, mask, train=True, mutable=['batch_stats'],
      rngs={'dropout': jax.random.key(1)}, **rows,
    )  # fmt: skip
    return jnp.sum(logits**2), logits

  def gradients(batch, **rows):
    function = jax.grad(functools.partial(loss, **rows), has_aux=True)
    return jax.jit(function)(variables, *batch)

  expected = gradients((x, mask))
  for found in (gradients(longer), gradients(longer, rows=tuple(last))):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
      found, expected,
    )  # fmt: skip


def test_an_lstm_begins_the_same_whatever_the_length():
  model = MODELS['lstm'](classes=CLASSES)
  short, long = (
    jax.jit(model.init)(
      jax.random.key(3), np.zeros((1, n, FEATURES)), np.ones((1, n), bool)
    )
    for n in (SEGMENTS, 31)
  )
  jax.tree.map(np.testing.assert_array_equal, short, long)


def test_sizes_are_those_of_tables_5_to_7():
  def count(model):
    x, mask = jnp.zeros((1, 10, 128)), jnp.ones((1, 10), bool)
    shapes = jax.eval_shape(
      lambda: model.init(jax.random.key(0), x, mask, train=True)
    )
    return sum(x.size for x in jax.tree.leaves(shapes['params']))

  norm = 2 * 600
  h1, deeper = 128 * 600 + 600 + norm, 600 * 600 + 600 + norm
  out = lambda units: units * 527 + 527
  level = 2 * (600 * 527 + 527)
  assert count(classifiers.DNN(classes=527)) == h1 + 2 * deeper + out(600)
  assert count(classifiers.LSTM(classes=527)) == (
    4 * 600 * (128 + 600 + 1) + norm + out(600)
  )
  attention = classifiers.MultiLevelAttention
  assert count(attention(classes=527, levels=(1,))) == h1 + level + out(527)
  assert count(attention(classes=527)) == (
    h1 + 2 * deeper + 3 * level + out(3 * 527)
  )


def test_attention_and_its_gradients_are_those_of_the_plain_formula():
  rng = np.random.default_rng(0)
  f, v = rng.normal(size=(2, 4, 6, 5)).astype(np.float32)
  v[0, 3:] = classifiers._MASKED
  v[1] = classifiers._MASKED  # an example that only fills up a batch

  def plain(f, v):
    return jnp.sum(jax.nn.softmax(v, 1) * f, 1)

  grad = rng.normal(size=(4, 5)).astype(np.float32)
  for function in (plain, classifiers.attend):
    y, vjp = jax.vjp(function, f, v)
    found = y, *vjp(grad)
    if function is plain:
      expected = found
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['lstm', 'attention'])
def test_bfloat16_between_layers_stays_near_float32(name):
  x, mask = inputs()
  plain = MODELS[name](classes=CLASSES)
  rounded = MODELS[name](
    classes=CLASSES, dtype='bfloat16', activations='bfloat16'
  )
  variables = init(plain)

  def logits_of(model):
    @jax.jit
    def value(params):
      logits, found = model.apply(
        variables | {'params': params}, x, mask, train=True,
        rngs={'dropout': jax.random.key(1)},
        mutable=['batch_stats', 'intermediates'], capture_intermediates=True,
      )  # fmt: skip
      return jnp.sum(logits**2), (logits, found)

    (_, out), grads = jax.value_and_grad(value, has_aux=True)(
      variables['params']
    )
    return *out, grads

  exact, stats, exact_grads = logits_of(plain)
  logits, found, grads = logits_of(rounded)
  layer = 'input' if name == 'lstm' else 'hidden1'
  handed_on = found['intermediates'][layer]['__call__'][0]
  assert handed_on.dtype == jnp.bfloat16
  for tree in (logits, grads, found['batch_stats']):
    assert {a.dtype for a in jax.tree.leaves(tree)} == {np.dtype('float32')}
  error = jax.tree.map(
    lambda a, b: jnp.linalg.norm(a - b) / jnp.linalg.norm(a),
    (exact, exact_grads['output'], stats['batch_stats']),
    (logits, grads['output'], found['batch_stats']),
  )
  assert max(jax.tree.leaves(error)) < 0.05, error


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    ({'name': 'dnn2'}, "'dnn2'.*attention, dnn, lstm"),
    ({'name': 'dnn', 'hidden': (3,), 'hiden': 1}, 'hiden'),
    ({'name': 'dnn', 'hidden': (3,), 'dtype': 'int8'}, 'auto, bfloat16'),
    ({'name': 'attention', 'hidden': (3,), 'levels': (1, 2)}, 'levels is'),
    ({'name': 'attention', 'hidden': (3,), 'levels': ()}, 'levels is'),
    (
      {'name': 'attention', 'hidden': (3,), 'f_activation': 'gelu'},
      'linear, relu, sigmoid',
    ),
    ({'name': 'lstm', 'hidden': (3, 3)}, 'an LSTM has one layer'),
  ],
)
def test_models_that_cannot_be_are_refused(config, message):
  with pytest.raises(UserError, match=message):
    models.classifier(config, 5)


def test_sigmoid_f_leaves_the_output_layer_ill_conditioned():
  """Why the default f is ReLU; see aec_jax/presets.py.

  At the start a sigmoid f is about 1/2 for every class and clip, so what enters
  the output layer is nearly one constant vector.
  """
  rng = np.random.default_rng(0)
  x = rng.normal(size=(300, 10, 64)).astype(np.float32)
  mask = np.ones(x.shape[:2], bool)

  def dominance(f_activation):
    attention = classifiers.Attention(50, f_activation, 'float32')
    h = nn.relu(x)
    variables = attention.init(jax.random.key(0), h, mask)
    y, _ = attention.apply(variables, h, mask)
    moments = np.linalg.eigvalsh(np.asarray(y.T @ y))
    return moments[-1] / moments[-2]

  assert dominance('sigmoid') > 5 * dominance('relu')


@pytest.mark.parametrize(
  'fields', [{}, {'pool_norm': True}, {'heads': 2, 'pool_norm': True}]
)
def test_the_logits_are_the_mean_of_the_segments(fields):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, 5, 8)).astype(np.float32)
  mask = np.arange(5) < np.array([[5], [2], [1]])
  module = classifiers.MultiLevelAttention(
    4, hidden=(6, 6), levels=(1, 2), **fields
  )
  variables = module.init(jax.random.key(0), x, mask)
  logits, sown = module.apply(variables, x, mask, mutable=['located'])
  (of_segments,) = jax.tree.leaves(sown)
  weight = mask[..., None] / mask.sum(1)[:, None, None]
  np.testing.assert_allclose((of_segments * weight).sum(1), logits, atol=1e-5)
