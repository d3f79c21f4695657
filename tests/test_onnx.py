"""Functions and bundles as ONNX, run by onnxruntime."""

import functools
import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
from browsing import PATIENCE
from browsing import browser as browser  # a fixture
from jax import lax

import aec_jax
from aec_jax import export, models
from aec_jax.audio import FRONT_END
from aec_jax.bundle.network import Ensemble
from aec_jax.bundle.tagger import Tagger
from aec_jax.errors import UserError
from aec_jax.exports import onnx_graph, onnx_writer
from aec_jax.exports.formats import FORMATS
from aec_jax.models import vggish
from aec_jax.run import console
from launch import onnx_page

ONNX = FORMATS['onnx']
RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((5, 8, 6, 3)).astype(np.float32)
KERNEL = RNG.standard_normal((3, 2, 3, 4)).astype(np.float32)
ROWS = RNG.uniform(0.1, 2, (5, 6, 4)).astype(np.float32)
TABLE = RNG.standard_normal((6, 3)).astype(np.float32)


def convolved(x):
  return lax.conv_general_dilated(
    x, KERNEL, (2, 1), [(1, 0), (0, 2)], rhs_dilation=(1, 2),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )  # fmt: skip


def scanned(x):
  def step(carry, row):
    carry = 0.5 * carry + row
    return carry, carry[:, :2]

  last, rows = lax.scan(step, x[:, 0], jnp.swapaxes(x, 0, 1), reverse=True)
  return jnp.concatenate([last, rows.sum(0)], 1)


def masked(x):
  valid = jnp.arange(6) < x[:, 0, :1]
  filled = jnp.where(valid[..., None], x, -1e30)
  return jnp.concatenate([nn.softmax(filled, 1), jnp.zeros_like(x)], 2)


# Of a leading batch; by what they take.
FUNCTIONS = {
  'elementwise': (ROWS, lambda x: jnp.log(x) ** 2 + lax.rsqrt(x) / jnp.exp(-x)),
  'clip, round, compare': (
    ROWS, lambda x: jnp.clip(x, 0.5, 1.5).astype('uint8') + (x >= 1)),
  'gates': (ROWS, lambda x: nn.sigmoid(x) * jnp.tanh(x) + nn.relu(x - 1)),
  'seldom used': (
    ROWS, lambda x: sum((
      jnp.sign(x - 1), jnp.floor(x), jnp.ceil(x), jnp.sin(x), jnp.cos(x),
      lax.erf(x), jnp.minimum(x, 1), x ** x, abs(1 - x), -x,
      jnp.where((x < 0.5) | ~(x <= 1.5) & (x != 1), x, x.min(1)[:, None])))),
  'log_softmax': (ROWS, nn.log_softmax),
  'masked softmax': (ROWS, masked),
  'dense': (ROWS, lambda x: jnp.einsum('bsf,sk->bkf', x, TABLE)),
  'product of inputs': (ROWS, lambda x: jnp.einsum('bsf,btf->bst', x, x)),
  'vector times': (ROWS, lambda x: jnp.asarray(TABLE[:, 0]) @ x),
  'turned': (ROWS, lambda x: jnp.moveaxis(x, 2, 1).max(2)),
  'chosen': (ROWS, lambda x: x[:, np.array([[0, 5], [2, 2]])]),
  'chosen last': (ROWS, lambda x: jnp.take(x, np.array([3, 1]), 2)),
  'slices': (ROWS, lambda x: jnp.maximum(x[:, ::2], x[:, 1::2])[:, :, 1:]),
  'padded, split': (
    ROWS, lambda x: sum(jnp.split(jnp.pad(x, ((0, 0), (1, 2), (0, 0))), 3, 1))),
  'chosen by numbers': (
    ROWS, lambda x: lax.select_n((x > 1).astype('int32'), x, -x)),
  'no axis': (ROWS, lambda x: lax.reduce_max(x, ()) + lax.reduce_sum(x, ())),
  'constants': (ROWS, lambda x: jnp.full((x.shape[0], 2), 3.0)),
  'spectra': (
    ROWS, lambda x: jnp.abs(jnp.fft.rfft(x, 8).real) + jnp.fft.rfft(x, 8).imag),
  'loop': (ROWS, scanned),
  'convolution': (IMAGES, convolved),
  'pooling': (IMAGES, lambda x: nn.max_pool(x, (3, 3), (2, 2), 'SAME')),
  'pooling, vmapped': (
    IMAGES[:, None], jax.vmap(lambda x: nn.max_pool(x, (2, 3), (2, 1)))),
}  # fmt: skip


