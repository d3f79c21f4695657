"""What a stranger's bundle may not be, and how what it says is shown."""

import os
import types

import jax
import numpy as np
import pytest

from aec_jax import answers, formats
from aec_jax.bundle import card, checks, sizes, store
from aec_jax.bundle.tags import Tags
from aec_jax.errors import UserError
from aec_jax.run import console, text
from tests.bad_inputs import forging

NAMES = ('bundle.json', 'README.md', 'weights.npz')
EVIL = ('\x1b[31mred\n', '=1+1', 'a\rb', '![x](http://x)')


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  return forging.make_bundle(tmp_path_factory.mktemp('whole') / 'x')


@pytest.fixture
def bundle(whole, tmp_path):
  """A copy to spoil."""
  for name in NAMES:
    (tmp_path / name).write_bytes((whole / name).read_bytes())
  return tmp_path


def to_zero(path):
  path.symlink_to('/dev/zero')


def to_itself_elsewhere(path):
  moved = path.rename(path.with_name('moved'))
  path.symlink_to(moved)


def grown(path):
  os.truncate(path, 1 << 40)  # of which the disk holds nothing


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
  ('spoil', 'says'),
  [
    (to_zero, 'is a link'),
    (to_itself_elsewhere, 'is a link'),
    (os.mkfifo, 'is no regular file'),
    (os.mkdir, 'cannot be read'),
    (grown, 'has .* bytes and can have'),
  ],
)
def test_only_regular_files_of_a_known_size_are_read(bundle, name, spoil, says):
  path = bundle / name
  if spoil in (to_zero, os.mkfifo, os.mkdir):
    path.unlink()
  spoil(path)
  with pytest.raises(UserError, match=f'{name} {says}'):
    store.read(bundle)


def spoilt(bundle, **changes):
  forging.change_info(bundle, **changes)
  with pytest.raises(UserError, match='not a bundle that this') as error:
    store.read(bundle)
  assert '\n' not in str(error.value)
  return str(error.value)


def test_numbers_are_bounded_by_the_memory_they_take(bundle, monkeypatch):
  info = store.read(bundle).info
  (ensemble,) = info['ensembles']
  long = [ensemble | {'length': 100_000}]
  hidden = info['model'] | {'hidden': [8] * 101}
  frames = info['extractor'] | {'frames': 10_001}
  assert 'hidden' in spoilt(bundle, model=hidden)
  forging.change_info(bundle, model=info['model'])
  assert 'frames' in spoilt(bundle, extractor=frames)
  forging.change_info(bundle, extractor=info['extractor'])
  assert 'classes' in spoilt(bundle, classes=['a', 'b', 'c' * 1001])
  forging.change_info(bundle, classes=info['classes'], ensembles=long)
  store.read(bundle)  # its layers are narrow
  monkeypatch.setattr(sizes, 'MOST_BYTES', 1 << 20)
  assert 'pieces of 100,000 segments' in spoilt(bundle)


def test_batches_are_as_large_as_memory_allows():
  shapes = [(128, 600), (600,)]
  assert sizes.pieces_together(10, shapes) == 64
  for length in (10_000, 50_000):
    together = sizes.pieces_together(length, shapes)
    assert together * sizes.piece_bytes(length, shapes) <= sizes.MOST_BYTES
  assert sizes.pieces_together(10**6, shapes) == 1
  assert [sizes.examples_together(n) for n in (48, 96, 192, 10_000)] == [
    32, 32, 16, 1
  ]  # fmt: skip


@pytest.mark.parametrize(
  'change',
  [
    lambda x: x * np.float32(1e30), lambda x: x * np.nan, lambda x: x[..., :1],
    lambda x: x.astype(np.float64),
  ],
)  # fmt: skip
def test_weights_are_those_of_a_network(bundle, change):
  name = 'ensembles/0/params/hidden1/dense/kernel'
  with np.load(bundle / 'weights.npz', allow_pickle=False) as file:
    new = {name: change(file[name])}
  forging.forge(bundle, **new)
  assert name in spoilt(bundle)


def test_what_comes_out_is_never_nan(whole):
  tagger = store.load(whole)
  (ensemble,) = tagger.ensembles
  bad = jax.tree.map(lambda x: x * np.nan, ensemble.variables)
  ensemble.variables.update(bad)
  (found,) = tagger.tag([np.zeros((10, 128), np.uint8)])
  assert isinstance(found, UserError) and 'makes NaN of it' in str(found)


def tags() -> Tags:
  ones = np.ones(1, np.float32)
  return Tags(
    classes=EVIL, probabilities=np.full(len(EVIL), 0.5), times=ones,
    seconds=1.0, timeline=np.ones((1, len(EVIL))), attention=None, uniform=ones,
    duration=1.0, kept=(0.0, 1.0),
  )  # fmt: skip


def test_labels_act_on_no_terminal_and_in_no_spreadsheet(capsys):
  rows = answers.Found(tags().tags)
  asked = answers.Tags(
    types.SimpleNamespace(classes=EVIL, test_shifts=1),
    9,
    np.ones(len(EVIL), bool),
  )
  for kind in ('table', 'csv'):
    with formats.writer(kind, asked, (0, 8000)) as show:
      show('=a\x1b.wav', rows)
  out = capsys.readouterr().out
  lines = out.splitlines()
  assert len(lines) == 1 + len(EVIL) + 1 + len(EVIL)
  assert all(c.isprintable() for c in out.replace('\n', ''))
  assert r'\x1b[31mred\n' in lines[1]
  assert r"'=a\x1b.wav,'=1+1,0.5" in lines
  assert '\x1b' not in repr(tags()) and '\n' not in repr(tags())
  shown = console.table([('a', 'b'), EVIL[:2]])
  assert len(shown.splitlines()) == 3 and '\x1b' not in shown


