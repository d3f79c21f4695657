"""The checkpoint converter, on checkpoints that these tests write."""

import jax
import numpy as np
import pytest
from test_vggish import tensorflow_vggish

from aec_jax.errors import UserError
from aec_jax.models import convert, vggish
from aec_jax.run.console import run_command

WIDTH = 1 / 16

# The release's variables, written out.
NAMES = [
  'vggish/conv1',
  'vggish/conv2',
  'vggish/conv3/conv3_1',
  'vggish/conv3/conv3_2',
  'vggish/conv4/conv4_1',
  'vggish/conv4/conv4_2',
  'vggish/fc1/fc1_1',
  'vggish/fc1/fc1_2',
  'vggish/fc2',
]


def released(width=WIDTH):
  """{variable: array} of a checkpoint of this width."""
  rng = np.random.default_rng(0)
  shapes = convert.shapes(width)
  variables = {}
  for name in NAMES:
    layer = name.split('/')[-1]
    for kind, theirs in (('kernel', 'weights'), ('bias', 'biases')):
      array = rng.standard_normal(shapes[f'{layer}/{kind}'])
      variables[f'{name}/{theirs}'] = array.astype(np.float32)
  return variables


def write_checkpoint(path, variables, version=2):
  """Saves variables as a TensorFlow 1 graph does; version 1 has one file."""
  import tensorflow as tf

  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    saved = [
      tf.compat.v1.get_variable(name, initializer=value)
      for name, value in variables.items()
    ]
    session.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver(saved, write_version=version).save(
      session, str(path), write_meta_graph=False
    )
  return str(path)


def by_our_names(variables):
  """{layer: {'kernel': …, 'bias': …}} of the release's variables."""
  return {
    name.split('/')[-1]: {
      'kernel': variables[f'{name}/weights'],
      'bias': variables[f'{name}/biases'],
    }
    for name in NAMES
  }


def command(*argv):
  return run_command(lambda: convert.main(argv))


def test_shapes_are_the_module_s():
  x = np.zeros((1, 96, 64), np.float32)
  for width in (1.0, WIDTH):
    init = vggish.VGGish(width=width).init
    params = jax.eval_shape(init, jax.random.key(0), x)['params']
    flat = {
      f'{layer}/{kind}': array.shape
      for layer, kinds in params.items()
      for kind, array in kinds.items()
    }
    assert flat == convert.shapes(width)


def test_round_trip(tmp_path):
  variables = released()
  extra = {
    'vggish/fc2/weights/Adam': np.zeros((2, 2), np.float32),
    'global_step': np.int64(3),
  }
  ckpt = write_checkpoint(tmp_path / 'model.ckpt', variables | extra)
  printed = convert.describe(ckpt, WIDTH)
  for name in NAMES:
    assert f'{name}/weights ' in printed and f'{name}/biases ' in printed
  assert '3×3×8×8' in printed
  assert 'ignored: global_step, vggish/fc2/weights/Adam' in printed

  out = tmp_path / 'new' / 'vggish.npz'
  convert.save(str(out), convert.read(ckpt, WIDTH))
  assert [file.name for file in out.parent.iterdir()] == ['vggish.npz']
  loaded = convert.load(str(out), WIDTH)
  expected = by_our_names(variables)
  jax.tree.map(np.testing.assert_array_equal, loaded, expected)
  x = np.random.default_rng(1).standard_normal((2, 96, 64), np.float32)
  ours = jax.jit(vggish.VGGish(width=WIDTH).apply)({'params': loaded}, x)
  theirs = tensorflow_vggish(expected, x, last_relu=False)
  np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize('version', [1, 2])
def test_a_checkpoint_is_as_good_as_the_file(tmp_path, capsys, version):
  variables = released() | {'global_step': np.int64(3)}
  ckpt = write_checkpoint(tmp_path / 'model.ckpt', variables, version)
  assert (tmp_path / 'model.ckpt').is_file() == (version == 1)
  expected = by_our_names(variables)
  params, width = convert.load_any_width(ckpt)
  assert width == WIDTH
  for loaded in (params, convert.load(ckpt, WIDTH)):
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)
  with pytest.raises(UserError, match='conv1/kernel is 3×3×1×8'):
    convert.load(ckpt)
  assert capsys.readouterr().out == ''


def test_a_cut_checkpoint_is_refused(tmp_path):
  ckpt = write_checkpoint(tmp_path / 'model.ckpt', released(), version=1)
  whole = (tmp_path / 'model.ckpt').read_bytes()
  for size in (0, 100, len(whole) // 2, len(whole) - 1):
    (tmp_path / 'model.ckpt').write_bytes(whole[:size])
    with pytest.raises(UserError, match='checkpoint') as caught:
      convert.load(ckpt, WIDTH)
    assert '\n' not in str(caught.value)


def test_a_missing_variable_is_refused(tmp_path):
  variables = released()
  del variables['vggish/conv3/conv3_2/biases']
  ckpt = write_checkpoint(tmp_path / 'model.ckpt', variables)
  with pytest.raises(UserError, match='no variable vggish/conv3/conv3_2/bia'):
    convert.read(ckpt, WIDTH)
  with pytest.raises(UserError, match='no variable conv3_2/bias'):
    convert.load(ckpt, WIDTH)
  assert 'missing' in convert.describe(ckpt, WIDTH)


def test_another_width_is_refused_and_nothing_written(tmp_path, capsys):
  ckpt = write_checkpoint(tmp_path / 'model.ckpt', released())
  out = tmp_path / 'vggish.npz'
  assert command(ckpt, str(out)) == 2
  error = capsys.readouterr().err
  assert error.startswith('error: ') and error.count('\n') == 1
  assert 'vggish/conv1/weights is 3×3×1×8, VGGish has 3×3×1×64' in error
  assert not out.exists()


def test_no_checkpoint_is_refused(tmp_path, capsys):
  assert command(str(tmp_path / 'none.ckpt'), 'out.npz') == 2
  assert 'no TensorFlow checkpoint' in capsys.readouterr().err
  (tmp_path / 'text.ckpt').write_text('hello')
  assert command(str(tmp_path / 'text.ckpt'), 'out.npz') == 2
  assert capsys.readouterr().err.count('\n') == 1


def test_usage(capsys):
  assert command() == 2
  assert 'CKPT, OUT' in capsys.readouterr().err
  with pytest.raises(SystemExit) as status:
    command('--help')
  assert status.value.code == 0
  assert 'vggish_model.ckpt vggish.npz\n' in capsys.readouterr().out


def test_load_refuses_other_files(tmp_path):
  with pytest.raises(UserError, match='no such file'):
    convert.load(str(tmp_path / 'none.npz'))
  path = tmp_path / 'x.npz'
  path.write_text('hello')
  with pytest.raises(UserError, match='not a file of'):
    convert.load(str(path))
  params = {k: np.zeros(s, 'f') for k, s in convert.shapes(WIDTH).items()}
  convert.save(str(path), params)
  with pytest.raises(UserError, match='conv1/kernel is 3×3×1×8'):
    convert.load(str(path))
  del params['fc2/bias']
  convert.save(str(path), params)
  with pytest.raises(UserError, match='no variable fc2/bias'):
    convert.load(str(path), WIDTH)