@pytest.mark.parametrize('name', FUNCTIONS)
def test_a_function_gives_the_same_for_any_batch(name):
  x, function = FUNCTIONS[name]
  content = ONNX.encode(function, {'x': x}, 'y', ABOUT)
  onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
  run, expected = ONNX.decode(content), np.asarray(jax.jit(function)(x))
  for count in (5, 1):
    found = run(x[:count])
    assert (found.shape, found.dtype) == (
      expected[:count].shape, expected.dtype
    )  # fmt: skip
    np.testing.assert_allclose(found, expected[:count], rtol=2e-5, atol=2e-5)


ABOUT = {
  'experiment': 'x', 'sample_rate': 16_000, 'classes': ['a', 'é'],
  'front_end': FRONT_END.record(),
}  # fmt: skip


REFUSED = {
  'sort': lambda x: jnp.sort(x, 1),
  'reduce': lambda x: lax.reduce(x, 1.0, lambda a, b: a * b + a, (1,)),
  'gather of indices that it makes itself': (
    lambda x: jnp.take(x, x[0, :2, 0].astype(int), 1)),
  'gather along several axes, or of parts of one': (
    lambda x: x[:, np.arange(3), np.arange(3)]),
  'pad between elements': (
    lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1), (0, 0, 0)))),
  'gather beyond the ends of an axis': lambda x: jnp.take(x, np.array([7]), 1),
  "'and' of the bits of numbers": lambda x: x.astype(int) & 3,
  'a convolution of a part of its input': (
    lambda x: lax.conv(
      x[:, None], KERNEL[None, :1, :, 0], (1, 1), [(-1, 0)] * 2)),
  'a transposed or batch-grouped convolution': (
    lambda x: lax.conv_transpose(x, TABLE[None, :4], (2,), 'SAME')),
  'max pooling that is dilated, or not of two axes': (
    lambda x: nn.max_pool(x, (2,), (1,))),
  'a Fourier transform of other than real numbers': (
    lambda x: jnp.fft.fft(x, 8).real),
  'abs of complex numbers': lambda x: abs(jnp.fft.rfft(x, 8)),
  'select_n of 3 cases': (
    lambda x: lax.select_n((x > 1).astype(int) + (x > 1.5), x, -x, 2 * x)),
}  # fmt: skip


@pytest.mark.parametrize('what', REFUSED)
def test_what_has_no_translation_is_refused(what):
  with pytest.raises(UserError, match=f'takes {what}, of which no ONNX'):
    onnx_writer.convert(REFUSED[what], {'x': ROWS}, 'y', {})


def test_what_onnxruntime_has_no_kernel_for_is_refused():
  function = lambda x: jnp.minimum(x.astype('int16'), 1).astype('float32')
  content = ONNX.encode(function, {'x': ROWS}, 'y', ABOUT)
  with pytest.raises(UserError, match='does not run the network .*Min'):
    ONNX.decode(content)


def test_weights_are_kept_once_and_too_many_are_refused(monkeypatch):
  def function(x):
    return lax.fori_loop(0, 3, lambda _, x: x @ TABLE @ TABLE.T, x[:, :, 0])

  content = onnx_writer.convert(function, {'x': ROWS}, 'y', {})
  weights = onnx.load_from_string(content).graph.initializer
  assert sum(list(w.dims) == [6, 3] for w in weights) == 1
  monkeypatch.setattr(onnx_graph, 'MOST_BYTES', 10)
  with pytest.raises(UserError, match='an ONNX file holds 2'):
    onnx_writer.convert(function, {'x': ROWS}, 'y', {})


# Beside those of the fixtures' bundles.
CLASSIFIERS = {
  'dnn': ({'name': 'dnn', 'hidden': (9, 8)}, 'single_label', 'repeat'),
  'lstm': ({'name': 'lstm', 'hidden': (9,)}, 'single_label', 'align'),
  'lstm of relus': (
    {'name': 'lstm', 'hidden': (9,), 'activation': 'relu'}, 'multi_label',
    'mask'),
  'attention': (
    {'name': 'attention', 'hidden': (9, 8), 'levels': (2,), 'pool_norm': True,
     'f_activation': 'sigmoid', 'dtype': 'bfloat16'}, 'multi_label', 'mask'),
  'heads': (
    {'name': 'attention', 'hidden': (9, 8), 'levels': (1, 2), 'heads': 2},
    'single_label', 'align'),
}  # fmt: skip
RELEASED = {
  'model': 'released', 'embedding_activation': 'linear', 'width': 0.01,
  'dtype': 'float32', 'batch_norm': False, 'frames': 0, 'hidden': 8,
}  # fmt: skip


def tagger_of(info, hears=(), ensembles=()):
  """A tagger that no file holds."""
  told = {'experiment': 'x', 'classes': list('abc'), 'model': None}
  front_end = {'trim_db': 60.0, 'peak_normalise': True, 'precision': 'float16'}
  front_end |= FRONT_END.record()
  info = told | {'front_end': front_end, 'ensembles': ensembles} | info
  return Tagger(info, list(hears), list(ensembles))