@pytest.mark.parametrize('word', ['=1', '+1', '-1', '@x'])
def test_a_cell_is_no_formula(word):
  assert text.cell(word) == f"'{word}"


def test_the_card_shows_a_name_as_it_is(whole):
  info = store.read(whole).info | {'experiment': '\n![x](http://x) <img>'}
  lines = card.card(info).splitlines()
  title = next(line for line in lines if line.startswith('# '))
  assert title == r'# \\n!\[x\](http://x) \<img\>'


def test_a_file_holds_its_arrays_and_little_more():
  shapes = {'a': (1000, 1000), 'b': ()}
  assert 4_000_004 < checks.file_size(shapes) < 4_020_000


def test_a_card_has_a_column_of_the_thesis_where_it_has_scores():
  scores = lambda **expected: card._scores(
    {'metrics': {'MAP@3': 0.5, 'accuracy': 0.25}, 'expected': expected}
  )
  assert 'thesis' not in scores() and '| MAP@3 | 0.5000 |\n' in scores()
  assert '| MAP@3 | 0.5000 | 0.936 |\n' in scores(**{'MAP@3': 0.936})
  assert '| accuracy | 0.2500 | |' in scores(**{'MAP@3': 0.936})


@pytest.mark.parametrize(
  'config',
  ['x', ['x'], 3, {'init_from': 3}, {'init_from': 'x' * 10_000}]
  + [{'dataset': x} for x in (3, ['x'], None)]
  + [{'train_splits': x} for x in ('x', [3], {}, None)]
  + [{'test_shifts': x} for x in ('\x1b[31mx', [1], None, True, 0, 2, 10**40)],
)
def test_a_config_that_nobody_wrote_is_refused(bundle, config):
  if isinstance(config, dict):
    config = store.read(bundle).info['config'] | config
  spoilt(bundle, config=config)


def test_a_config_says_what_the_model_was_trained_on(bundle):
  config = store.read(bundle).info['config']
  del config['train_splits']  # which not every bundle has told
  forging.change_info(bundle, config=config)
  assert 'AudioSet, but' in card.about(store.read(bundle).info)
  del config['dataset']
  assert "no 'dataset'" in spoilt(bundle, config=config)


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('metrics', (None, [1], 'x', {'mAP': 'x'}, {'mAP': 10**400})),
    ('expected', (None, 3, {'mAP': 'x'}, {'mAP': [1]}, {'mAP': 10**400})),
    ('n_examples', (None, '5', 1.5, True)),
    ('n_train_examples', (None, [5], {})),
    ('versions', (None, 'x', ['x'], {'jax': 3})),
    ('dataset_fingerprint', (None, 1e308, ['x'])),
    ('synthetic', (None, 'x', 3)),
    ('scored_on', (3, ['x'])),
    ('config', (None, {})),
  ],
)
def test_what_the_page_of_a_demo_tells_is_there_and_of_its_type(
  bundle, name, values
):
  for value in values:
    assert name in spoilt(bundle, **{name: value})


@pytest.mark.parametrize('name', ['scored_on', 'best_step', 'decisions'])
def test_what_older_bundles_lack_is_not_needed(bundle, name):
  forging.change_info(bundle, **{name: None})
  assert card.about(store.read(bundle).info)


@pytest.mark.parametrize(
  'decisions',
  [
    {'slope': ['1', '1', '1']},
    {'offset': [0, 0, '123']},
    {'threshold': [[1], [2], [3]]},
    {'threshold': '123'},
    {'threshold': [0.5, 10**30, None]},
  ],
)
def test_decisions_are_numbers(bundle, decisions):
  numbers = {name: [1, 1.0, 1] for name in ('slope', 'offset', 'threshold')}

  def made(numbers):
    point = {'threshold': numbers['threshold']}
    return {'calibration': numbers, 'points': {'best F1': point, '0.9': point}}

  forging.change_info(bundle, decisions=made(numbers))
  store.read(bundle)
  assert 'decisions' in spoilt(bundle, decisions=made(numbers | decisions))


@pytest.mark.parametrize('section', ['format', 'extractor', 'model', 'metrics'])
def test_what_is_said_of_a_bundle_is_short(bundle, section):
  long, info = 'x' * 3_000_000, store.read(bundle).info
  new = {
    'format': long,
    'extractor': info['extractor'] | {'model': long},
    'model': info['model'] | {'name': long},
    'metrics': {long: long},
  }
  # With extractors of its own it is asked for their front end.
  names = ['a'] if section == 'extractor' else []
  forging.change_info(bundle, extractors=names, **{section: new[section]})
  with pytest.raises(UserError) as error:
    store.read(bundle)
  assert len(str(error.value)) < 600


def test_a_large_unknown_field_is_not_read(bundle):
  path = bundle / 'bundle.json'
  lists = '[],' * 6_000_000
  path.write_text(f'{{"x": [{lists}0],{path.read_text()[1:]}')
  with pytest.raises(UserError, match='bytes and can have'):
    store.read(bundle)


@pytest.mark.parametrize('text', ['', '{', '[' * 100_000, '\x00'])
def test_a_damaged_description_says_what_to_do(bundle, text):
  (bundle / 'bundle.json').write_text(text)
  with pytest.raises(UserError, match='copy the bundle again, or delete its'):
    store.read(bundle)
