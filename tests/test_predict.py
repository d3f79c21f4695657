"""The predict command: files, folders, formats, what goes wrong; timelines."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import dcase_data
import numpy as np
import pytest
import soundfile

import aec_jax
from aec_jax import formats, predict
from aec_jax.bundle import timeline
from aec_jax.errors import UserError
from aec_jax.run import console, progress
from aec_jax.run import text as text_lib
from tests.decoding import writing


@pytest.fixture
def bundle(hearing):
  return hearing


def options(bundle):
  folder, vggish, pca = bundle
  return [f'--bundle={folder}', f'--vggish={vggish}', f'--pca={pca}']


def run(capfdbinary, bundle, *arguments):
  """(exit status, stdout, stderr) of the command."""
  arguments = [*options(bundle), *map(str, arguments)]
  status = console.run_command(lambda: predict.main(arguments))
  # As bytes, since not every name is UTF-8.
  printed = capfdbinary.readouterr()
  return status, *(x.decode('utf-8', 'surrogateescape') for x in printed)


def write_sound(path, seconds=1.5, channels=1):
  rng = np.random.default_rng(len(path.name))
  path.parent.mkdir(parents=True, exist_ok=True)
  wave = [dcase_data.tone(rng, 'mid', seconds) for _ in range(channels)]
  # Under a plain name, since soundfile refuses those that aren't UTF-8.
  plain = path.with_name(f'plain{path.suffix}')
  soundfile.write(plain, np.stack(wave, 1), dcase_data.RATE)
  return plain.rename(path)


@pytest.mark.parametrize(
  'name',
  [
    'a.wav',
    'b.flac',
    'c.ogg',
    'd.mp3',
    'with space.wav',
    'new\nline.wav',
    '-dash.wav',
    'Vögel 鳥.wav',
    'quote".wav',
    os.fsdecode(b'not utf-8 \xff.wav'),
  ],
)
def test_any_name_and_format_is_tagged(
  capfdbinary, bundle, tmp_path, monkeypatch, name
):
  write_sound(tmp_path / name, channels=2)
  monkeypatch.chdir(tmp_path)
  found = []
  for kind in formats.OF_ANY:
    status, out, err = run(
      capfdbinary, bundle, f'--format={kind}', '--top=2', '--', name
    )
    assert (status, err) == (0, '')
    found.append(out)
  table, text, rows = found
  (entry,) = json.loads(text)
  assert entry['file'] == name
  pairs = [(tag['label'], tag['probability']) for tag in entry['tags']]
  assert len(pairs) == 2 and pairs[0][1] >= pairs[1][1]
  lines = table.splitlines()
  assert lines[0] == console.printable(name)
  expected = [(label, pytest.approx(p, abs=1e-4)) for label, p in pairs]
  found = [line.split(maxsplit=1) for line in lines[1:]]
  assert [(label, float(p)) for p, label in found] == expected
  heading, *rows = csv.reader(io.StringIO(rows))
  assert heading == ['file', 'label', 'probability']
  expected = [(label, pytest.approx(p, abs=1e-5)) for label, p in pairs]
  assert [(label, float(p)) for _, label, p in rows] == expected
  assert rows[0][0] == text_lib.cell(name)


def test_a_folder_is_searched_and_what_cannot_be_read_is_named(
  capfdbinary, bundle, tmp_path
):
  for name in ('b.wav', 'a/x.flac', 'a/y.wav'):
    write_sound(tmp_path / name)
  (tmp_path / 'notes.txt').write_text('no sound')
  (tmp_path / 'cut.wav').write_bytes((tmp_path / 'b.wav').read_bytes()[:20])
  (tmp_path / 'a/tune.mid').write_bytes(b'MThd')
  status, out, err = run(capfdbinary, bundle, '--format=json', tmp_path)
  entries = {Path(e['file']).name: e for e in json.loads(out)}
  assert status == 0
  assert set(entries) == {'b.wav', 'x.flac', 'y.wav', 'cut.wav'}
  assert 'not readable' in entries['cut.wav']['error']
  assert len(entries['x.flac']['tags']) == 5
  assert re.search(r'^skipped: .*tune\.mid: it holds notes', err, re.M)
  assert re.search(r'^error: .*cut\.wav: is not readable', err, re.M)
  assert '3 tagged, 1 could not be' in err
  # The same as one by one.
  _, alone, _ = run(capfdbinary, bundle, '--format=json', tmp_path / 'b.wav')
  (alone,) = json.loads(alone)
  for a, b in zip(alone['tags'], entries['b.wav']['tags'], strict=True):
    assert a['label'] == b['label']
    assert a['probability'] == pytest.approx(b['probability'], abs=1e-4)


def test_sounds_of_many_kinds_are_found_in_a_folder(
  capfdbinary, bundle, tmp_path
):
  wave = writing.sound(1.2, 16000)
  files = {
    'a.m4a': writing.ffmpeg(wave, 16000, 'ipod', 'aac'),
    'b.opus': writing.libsndfile(wave, 16000, 'OGG', 'OPUS'),
    'c.AIFF': writing.libsndfile(wave, 16000, 'AIFF'),
    'd.webm': writing.ffmpeg(wave, 48000, 'webm', 'libopus'),
    'e.wav.part': writing.libsndfile(wave, 16000, 'WAV'),
    'f.mp3': b'<!DOCTYPE html><html></html>',
  }
  writing.place(tmp_path, files)
  status, out, err = run(capfdbinary, bundle, '--format=json', tmp_path)
  entries = {Path(e['file']).name: e for e in json.loads(out)}
  assert status == 0
  assert set(entries) == {name for name in files if name != 'e.wav.part'}
  assert all(entries[name]['tags'] for name in list(files)[:4])
  assert re.search(r'^skipped: .*e\.wav\.part: looks like sound', err, re.M)
  assert re.search(r'^error: .*f\.mp3: .* an HTML page', err, re.M)


def test_what_is_odd_is_noted_and_silence_gets_no_tags(
  capfdbinary, bundle, tmp_path
):
  wave = writing.sound(1.2, 16000)
  opposed = np.concatenate([wave, -wave], 1)
  files = {
    'a.wav': writing.libsndfile(0 * wave, 16000, 'WAV'),
    'b.wav': writing.libsndfile(30000 * wave, 16000, 'WAV', 'FLOAT'),
    'c.wav': writing.libsndfile(opposed, 16000, 'WAV'),
    'd.flac': writing.cut(writing.libsndfile(wave, 16000, 'FLAC')),
  }
  writing.place(tmp_path, files)
  status, out, err = run(capfdbinary, bundle, '--format=json', tmp_path)
  assert status == 0
  words = ('silent', 'divided by 32768', 'cancel each other', 'ends after')
  notes = [line for line in err.splitlines() if line.startswith('note: ')]
  for name, word, entry in zip(files, words, json.loads(out), strict=True):
    said = [note for note in notes if name in note and word in note]
    assert len(said) == 1
    assert any(word in note for note in entry['notes'])
    assert bool(entry['tags']) == (name != 'a.wav')
  status, out, err = run(capfdbinary, bundle, tmp_path / 'a.wav')
  assert (status, out) == (0, f'{tmp_path}/a.wav\n')
  assert err == f'note: {tmp_path}/a.wav: silent\n'


def test_a_named_file_that_cannot_be_read_gives_status_2(
  capfdbinary, bundle, tmp_path
):
  good = write_sound(tmp_path / 'a.wav')
  status, out, err = run(capfdbinary, bundle, good, tmp_path / 'gone.wav')
  assert status == 2
  assert out.startswith(str(good))
  assert f'error: {tmp_path / "gone.wav"}: no such file' in err


def test_what_is_no_file_is_called_what_it_is(capfdbinary, bundle, tmp_path):
  folder = tmp_path / 'some'
  folder.mkdir()
  write_sound(folder / 'a.wav')
  for name in ('pipe.wav', 'pipe.tfrecord', 'pipe.dat'):
    os.mkfifo(folder / name)
  (folder / 'link.wav').symlink_to('nowhere.wav')
  status, out, err = run(capfdbinary, bundle, folder)
  assert status == 0 and out.startswith(str(folder / 'a.wav'))
  for name, what in (
    ('pipe.wav', 'a pipe, not a file'), ('pipe.tfrecord', 'a pipe, not a file'),
    ('link.wav', 'a dangling link'),
  ):  # fmt: skip
    assert f'error: {folder / name}: {what}\n' in err
  paths = [folder / 'pipe.dat', folder / 'link.wav', '/dev/null']
  status, out, err = run(capfdbinary, bundle, *paths)
  assert (status, out) == (2, '')
  assert err.splitlines()[:3] == [
    f'error: {paths[0]}: a pipe, not a file',
    f'error: {paths[1]}: a dangling link',
    'error: /dev/null: a device, not a file',
  ]


def test_embeddings_are_tagged_clip_by_clip(capfdbinary, bundle, audioset_dir):
  (path, *_) = sorted((audioset_dir / 'features/eval').iterdir())
  status, out, _ = run(capfdbinary, bundle, '--format=json', '--top=9', path)
  entries = json.loads(out)
  with np.load(bundle[0].parent / 'predictions.npz') as file:
    ids = [f'{path}:{name.decode()}' for name in file['ids']]
    probabilities = dict(zip(ids, file['probabilities'], strict=True))
  assert status == 0 and entries
  classes = aec_jax.load(bundle[0]).classes
  for entry in entries:
    expected = probabilities[entry['file']]
    for tag in entry['tags']:
      k = classes.index(tag['label'])
      assert tag['probability'] == pytest.approx(expected[k], abs=1e-4)


def test_what_takes_sounds_refuses_records_before_it_reads_a_bundle(tmp_path):
  path = tmp_path / 'x.tfrecord'
  path.touch()
  for option, why in (
    ('--format=audacity', 'x.tfrecord is of many clips: use raven'),
    (f'--timeline={tmp_path}/x.html', 'x.tfrecord holds embeddings'),
  ):
    asked = [option, *['--events'] * ('audacity' in option)]
    with pytest.raises(UserError, match=why):
      predict.main(['--bundle=none', *asked, str(path)])
  assert [p.name for p in tmp_path.iterdir()] == ['x.tfrecord']


def test_a_files_size_is_asked_once(tmp_path):
  path = tmp_path / 'a.wav'
  path.write_bytes(b'123')
  file, gone = predict.File(str(path), True), predict.File('gone', True)
  assert (file.size, gone.size) == (3, 0)
  path.unlink()
  assert file.size == 3


def test_a_damaged_record_is_named(capfdbinary, bundle, audioset_dir, tmp_path):
  (path, *_) = sorted((audioset_dir / 'features/eval').iterdir())
  damaged = tmp_path / 'damaged.tfrecord'
  damaged.write_bytes(path.read_bytes()[:-3])
  status, out, err = run(capfdbinary, bundle, '--format=csv', damaged)
  assert status == 2 and out.startswith('file,')
  assert re.search(r'error: .*damaged\.tfrecord, record \d+: truncated', err)


@pytest.mark.parametrize(
  'name',
  ['a.tfrecords', 'a.tfrecord-00000-of-00010', 'a.tfrec.gz', 'a', 'a.gz'],
)
def test_tfrecords_go_by_many_names(
  capfdbinary, bundle, audioset_dir, tmp_path, name
):
  (path, *_) = sorted((audioset_dir / 'features/eval').iterdir())
  data = path.read_bytes()
  data = gzip.compress(data) if name.endswith('.gz') else data
  (tmp_path / name).write_bytes(data)
  _, expected, _ = run(capfdbinary, bundle, '--format=csv', path)
  status, out, err = run(capfdbinary, bundle, '--format=csv', tmp_path / name)
  assert (status, err) == (0, '')
  assert out == expected.replace(str(path), str(tmp_path / name))


def test_a_pointer_instead_of_records_is_called_that(
  capfdbinary, bundle, tmp_path
):
  path = tmp_path / 'a.tfrecord'
  path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0\n')
  status, _, err = run(capfdbinary, bundle, path)
  assert status == 2
  assert 'a.tfrecord, record 0: the file is a Git LFS pointer' in err


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--top=0', 'a.wav'], '--top is 0'),
    (['--top=x', 'a.wav'], '--top'),
    (['--format=xml', 'a.wav'], 'table'),
    (['--nope', 'a.wav'], '--nope'),
    ([], 'PATH'),
    (['--timeline=a.pdf', 'a.wav'], '.png or .html'),
    (['--timeline=no/where/a.png', 'a.wav'], 'folder is not there'),
    (['--timeline=a.png', 'a.wav', 'b.wav'], 'one sound, not 2'),
    (['empty'], 'without sound files'),
    (['gone.wav'], 'no such file'),
    (['--bundle=empty', 'a.wav'], 'is no bundle'),
  ],
)
def test_mistakes_are_one_line_and_status_2(
  capfdbinary, bundle, tmp_path, monkeypatch, arguments, message
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'empty').mkdir()
  status, out, err = run(capfdbinary, bundle, *arguments)
  assert (status, out) == (2, '')
  (line,) = err.splitlines()
  assert line.startswith('error: ') and message in line


def test_sound_needs_vggish(capfdbinary, bundle, tmp_path):
  path = write_sound(tmp_path / 'a.wav')
  arguments = [f'--bundle={bundle[0]}', str(path)]
  status = console.run_command(lambda: predict.main(arguments))
  out, err = capfdbinary.readouterr()
  assert (status, out) == (2, b'')
  assert b'--vggish=FILE.npz and --pca=FILE.npz' in err


def test_the_whole_command_keeps_what_it_compiled(bundle, tmp_path):
  path = write_sound(tmp_path / 'a.wav')
  command = [sys.executable, '-m', 'aec_jax.predict', *options(bundle)]
  # What the environment says of JAX's cache has the last word.
  env = {k: v for k, v in os.environ.items() if not k.startswith('JAX_')}
  env['XDG_CACHE_HOME'] = str(tmp_path / 'cache')
  out = subprocess.run(
    [*command, str(path)], cwd=Path(__file__).parents[1], text=True,
    env=env, capture_output=True, check=True,
  )  # fmt: skip
  assert out.stdout.startswith(str(path)) and not out.stderr
  assert list((tmp_path / 'cache/aec_jax/xla').iterdir())


def test_the_bar_counts_to_the_end_on_a_terminal(capsys, monkeypatch):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  ticks = iter(range(100))
  monkeypatch.setattr(progress.time, 'monotonic', lambda: float(next(ticks)))
  bar = progress.Meter('tagging', 200)
  bar.advance(50)
  bar.advance(1000)
  bar.clear()
  shown = capsys.readouterr().err.split('\r')
  # No time left before there is a pace.
  assert re.match(r'tagging \[#{8} {22}\]  25% +$', shown[1])
  assert re.match(r'tagging \[#{30}\] 100% · 0 s left', shown[2])
  assert not shown[3].strip()


def test_a_log_hears_how_far_a_long_recording_is(tmp_path):
  path = write_sound(tmp_path / 'a.wav')
  file = predict.File(str(path), named=True)
  bar = progress.Meter('events', file.size, logged=True)  # on no terminal
  [(_, sound)] = predict._sounds(file, bar, ())
  for _ in range(2):  # is read twice where it is long
    before = bar.done
    for _block in sound.blocks():
      pass
    assert bar.done > before


def test_where_a_timeline_cannot_be_written_is_said(tmp_path):
  with pytest.raises(UserError, match='folder is not there'):
    timeline.check_path('/no/such/folder/a.png')
  (tmp_path / 'a.png').mkdir()
  with pytest.raises(UserError, match='a folder: name a file'):
    timeline.check_path(str(tmp_path / 'a.png'))
