"""Starting from a finished experiment: what is taken over, and what is not."""

import shutil

import dcase_data
import jax
import numpy as np
import pytest
import soundfile

from aec_jax import dry_run, experiment, sources, warm_start
from aec_jax.bundle import store
from aec_jax.bundle.card import caveats
from aec_jax.config_checks import check_config
from aec_jax.errors import UserError
from aec_jax.input.folds import Member


def starting(finished, data_dir='somewhere', **fields):
  """A config of other recordings that starts from a finished experiment."""
  flat = {
    'init_from': str(finished), 'segments': (1,), 'pitch_to': 0,
    'extractor.batch_norm': False,
  }  # fmt: skip
  return dcase_data.tiny_config(data_dir=data_dir, **flat | fields)


@pytest.fixture(scope='module')
def four_classes(tmp_path_factory):
  """A folder of recordings of its own, of four classes."""
  root, rng = tmp_path_factory.mktemp('own'), np.random.default_rng(1)
  for name in ('a', 'b', 'c', 'd'):
    (root / name).mkdir()
    for i in range(4):
      wave = dcase_data.tone(rng, 'mid', 1.1)
      soundfile.write(root / name / f'{i}.wav', wave, dcase_data.RATE)
  return root


def test_other_classes_start_from_its_extractor_and_hidden_layers(
  dcase_run, four_classes, tmp_path
):
  workdir = dcase_run[2]
  config = starting(
    workdir, four_classes, dataset='folder', extractors=('original',),
    max_steps=2,
  )  # fmt: skip
  results = experiment.run(config, tmp_path / 'run', tmp_path / 'cache')
  there, here = store.read(workdir), store.read(tmp_path / 'run')
  # The first extractor, as it is: none there is called 'original'.
  for found in here.extractors:
    jax.tree.map(np.testing.assert_array_equal, found, there.extractors[0])
  assert len(here.info['classes']) == 4 != len(there.info['classes'])
  assert here.info['config']['init_from'] == workdir.name
  card = (tmp_path / 'run/bundle/README.md').read_text()
  assert ', started from dcase' in card and 'random weights' not in card
  assert caveats(here.info) == [f'started from {workdir.name}']
  assert results['notes'] == []
  again = experiment.run(
    config, tmp_path / 'run', tmp_path / 'cache', 'evaluate'
  )
  assert again['metrics'] == results['metrics']

  # Two steps of training leave the hidden layers near where they began.
  def kernel(stored, i=0):
    variables = stored.ensembles[0].variables
    return variables['params']['hidden1']['dense']['kernel'][i]

  assert np.abs(kernel(here) - kernel(there)).max() < 0.02
  other = np.abs(kernel(here) - np.random.permutation(kernel(there))).max()
  assert other > 0.1


def test_members_take_the_classifiers_of_their_own_extractor(dcase_run):
  finished = warm_start.of(starting(dcase_run[2]))
  ensemble = store.read(dcase_run[2]).ensembles[1]  # pieces of 2
  nothing = np.zeros(0, int)
  names = ('unbalanced_last', 'balanced_first', 'original/3')
  members = [Member(name, i, *[nothing] * 3) for i, name in enumerate(names)]
  found = finished.hidden(members, names, length=2)
  named = finished.info['extractors']
  expected = [
    np.flatnonzero(ensemble.extractors == i)[m % 2]
    for m, i in enumerate((named.index(names[0]), named.index(names[1]), 0))
  ]
  for part in ('params', 'batch_stats'):
    layer = ensemble.variables[part]['hidden2']
    jax.tree.map(
      lambda x, y: np.testing.assert_array_equal(x, y[expected]),
      found[part]['hidden2'], layer,
    )  # fmt: skip
  # What depends on the number of classes is not taken over.
  assert set(found['params']) == {'hidden1', 'hidden2', 'hidden3'}


def test_an_extractor_starts_from_that_of_its_name(dcase_run):
  finished = warm_start.of(starting(dcase_run[2]))
  stored = store.read(dcase_run[2])
  start = finished.extractors()
  for title in ('unbalanced_last', 'unbalanced_last/2'):
    i = stored.info['extractors'].index('unbalanced_last')
    found = start.variables(title)['params']['extractor']
    jax.tree.map(
      np.testing.assert_array_equal, found, stored.extractors[i]['params']
    )


def test_embeddings_start_from_hidden_layers_alone(
  audioset_run, audioset_dir, tmp_path
):
  config = audioset_run[0].copy_and_resolve_references()
  before = sources.Released(config, tmp_path).fingerprints
  config.init_from = str(audioset_run[2])
  check_config(config)
  source = sources.Released(config, tmp_path)
  assert source.fingerprints != before
  layers = source.learned(10)['params']
  assert set(layers) == {'hidden1', 'hidden2', 'hidden3'} & set(layers) != set()
  stored = store.read(audioset_run[2]).ensembles[0].variables
  jax.tree.map(
    np.testing.assert_array_equal,
    layers['hidden1'], stored['params']['hidden1'],
  )  # fmt: skip


@pytest.mark.parametrize(
  ('fields', 'words'),
  [
    ({'extractor.init': 'vggish.npz'}, 'both say what extractors start from'),
    ({'extractor.width': 0.06}, r'extractor.width is 0.06, and .* 0.03'),
    ({'extractor.batch_norm': True}, 'extractor.batch_norm is True'),
    ({'model.hidden': (8, 8, 9)}, r'\(hidden .*8, 8, 8.* there, .*8, 8, 9'),
    ({'init_from': '/nowhere'}, 'config.init_from: /nowhere is no bundle'),
  ],
)
def test_what_does_not_fit_is_refused(dcase_run, fields, words):
  with pytest.raises(UserError, match=words) as error:
    check_config(starting(**{'finished': dcase_run[2]} | fields))
  assert '\n' not in str(error.value)


def test_embeddings_of_audioset_are_none_of_recordings(audioset_run):
  with pytest.raises(UserError, match="extractor.model is 'vggish', and that"):
    check_config(starting(audioset_run[2]))


def test_the_weights_name_what_starts_from_them(
  dcase_run, four_classes, tmp_path
):
  """A copy is the same; other weights are another extractor's beginning."""
  copy = shutil.copytree(dcase_run[2] / 'bundle', tmp_path / 'copy')
  keys = [warm_start.of(starting(f)).key for f in (dcase_run[2], copy)]
  assert keys[0] == keys[1]
  assert warm_start.extractors_of(starting('')).key == ''
  config = starting(copy, four_classes, dataset='folder')
  said = [*dry_run.lines(config, tmp_path / 'run', tmp_path / 'cache', {})]
  assert f'extractors and hidden layers start from {copy} (dcase_l6)' in said


def test_scores_of_clips_that_were_heard_there_are_called_too_good(
  dcase_run, four_classes, tmp_path, monkeypatch
):
  config = starting(dcase_run[2], four_classes, dataset='folder')
  source = sources.Recorded(config, tmp_path)
  assert source.notes == []
  heard = sources.Recorded(dcase_run[0], dcase_run[2].parent / 'cache')
  finished = warm_start.of(config)
  assert finished.knows(heard.scored_fingerprints)
  assert not finished.knows(source.scored_fingerprints)
  monkeypatch.setattr(warm_start.Finished, 'knows', lambda *_: True)
  source = sources.Recorded(config, tmp_path)
  (note,) = source.notes
  assert 'the scores are too good' in note['reason']
