"""Recordings to records, by shards; the records read by other means."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds

from aec_jax import scoring
from aec_jax import sources as sources_lib
from aec_jax.audio import log_mel, waveform
from aec_jax.datasets import audioset_tfrecord, recordings, tfrecord
from aec_jax.errors import UserError
from aec_jax.features import embedded_recordings
from aec_jax.models import convert, embedding_postprocess, vggish
from aec_jax.run import console
from aec_jax.tfds import audioset_embeddings_dataset_builder
from configs import audioset_level3
from launch import prepare

WIDTH = 0.02


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  """A segment list with its wavs, weights and PCA; one wav is missing."""
  folder = tmp_path_factory.mktemp('sources')
  rng = np.random.default_rng(0)
  for name, seconds in (('aaa', 3.0), ('bbb', 0.5), ('ccc', 10.7)):
    x = rng.normal(0, 0.1, int(16000 * seconds))
    soundfile.write(folder / f'{name}_1000.wav', x, 16000)
  (folder / 'segments.csv').write_text(
    '# Segments\n# YTID, start_seconds, end_seconds, positive_labels\n'
    'aaa, 1.000, 11.000, "/m/1,/m/0"\nbbb, 1.000, 11.000, "/m/2"\n'
    'gone, 1.000, 11.000, "/m/2"\nccc, 1.000, 11.000, "/m/1"\n'
  )
  (folder / 'classes.csv').write_text(
    'index,mid,display_name\n0,/m/0,"A, b"\n1,/m/1,C\n2,/m/2,D\n'
  )
  weights = {
    name: rng.normal(0, 0.1, shape).astype(np.float32)
    for name, shape in convert.shapes(WIDTH).items()
  }
  np.savez(folder / 'vggish.npz', **weights)
  np.savez(
    folder / 'pca.npz',
    pca_eigen_vectors=rng.normal(0, 1, (128, 128)),
    pca_means=rng.normal(0, 1, (128, 1)),
  )
  return folder


def run(sources, out, *more):
  return prepare.prepare(
    [
      f'--segments={sources}/segments.csv',
      f'--classes={sources}/classes.csv',
      f'--audio={sources}/{{id}}_{{start}}.wav',
      f'--out={out}',
      f'--weights={sources}/vggish.npz',
      f'--pca={sources}/pca.npz',
      f'--width={WIDTH}',
      '--files=2',
      *more,
    ]
  )


def hashes(out):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in (out / 'features' / 'bal_train').glob('*.tfrecord')
  }


@pytest.fixture(scope='module')
def written(sources, tmp_path_factory):
  out = tmp_path_factory.mktemp('out')
  said = run(sources, out)
  assert said.startswith('4 recordings in 2 files') and '1 left out' in said
  return out


def test_an_independent_reader_finds_what_vggish_makes(sources, written):
  found = {}
  for path in audioset_tfrecord.list_files(str(written), 'bal_train'):
    for payload, reason in tfrecord.walk(path):
      assert reason is None
      record = tf.train.SequenceExample.FromString(payload)
      context = record.context.feature
      (name,) = context['video_id'].bytes_list.value
      frames = record.feature_lists.feature_list['audio_embedding'].feature
      (start,) = context['start_time_seconds'].float_list.value
      found[name, round(start, 2)] = (
        list(context['labels'].int64_list.value),
        np.stack(
          [np.frombuffer(f.bytes_list.value[0], np.uint8) for f in frames]
        ),
      )
  # A recording of 11 segments is two records.
  assert set(found) == {
    (b'aaa', 1.0), (b'bbb', 1.0), (b'ccc', 1.0), (b'ccc', 10.6)
  }  # fmt: skip
  assert found[b'aaa', 1.0][0] == [0, 1] and found[b'ccc', 10.6][0] == [1]
  assert len(found[b'bbb', 1.0][1]) == len(found[b'ccc', 10.6][1]) == 1
  x, _ = waveform.read(sources / 'aaa_1000.wav')
  params = convert.load(str(sources / 'vggish.npz'), WIDTH)
  raw = vggish.VGGish('linear', WIDTH).apply(
    {'params': params}, log_mel.log_mel(waveform.split_examples(x))
  )
  pca = embedding_postprocess.load_pca(str(sources / 'pca.npz'))
  expected = np.asarray(embedding_postprocess.postprocess(raw, pca), int)
  got = found[b'aaa', 1.0][1].astype(int)
  # Another batch size may round otherwise, to the next step.
  assert got.shape == (3, 128) and np.abs(got - expected).max() <= 1
  assert got.std() > 10


def test_it_is_a_data_dir(written):
  assert audioset_tfrecord.read_classes(str(written)) == ('A, b', 'C', 'D')
  folder = written / 'features' / 'bal_train'
  (listed,) = folder.glob('*.skipped.json')
  (entry,) = json.loads(listed.read_text())
  assert entry['file'].endswith('gone_1000.wav')
  assert 'no such file' in entry['reason']


def test_what_is_written_stays_and_the_rest_equals_it(
  sources, written, tmp_path
):
  assert run(sources, tmp_path).startswith('4 recordings in 2 files')
  assert hashes(tmp_path) == hashes(written)
  (tmp_path / 'features' / 'bal_train' / '0001.tfrecord').unlink()
  assert run(sources, tmp_path).startswith('2 recordings in 1 files')
  assert hashes(tmp_path) == hashes(written)
  with pytest.raises(UserError, match='give another --out'):
    run(sources, tmp_path, '--files=3')


def test_a_full_disk_leaves_what_is_whole(
  sources, written, tmp_path, monkeypatch, capsys
):
  write, calls = audioset_tfrecord.write, []

  def full(records, path):
    calls.append(path)
    write(records[:1] if len(calls) == 2 else records, path)
    if len(calls) == 2:  # as TensorFlow puts it
      raise tf.errors.ResourceExhaustedError(
        None, None, f'{path}; No space left on device'
      )

  monkeypatch.setattr(embedded_recordings.audioset_tfrecord, 'write', full)
  command = lambda: run(sources, tmp_path) and 0
  assert console.run_command(command) == 2
  err = capsys.readouterr().err.splitlines()
  assert f'error: cannot write {tmp_path}: No space left on device' in err[-1]
  folder = tmp_path / 'features' / 'bal_train'
  names = {path.name for path in folder.iterdir()}
  assert names == {'made_of.json', '0000.tfrecord', '0000.skipped.json'}
  # As a version has left it that did not write it whole.
  text = (folder / 'made_of.json').read_text()
  (folder / 'made_of.json').write_text(text[:30])
  assert console.run_command(command) == 0
  assert (folder / 'made_of.json').read_text() == text
  assert hashes(tmp_path) == hashes(written)


def test_beam_is_given_the_shards_and_writes_the_same(
  sources, written, tmp_path, monkeypatch
):
  def in_process(todo, arguments):
    assert arguments == ['--runner=FlinkRunner', '--parallelism=4']
    for shard in reversed(todo):  # in any order
      embedded_recordings.write(shard)

  monkeypatch.setattr(embedded_recordings, 'run_beam', in_process)
  run(sources, tmp_path, '--beam', '--runner=FlinkRunner', '--parallelism=4')
  assert hashes(tmp_path) == hashes(written)


def test_an_accelerator_writes_the_same_from_a_block_ahead(
  sources, tmp_path, monkeypatch
):
  said = []

  class Sent:
    """Embeddings that are on their way until they are looked at."""

    def __init__(self, samples):
      said.append(('sent', len(samples)))
      self._found = (np.abs(samples[:, :128]) * 999).astype(np.uint8)

    def __array__(self, *args, **kwargs):
      said.append(('fetched', len(self._found)))
      return self._found

  # Of its row alone: with VGGish other blocks may round otherwise.
  monkeypatch.setattr(embedded_recordings, '_network', lambda *about: Sent)
  run(sources, tmp_path / 'cpu')
  # A file of 3 examples and one of 1 + 11.
  assert said == 2 * [('sent', 64), ('fetched', 64)]
  said.clear()
  monkeypatch.setattr(embedded_recordings, 'on_cpu', lambda: False)
  monkeypatch.setattr(embedded_recordings, '_LARGE_BLOCK', 4)
  run(sources, tmp_path / 'accelerator')
  assert hashes(tmp_path / 'accelerator') == hashes(tmp_path / 'cpu')
  sent, fetched = ('sent', 4), ('fetched', 4)
  one_ahead = [sent, sent, fetched, sent, fetched, fetched]
  assert said == [sent, fetched, *one_ahead]


def test_a_tfds_builder_embeds_and_reads(
  sources, written, tmp_path, monkeypatch
):
  found = recordings.of_segments(
    f'{sources}/segments.csv',
    f'{sources}/{{id}}_{{start}}.wav',
    f'{sources}/classes.csv',
  )
  builder = audioset_embeddings_dataset_builder.EmbeddedRecordings(
    data_dir=str(tmp_path / 'out'),
    **found._asdict(),
    split='bal_train',
    files=2,
    weights=f'{sources}/vggish.npz',
    pca=f'{sources}/pca.npz',
    width=WIDTH,
  )
  on_beam = []

  def run_beam(todo, options, runner):
    on_beam.append(runner)
    for shard in todo:
      embedded_recordings.write(shard)

  monkeypatch.setattr(embedded_recordings, 'run_beam', run_beam)
  config = tfds.download.DownloadConfig(beam_runner='FlinkRunner')
  builder.download_and_prepare(download_config=config)
  assert on_beam == ['FlinkRunner']
  assert hashes(tmp_path / 'out') == hashes(written)
  clips = list(tfds.as_numpy(builder.as_dataset(split='bal_train')))
  assert len(clips) == builder.info.splits['bal_train'].num_examples == 4
  builder.download_and_prepare()  # nothing is left to do
  assert on_beam == ['FlinkRunner']


def test_what_a_folder_leaves_out_is_listed_beside(sources, tmp_path):
  shutil.copytree(sources, tmp_path / 'in/x')
  (tmp_path / 'in/y').mkdir()
  (tmp_path / 'in/x/bbb_1000.wav').rename(tmp_path / 'in/y/b.wav')
  (tmp_path / 'in/y/void.wav').touch()
  said = prepare.prepare(
    [
      f'--audio={tmp_path}/in',
      f'--out={tmp_path}/out',
      f'--weights={sources}/vggish.npz',
      f'--pca={sources}/pca.npz',
      f'--width={WIDTH}',
    ]
  )
  assert said.startswith('3 recordings in 3 files') and '1 left out' in said
  assert embedded_recordings.listed(
    str(tmp_path / 'out'), 'bal_train', 'skipped'
  ) == [{'file': 'y/void.wav', 'reason': 'empty'}]


def test_remote_files_are_read_too(sources, monkeypatch):
  read = lambda path: np.concatenate(
    list(embedded_recordings._examples(path, []))
  )
  here = read(f'{sources}/aaa_1000.wav')
  path = embedded_recordings.epath.Path
  monkeypatch.setattr(
    embedded_recordings.epath,
    'Path',
    lambda p: path(p.replace('gs:/', str(sources))),
  )
  np.testing.assert_array_equal(here, read('gs://aaa_1000.wav'))
  with pytest.raises(UserError, match='gs://gone.wav: no such file'):
    read('gs://gone.wav')


def test_what_is_odd_reaches_the_experiment(sources, tmp_path):
  loud = np.sin(np.arange(16000)) * 9000
  sounds = {
    'loud': loud.astype(np.float32), 'silent': np.zeros(16000),
    'opposed': np.stack([loud, -loud], 1) / 32768,
    'bad': np.full(16000, np.nan),
  }  # fmt: skip
  for name, samples in sounds.items():
    (tmp_path / 'in' / name).mkdir(parents=True)
    path = tmp_path / 'in' / name / f'{name}.wav'
    soundfile.write(path, samples, 16000, 'FLOAT')
  said = prepare.prepare(
    [
      f'--audio={tmp_path}/in', f'--out={tmp_path}/out', '--split=eval',
      f'--weights={sources}/vggish.npz', f'--pca={sources}/pca.npz',
      f'--width={WIDTH}', '--files=1',
    ]
  )  # fmt: skip
  assert '1 left out and 3 notes in all' in said
  config = audioset_level3.get_config()
  config.data_dir = str(tmp_path / 'out')
  source = sources_lib.Released(config, tmp_path / 'cache', scoring=True)
  assert len(source.ids) == 3
  (left_out,) = source.skipped
  assert left_out['file'].endswith('bad.wav')
  notes = {
    os.path.basename(n['file']): n['reason']
    for n in scoring.about_data(source)['notes']
  }
  assert notes == {
    'loud.wav': 'floats of int16 scale, divided by 32768',
    'silent.wav': 'silent',
    'opposed.wav': '2 channels cancel each other: channel 1 alone is heard',
  }
  (listed,) = (tmp_path / 'out/features/eval').glob('*.notes.json')
  listed.write_text('[1]')
  with pytest.raises(UserError, match='not a list of files and reasons'):
    sources_lib.Released(config, tmp_path / 'cache', scoring=True)


@pytest.mark.parametrize(
  ('option', 'message'),
  [
    ('--segments=gone.csv', 'gone.csv'),
    ('--audio=x/{name}.wav', "it has {'name'}; it takes {id}"),
    ('--audio=x/{id.x}.wav', "it has {'id.x'}; it takes {id}"),
    ('--audio=x/{id:999999999}.wav', 'too long a format'),
    ('--audio=x.wav', 'it has none; it takes {id}'),
    ('--out=', "--out is ''"),
    ('--width=nan', '--width is nan'),
    ('--split=test', "split 'test'"),
    ('--weights=gone.npz', 'gone.npz'),
    ('--width=0.5', 'VGGish has'),
    ('--files=0', '--files is 0'),
    ('--runner=FlinkRunner', 'unknown option --runner=FlinkRunner'),
  ],
)
def test_wrong_options(sources, tmp_path, option, message):
  with pytest.raises(UserError, match=message):
    run(sources, tmp_path, option)
  assert list(tmp_path.iterdir()) == []
