"""Recordings with several labels each, from wavs to report and bundle."""

import bundle_data
import dcase_data
import numpy as np
import pytest
import soundfile
from jax import export as jax_export

import aec_jax
from aec_jax import experiment, export
from aec_jax.audio import stream
from aec_jax.objective import OBJECTIVES

# Labels of clips, over and over.
KINDS = (('low',), ('high', 'low'), ('mid',), ('high',), ('high', 'mid'))
TINY = {
  'segments': (1,), 'extractor.width': 0.01, 'extractor.init': 'random',
}  # fmt: skip


def write_clips(folder, names):
  """A clip of each name, of the tones of its labels; their rows."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(0)
  rows = []
  for i, name in enumerate(names):
    labels = KINDS[i % len(KINDS)]
    seconds = rng.uniform(0.5, 2.5)
    wave = sum(dcase_data.tone(rng, label, seconds) for label in labels) / 2
    soundfile.write(folder / f'{name}.wav', wave, dcase_data.RATE)
    rows.append((name, ','.join(labels)))
  return rows


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """An experiment in the form of configs/folder_multi.py."""
  root = tmp_path_factory.mktemp('multi')
  rows = write_clips(root / 'clips', [f'clip{i:02d}' for i in range(20)])
  lines = [f'{name}.wav,"{labels}"\n' for name, labels in rows]
  (root / 'clips/labels.csv').write_text('file,labels\n' + ''.join(lines))
  config, results = bundle_data.dcase_run(
    root, 'folder_multi', root / 'clips', extractors=('balanced_first',), **TINY
  )
  return config, results, root / 'folder_multi'


def test_it_is_scored_out_of_fold_by_map(finished):
  _, results, workdir = finished
  assert results['scored_on'] == 'out-of-fold'
  assert results['n_examples'] == 20
  with np.load(workdir / 'predictions.npz') as file:
    found = file['probabilities']
    counts = np.diff(file['label_offsets'])
  np.testing.assert_array_equal(counts, [len(k) for k in KINDS] * 4)
  # Each class is decided by itself.
  assert np.ptp(found.sum(1)) > 1e-4
  assert set(results['metrics']) == set(OBJECTIVES['multi_label'].metrics)
  assert set(results['per_class']['low']) == {'AP', 'AUC'}
  low, high = results['intervals']['mAP']
  assert low <= results['metrics']['mAP'] <= high
  text = (workdir / 'report/index.html').read_text()
  assert 'Confusions' not in text and 'mAP' in text
  assert 'class="strip"' in text


def test_the_bundle_and_its_export_predict_alike(finished, tmp_path):
  config, _, workdir = finished
  tagger = aec_jax.load(workdir / 'bundle')
  # Loud to its ends, and of whole segments: an export trims and fits nothing.
  rng = np.random.default_rng(1)
  waves = rng.uniform(-0.5, 0.5, (3, 2 * 15_600)).astype(np.float32)
  expected = [tagger.predict(x, 16_000).probabilities for x in waves]
  list(export.write(tagger, tmp_path / 'out', 2 * 0.975))
  data = (tmp_path / 'out/tags.stablehlo').read_bytes()
  program = jax_export.deserialize(bytearray(data))
  np.testing.assert_allclose(program.call(waves), expected, atol=1e-4)
  path = f'{config.data_dir}/clip00.wav'
  (tags,) = tagger.tag([stream.Recording.of_file(path)])
  assert tags.probabilities.shape == (3,)


def test_an_evaluation_gives_the_same_digits(finished, tmp_path):
  config, results, workdir = finished
  again = experiment.run(config, workdir, tmp_path, 'evaluate')
  assert again['metrics'] == results['metrics']


def test_its_own_splits_are_kept_as_fsd50k_has_them(tmp_path):
  root = tmp_path / 'fsd50k'
  truth = root / 'FSD50K.ground_truth'
  dev = write_clips(root / 'FSD50K.dev_audio', range(15))
  tests = write_clips(root / 'FSD50K.eval_audio', range(100, 110))
  truth.mkdir()
  names = sorted(dcase_data.PITCHES)
  (truth / 'vocabulary.csv').write_text(
    ''.join(f'{i},{name},/m/{name}\n' for i, name in enumerate(names))
  )
  lines = [
    f'{name},"{labels}",x,{"val" if i >= 10 else "train"}\n'
    for i, (name, labels) in enumerate(dev)
  ]
  (truth / 'dev.csv').write_text('fname,labels,mids,split\n' + ''.join(lines))
  lines = [f'{name},"{labels}",x\n' for name, labels in tests]
  (truth / 'eval.csv').write_text('fname,labels,mids\n' + ''.join(lines))
  _, results = bundle_data.dcase_run(
    tmp_path, 'fsd50k', root, extractors=('unbalanced',), **TINY
  )
  assert results['scored_on'] == 'test'
  assert (results['n_train_examples'], results['n_examples']) == (10, 10)
  (report,) = results['ensembles'].values()
  # One member, which stops by the validation clips.
  assert [m['name'] for m in report['members']] == ['unbalanced/0']
  with np.load(tmp_path / 'fsd50k/predictions.npz') as file:
    ids, found = file['ids'], file['probabilities']
  tagger = aec_jax.load(tmp_path / 'fsd50k/bundle')
  paths = [root / f'FSD50K.eval_audio/{n}.wav' for n, _ in tests]
  again = tagger.tag(map(stream.Recording.of_file, paths))
  np.testing.assert_allclose(
    [tags.probabilities for tags in again], found, rtol=1e-3, atol=1e-5
  )
  assert len(ids) == 10