def randomly(module, *inputs, members=()):
  """Variables of a module: random ones, without the time to compile any."""
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  rng = np.random.default_rng(1)
  found = jax.tree.map(
    lambda x: rng.uniform(-0.3, 0.7, members + x.shape).astype(np.float32),
    dict(shapes),
  )
  stats = jax.tree.map(np.abs, found.get('batch_stats', {}))
  return found | {'batch_stats': stats} if stats else found


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifiers_of_every_kind(name, tmp_path):
  model, objective, last_piece = CLASSIFIERS[name]
  length = 12 if name == 'lstm' else 3  # of which an LSTM does otherwise
  inputs = np.zeros((1, length, 128)), np.ones((1, length), bool)
  variables = randomly(models.classifier(model, 3), *inputs, members=(2,))
  of = np.zeros(2, np.int32)
  ensemble = Ensemble(length, last_piece, of, (), variables)
  tagger = tagger_of(
    {'objective': objective, 'extractor': RELEASED, 'model': model},
    ensembles=[ensemble],
  )
  (line,) = export.write(tagger, tmp_path / 'out', 1, ONNX)
  about = json.loads((tmp_path / 'out/export.json').read_text())
  (entry,) = about['programs']
  assert entry['largest_difference'] < 1e-5
  assert ('n_segments' in entry['inputs']) == (last_piece != 'repeat')
  rounds = model.get('dtype') == 'bfloat16'
  assert rounds == ('bfloat16_difference' in entry) == ('bfloat16' in line)
  if rounds:
    assert 1e-5 < entry['bfloat16_difference'] < 0.05


def test_an_extractor_that_classifies(tmp_path):
  section = RELEASED | {'model': 'baseline', 'width': 0.05}
  front_end = {'trim_db': 60.0, 'peak_normalise': True, 'precision': 'float16'}
  front_end |= vggish.BASELINE_FRONT_END._replace(tail='repeat').record()
  hears = randomly(vggish.BaselineCNN(3, 0.05), np.zeros((1, 25, 64)))
  tagger = tagger_of(
    {'objective': 'single_label', 'extractor': section | {'tail': 'repeat'},
     'front_end': front_end}, [hears],
  )  # fmt: skip
  tags, examples = export.write(tagger, tmp_path / 'out', 0.6, ONNX)
  assert 'exactly 0.6 s' in tags
  assert examples.startswith('examples.onnx: equal to')
  found = onnxruntime.InferenceSession(tmp_path / 'out/examples.onnx')
  assert found.get_outputs()[0].name == 'probabilities'


@pytest.fixture(scope='module')
def exported(dcase_run, tmp_path_factory):
  """A bundle of two extractors and two lengths of pieces: folder, tagger."""
  folder = tmp_path_factory.mktemp('onnx') / 'out'
  tagger = aec_jax.load(dcase_run[2] / 'bundle')
  assert len(list(export.write(tagger, folder, 2.5, ONNX))) == 4
  return folder, tagger


def test_a_bundle_is_predicted_with_by_onnxruntime_alone(exported):
  folder, tagger = exported
  waves = RNG.uniform(-0.3, 0.3, (4, 40_000)).astype(np.float32)
  session = onnxruntime.InferenceSession(folder / 'tags.onnx')
  (found,) = session.run(None, {'waveforms': waves})
  expected = [tagger.predict(x, 16_000).probabilities for x in waves]
  np.testing.assert_allclose(found, expected, atol=1e-4)
  told = session.get_modelmeta().custom_metadata_map
  assert json.loads(told['classes']) == list(tagger.classes)
  assert session.get_inputs()[0].shape == ['batch', 40_000]


def test_audiosets_quantised_embeddings(hearing, tmp_path):
  tagger = aec_jax.load(*hearing)
  list(export.write(tagger, tmp_path / 'out', 0.5, ONNX))
  run = {
    path.stem: ONNX.decode(path.read_bytes())
    for path in (tmp_path / 'out').glob('*.onnx')
  }
  assert set(run) == {'tags', 'examples', 'classifier_10'}
  wave = RNG.uniform(-1, 1, (1, 15_600)).astype(np.float32)
  embedded = run['examples'](wave)
  assert (embedded.shape, embedded.dtype) == ((1, 1, 128), np.uint8)
  pieces = np.repeat(embedded, 10, 1)
  found = run['classifier_10'](pieces, np.array([1], np.int32))
  expected = tagger.predict(wave[0], 16_000).probabilities
  np.testing.assert_allclose(found[0], expected, atol=2e-3)


def test_without_onnx_it_says_how_to_get_it(hearing, capfd, monkeypatch):
  monkeypatch.setitem(sys.modules, 'onnxruntime', None)
  arguments = [f'--bundle={hearing[0]}', '--out=nowhere', '--format=onnx']
  assert console.run_command(lambda: export.main(arguments)) == 2
  assert "needs onnxruntime, which isn't installed" in capfd.readouterr().err


# In the place of onnxruntime's build for browsers, which npm would fetch: the
# same calls, that this process answers.
STAND_IN = """
export const env = {wasm: {}};
export class Tensor {
  constructor(type, data, dims) { Object.assign(this, {type, data, dims}); }
}
const create = async file => ({run: async feeds => {
  const given = Object.entries(feeds).map(([name, {type, data, dims}]) =>
    ({name, type, dims, data: Array.from(data)}));
  const {name, data, dims} = await window.answer(file, given);
  return {[name]: {dims, data: Float32Array.from(data)}};
}});
export const InferenceSession = {create};
"""


@functools.cache
def session_of(path):
  return onnxruntime.InferenceSession(path)


def answer(folder, file, given):
  """What the session of a file says, as the page's JavaScript takes it."""
  session = session_of(folder / file)
  feeds = {
    x['name']: np.array(x['data'], x['type']).reshape(x['dims']) for x in given
  }
  (found,) = session.run(None, feeds)
  (output,) = session.get_outputs()
  return {
    'name': output.name, 'dims': list(found.shape),
    'data': found.ravel().tolist(),
  }  # fmt: skip


def test_the_page_says_what_the_bundle_says(exported, browser, tmp_path):
  folder, tagger = exported
  (tmp_path / 'ort').mkdir()
  for name in ('export.json', *(p.name for p in folder.glob('*.onnx'))):
    (tmp_path / name).symlink_to(folder / name)
  (tmp_path / 'ort/ort.wasm.min.mjs').write_text(STAND_IN)
  assert onnx_page.main([str(tmp_path)]) == 0
  tab = browser.new_page()
  tab.set_default_timeout(PATIENCE)
  complaints, strangers = [], []
  tab.on('console', lambda message: complaints.append(message.text))
  tab.on('pageerror', lambda error: complaints.append(str(error)))
  tab.expose_function('answer', functools.partial(answer, tmp_path))

  def serve(route):
    host, path = route.request.url.removeprefix('http://').split('/', 1)
    if host != 'page':
      strangers.append(host)
    route.fulfill(path=tmp_path / path)

  tab.route('**/*', serve)
  tab.goto('http://page/index.html')
  tab.wait_for_selector('input:not([disabled])')
  # Silence at the ends, and of 8 kHz what is resampled.
  loud = np.sin(np.arange(36_000) ** 1.4 / 9) * np.linspace(0.1, 0.8, 36_000)
  sound = np.pad(loud, (3000, 5000))
  opposite = np.stack([0.5 * loud, -0.49 * loud], 1)
  for name, rate, kept, tolerance in (
    ('long.wav', 16_000, sound, 1e-4), ('short.wav', 16_000, loud[:9000], 1e-4),
    ('slow.wav', 8_000, sound, 5e-3), ('opposite.wav', 16_000, opposite, 1e-4),
  ):  # fmt: skip
    soundfile.write(tmp_path / name, kept, rate)
    tab.set_input_files('input', tmp_path / name)
    tab.wait_for_function(
      f'document.querySelector("caption").textContent.startsWith("{name}")'
    )
    found = [row.split() for row in tab.locator('tbody tr').all_inner_texts()]
    expected = dict(tagger.predict(tmp_path / name).tags)
    assert [row[0] for row in found] == list(expected)
    np.testing.assert_allclose(
      [float(row[1]) for row in found], list(expected.values()), atol=tolerance
    )
  assert 'channel 1 alone' in tab.locator('caption').inner_text()
  soundfile.write(tmp_path / 'silent.wav', np.zeros(900), 8000)
  for name, says in (
    ('silent.wav', 'nothing is heard'), ('export.json', 'Unable to decode'),
  ):  # fmt: skip
    tab.set_input_files('input', tmp_path / name)
    tab.wait_for_selector(f'[role=alert]:has-text("{says}")')
    assert not tab.locator('table').is_visible()
  assert (complaints, strangers) == ([], [])
  (tmp_path / 'export.json').write_text('cut off')
  tab.reload()
  tab.wait_for_selector('[role=alert]:has-text("not valid JSON")')
  assert tab.locator('input').is_disabled()


def test_without_npm_or_an_export_the_page_is_refused(tmp_path, monkeypatch):
  with pytest.raises(UserError, match='is no ONNX export'):
    onnx_page.main([str(tmp_path)])
  (tmp_path / 'export.json').touch()
  (tmp_path / 'tags.onnx').touch()
  monkeypatch.setenv('PATH', '')
  with pytest.raises(UserError, match='npm, .* is missing'):
    onnx_page.main([str(tmp_path)])
  assert not (tmp_path / 'index.html').exists()
