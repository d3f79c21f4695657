"""What is asked of bundles: events, decisions, embeddings, search, labels."""

import csv
import hashlib
import io
import json
import shutil
import sys
import types
from pathlib import Path

import dcase_data
import jax
import numpy as np
import pytest
import soundfile

import aec_jax
from aec_jax import answers, asking, embed, index, predict, search
from aec_jax.audio import stream
from aec_jax.bundle import activity, card, decisions, embedded, store
from aec_jax.bundle.tagger import Tagger
from aec_jax.datasets import folders
from aec_jax.errors import UserError
from aec_jax.run import console


@pytest.fixture(scope='module')
def bundle(dcase_run):
  return dcase_run[2] / 'bundle'


@pytest.fixture(scope='module')
def sounds(tmp_path_factory):
  """A folder of two recordings, of 7.5 and 2.5 s."""
  folder = tmp_path_factory.mktemp('sounds')
  rng = np.random.default_rng(0)
  for name, seconds in (('a.wav', 7.5), ('b.wav', 2.5)):
    wave = dcase_data.tone(rng, 'mid', seconds)
    soundfile.write(folder / name, wave, dcase_data.RATE)
  return folder


@pytest.fixture(scope='module')
def tagger(bundle):
  return aec_jax.load(bundle)


def run(capsys, main, *arguments):
  """(exit status, stdout, stderr) of a command."""
  status = console.run_command(lambda: main([*map(str, arguments)]))
  return status, *capsys.readouterr()


def test_stretches_of_a_sound_say_what_the_whole_does(
  tagger, sounds, monkeypatch
):
  def probabilities(per_segment, by):
    item = stream.Recording.of_file(sounds / 'a.wav')
    found = list(
      activity.follow_embedded(
        tagger, embedded.stretches(tagger, [item], per_segment), per_segment, by
      )
    )
    starts = [some.start for some in found]
    return np.concatenate([some.probabilities for some in found]), starts

  for per_segment, by in ((1, 'pieces'), (2, 'attention')):
    whole, _ = probabilities(per_segment, by)
    with monkeypatch.context() as patch:
      patch.setattr(embedded, '_LONGEST', 3)
      found, starts = probabilities(per_segment, by)
    assert len(starts) > 2
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize('longest', [3, 4096])
@pytest.mark.parametrize('per_segment', [1, 2])
def test_where_there_is_digital_silence_is_known(
  tagger, monkeypatch, longest, per_segment
):
  monkeypatch.setattr(embedded, '_LONGEST', longest)
  rate, rng = 44100, np.random.default_rng(0)
  loud = rng.uniform(-0.9, 0.9, 4 * rate)
  wave = np.concatenate([loud, np.zeros(4 * rate), loud])
  item = stream.Recording.of_array(wave, rate)
  found = activity.follow_embedded(
    tagger, embedded.stretches(tagger, [item], per_segment), per_segment,
    'pieces',
  )  # fmt: skip
  some = list(found)
  quiet = np.concatenate([frames.quiet for frames in some])
  assert len(quiet) == sum(len(frames.probabilities) for frames in some)
  # Segments that lie in the silence: from 4.8 to 7.68 s, or 4.32 on.
  inside = np.flatnonzero(quiet) * 0.96 / per_segment
  expected = np.arange(
    4.8 if per_segment == 1 else 4.32, 7.6, 0.96 / per_segment
  )
  np.testing.assert_allclose(inside, expected)


def test_frames_of_a_segment_are_the_pieces_around_it(tagger, sounds):
  """With pieces of one segment, they are what the timeline says."""
  one = [e for e in tagger.ensembles if e.length == 1]
  tags = tagger.predict(str(sounds / 'a.wav'))
  item = stream.Recording.of_file(sounds / 'a.wav')
  (stretch,) = embedded.stretches(tagger, [item])
  rows = np.stack(stretch.embeddings)
  found = activity.of_ensemble(tagger, one[0], rows, 1, False)
  assert found.shape == tags.timeline.shape
  windows, valid = activity._windows(7, 3, 2, 'repeat')
  assert windows.tolist() == [[0, 2, 4], [1, 3, 5], [2, 4, 6]]
  assert valid.tolist() == [3, 3, 3]
  windows, valid = activity._windows(5, 3, 2, 'align')
  assert windows.tolist() == [[0, 2, 4], [1, 3, 1]] and valid.tolist() == [3, 2]
  (two,) = (e for e in tagger.ensembles if e.length == 2)
  for located in (False, True):  # each of three examples is in a piece
    found = activity.of_ensemble(tagger, two, rows[:3], 2, located)
    assert found.shape[0] == 4 and np.isfinite(found).all()
  windows, valid = activity._windows(3, 3, 2, 'align')
  assert windows.tolist() == [[0, 2, 0], [1, 1, 1]] and valid.tolist() == [2, 1]


def test_events_in_every_format(capsys, bundle, sounds):
  options = [f'--bundle={bundle}', '--events', '--threshold=0', '--hop=0.48']
  a = sounds / 'a.wav'
  status, out, _ = run(capsys, predict.main, *options, '--format=json', sounds)
  first, second = json.loads(out)
  assert status == 0 and first['file'] == str(a)
  events = first['events']
  assert {e['label'] for e in events} == set(aec_jax.load(bundle).classes)
  assert all(0 <= e['onset'] < e['offset'] <= 7.5 for e in events)
  _, out, _ = run(capsys, predict.main, *options, '--format=csv', sounds)
  rows = list(csv.DictReader(io.StringIO(out)))
  assert len(rows) == len(events) + len(second['events'])
  assert float(rows[0]['onset']) == events[0]['onset']
  _, out, _ = run(capsys, predict.main, *options, '--format=audacity', a)
  lines = [line.split('\t') for line in out.splitlines()]
  assert float(lines[0][0]) == events[0]['onset'] and len(lines) == len(events)
  _, out, _ = run(capsys, predict.main, *options, '--format=raven', sounds)
  rows = list(csv.DictReader(io.StringIO(out), delimiter='\t'))
  last = rows[-1]
  assert last['Begin Path'] == str(sounds / 'b.wav')
  assert float(last['Begin Time (s)']) == pytest.approx(
    7.5 + float(last['File Offset (s)']), abs=1e-3
  )
  status, _, err = run(
    capsys, predict.main, *options, '--format=audacity', sounds
  )
  assert status == 2 and 'these are 2: name one' in err


def test_decisions_are_by_the_bundles_thresholds(
  capsys, tagger, bundle, sounds
):
  found = tagger.info['decisions']
  a = sounds / 'a.wav'
  p = decisions.calibrated(found, tagger.predict(str(a)).probabilities)
  _, out, _ = run(
    capsys, predict.main, f'--bundle={bundle}', '--decide', '--format=json', a
  )
  (entry,) = json.loads(out)
  for row in entry['decisions']:
    k = tagger.classes.index(row['label'])
    assert row['probability'] == pytest.approx(p[k], abs=1e-4)
    limit = found['points'][decisions.BEST]['threshold'][k]
    assert row['there'] == (limit is not None and p[k] >= limit)
  there = [row for row in entry['decisions'] if row['there']]
  assert entry['none_of_these'] == (not there)
  answer = answers.Decisions(
    tagger, None, 5, np.ones(len(tagger.classes), bool)
  )
  assert answer.lines([('x', 0.1, None, False)]) == [
    'yes  none of these', 'no   0.100 (never)  x'
  ]  # fmt: skip


def test_an_older_bundle_does_not_decide(tagger, sounds):
  info = {k: v for k, v in tagger.info.items() if k != 'decisions'}
  older = Tagger(info, tagger.extractors, tagger.ensembles)
  everything = np.ones(len(tagger.classes), bool)
  with pytest.raises(UserError, match='no thresholds'):
    answers.Decisions(older, None, 5, everything)
  text = card.card(info)
  assert '## Decisions' not in text
  text = card.card(tagger.info)
  assert text.startswith('---\nlicense: other\n') and '## Decisions' in text


def test_an_older_bundle_learns_to_decide(bundle, tagger, tmp_path):
  folder = tmp_path / 'bundle'
  shutil.copytree(bundle, folder)
  info = json.loads((folder / 'bundle.json').read_text())
  found = info.pop('decisions')
  (folder / 'bundle.json').write_text(json.dumps(info))
  assert 'decisions' not in store.read(folder).info
  store.add_decisions(tmp_path, found)
  assert store.read(folder).info == tagger.info
  assert '## Decisions' in (folder / 'README.md').read_text()


def test_what_else_lies_in_a_bundle_stays_there(bundle, tmp_path):
  folder = tmp_path / 'bundle'
  shutil.copytree(bundle, folder)
  info = json.loads((folder / 'bundle.json').read_text())
  found = info.pop('decisions')
  (folder / 'bundle.json').write_text(json.dumps(info))
  (folder / '.git').mkdir()
  for name in ('LICENSE', '.git/README.md'):
    (folder / name).write_text('mine')
  (folder / 'link').symlink_to('nowhere')
  store.add_decisions(tmp_path, found)
  assert 'decisions' in store.read(folder).info
  for name in ('LICENSE', '.git/README.md'):
    assert (folder / name).read_text() == 'mine'
  assert (folder / 'link').readlink() == Path('nowhere')


def test_silence_has_no_embeddings_and_ends_are_the_sounds(tagger):
  answer = answers.Embeddings(tagger)
  wave = dcase_data.tone(np.random.default_rng(0), 'mid', 2.5)
  sounds = [
    stream.Recording.of_array(wave, dcase_data.RATE),
    stream.Recording.of_array(0 * wave, dcase_data.RATE),
  ]
  heard, silent = answer.tag(sounds)
  assert silent.rows == [] and silent.notes == ('silent',)
  assert [end for _, end, _ in heard.rows] == [0.96, 1.92]
  short = stream.Recording.of_array(wave[: len(wave) // 5], dcase_data.RATE)
  ((start, end, _),) = next(answer.tag([short])).rows
  assert (start, end) == (0, 0.5)


def test_what_becomes_nan_is_an_error_of_every_answer(tagger, sounds):
  broken = jax.tree.map(lambda x: np.full_like(x, np.nan), tagger.extractors)
  nan = Tagger(tagger.info, broken, tagger.ensembles)
  thresholds = np.zeros(len(tagger.classes))
  for answer in (
    answers.Embeddings(nan), answers.Events(nan, 1, 'pieces', 1, thresholds),
    answers.Tags(nan, 5, thresholds == 0),
  ):  # fmt: skip
    (found,) = answer.tag([stream.Recording.of_file(sounds / 'b.wav')])
    assert found.rows == [] and 'makes NaN of it' in str(found.error)


def piped(capsys, monkeypatch, bundle, data, *options):
  stdin = types.SimpleNamespace(buffer=io.BytesIO(data))
  monkeypatch.setattr(sys, 'stdin', stdin)
  return run(capsys, predict.main, f'--bundle={bundle}', *options, '-')


def test_a_pipe_ends_with_the_status_of_what_came(
  capsys, monkeypatch, bundle, sounds
):
  data = (sounds / 'b.wav').read_bytes()
  status, out, err = piped(capsys, monkeypatch, bundle, data, '--top=1')
  assert status == 0 and out.startswith('-:0.00-1.9')
  assert 'note: -: the last 0.' not in err
  file = io.BytesIO()
  soundfile.write(file, np.full(16000, np.nan), 8000, 'FLOAT', format='WAV')
  status, out, err = piped(capsys, monkeypatch, bundle, file.getvalue())
  assert (status, out) == (2, '') and 'NaN' in err
  rng = np.random.default_rng(0)
  raw = rng.integers(-9999, 9999, 2 * 15360 + 4000, np.int16).tobytes()
  status, out, err = piped(capsys, monkeypatch, bundle, raw, '--rate=16000')
  assert status == 0 and out.count('-:') == 1
  assert 'note: -: the last 0.2' in err


def test_an_archive_is_of_a_bundle_whatever_its_card_says(
  capsys, bundle, sounds, tmp_path, monkeypatch
):
  folder = tmp_path / 'bundle'
  shutil.copytree(bundle, folder)
  options = [f'--out={tmp_path / "out"}', '--decoders=1']
  status, _, _ = run(capsys, embed.main, f'--bundle={bundle}', *options, sounds)
  assert status == 0
  info = json.loads((folder / 'bundle.json').read_text())
  card_text = (folder / 'README.md').read_text() + 'More.\n'
  (folder / 'README.md').write_text(card_text)
  digest = hashlib.sha256(card_text.encode()).hexdigest()
  info['files']['README.md'] = digest
  (folder / 'bundle.json').write_text(json.dumps(info))
  status, _, err = run(
    capsys, embed.main, f'--bundle={folder}', *options, sounds
  )
  assert status == 0 and 'goes on after 1 of 1 parts' in err
  assert f'note: {folder}: extractors trained from random weights' in err
  status, _, err = run(
    capsys, embed.main, f'--bundle={folder}', *options, '--float_range=0,1',
    sounds,
  )  # fmt: skip
  assert status == 2 and 'another run (bundle)' in err
  # From elsewhere, a relative name is still the file that it was.
  monkeypatch.chdir(sounds)
  status, _, _ = run(
    capsys, embed.main, f'--bundle={bundle}', f'--out={tmp_path / "x.npz"}',
    'a.wav', 'b.wav',
  )  # fmt: skip
  monkeypatch.chdir(tmp_path)
  status, out, _ = run(
    capsys, search.main, f'--index={tmp_path / "x.npz"}', '--format=csv',
    sounds / 'b.wav',
  )  # fmt: skip
  rows = list(csv.DictReader(io.StringIO(out)))
  assert status == 0 and {row['file'] for row in rows} == {f'{sounds}/a.wav'}


def test_classes_are_chosen_by_name_or_by_a_list(tagger, tmp_path):
  a, b, *_ = tagger.classes
  (tmp_path / 'list').write_text(f'{b}\n\n{a}\n')
  for names in (f'{a},{b}', str(tmp_path / 'list')):
    assert answers.chosen(tagger, names).tolist()[:2] == [True, True]
    assert answers.chosen(tagger, names).sum() == 2
  with pytest.raises(UserError, match=r"'nope' is no class .* near are"):
    answers.chosen(tagger, f'{a},nope')


def test_an_index_is_searched_and_labelled(capsys, bundle, sounds, tmp_path):
  found = {}
  for name in ('x.npz', 'folder'):
    out = tmp_path / name
    options = ['--decoders=1'] if name == 'folder' else []
    status, _, _ = run(
      capsys, embed.main, f'--bundle={bundle}', f'--out={out}', *options, sounds
    )
    assert status == 0
    (block,) = index.open_index(str(out)).blocks()
    assert block.file.tolist()[0] == str(sounds / 'a.wav')
    assert (block.end > block.start).all()
    found[name] = block.embedding
  np.testing.assert_array_equal(*found.values())
  status, text, _ = run(
    capsys, search.main, f'--index={tmp_path / "folder"}', '--count=3',
    '--format=json', sounds / 'b.wav',
  )  # fmt: skip
  nearest = json.loads(text)
  assert status == 0 and len(nearest) == 3
  assert {row['file'] for row in nearest} == {str(sounds / 'a.wav')}
  order = [row['similarity'] for row in nearest]
  assert order == sorted(order, reverse=True)
  listed = sounds / 'labels.csv'
  status, _, _ = run(
    capsys, search.main, f'--index={tmp_path / "x.npz"}', '--count=4',
    f'--label={listed}',
  )  # fmt: skip
  rows = list(csv.DictReader(listed.open()))
  assert status == 0 and len(rows) == 4
  values = [float(row['disagreement']) for row in rows]
  assert values == sorted(values, reverse=True) and values[-1] >= 0
  # Filled in, it is a list that experiments take.
  for i, row in enumerate(rows):
    row['label'] = 'even' if i % 2 else 'odd'
  with listed.open('w') as file:
    out = csv.DictWriter(file, rows[0])
    out.writeheader()
    out.writerows(rows)
  clips = folders.from_folder(sounds)
  listed.unlink()
  assert len(clips) == 4 and clips.classes == ('even', 'odd')
  assert np.allclose(clips.end - clips.start, 0.96, atol=0.97)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (['--hop=0.5', '--events'], '--hop is 0.5; it takes a segment or a whole'),
    (['--hop=nan', '--events'], '--hop is nan; it takes a segment or a whole'),
    (['--median=nan', '--events'], '--median is nan'),
    (['--hop=0.48'], '--hop is for --events'),
    (['--events', '--decide'], 'ask one'),
    (['--precision=0.9'], 'for --decide and --events'),
    (['--format=raven'], '--format=raven is for --events'),
    (['--format=parquet'], 'takes --out'),
    (['--threshold=2', '--events'], 'not from 0 to 1'),
    (['--threshold=gone', '--events'], 'neither 0 to 1 nor a file'),
    (['--classes=x'], "'x' is no class"),
    (['--precision=0.42', '--decide'], '--precision is 0.42'),
    (['--rate=8000'], 'of -'),
    (['--rate=0'], 'of -'),
  ],
)
def test_mistakes_are_named(tagger, options, message):
  line = ['--bundle=x', *options, 'a.wav']
  with pytest.raises(UserError) as error:
    arguments = predict._parser().parse_args(line)
    asking.check(arguments)
    asking.of_arguments(tagger, arguments)
  assert message in str(error.value)


@pytest.mark.parametrize('text', ['', 'class,threshold\n'])
def test_thresholds_of_no_class_are_refused(tagger, tmp_path, text):
  path = tmp_path / 'limits.csv'
  path.write_text(text)
  arguments = types.SimpleNamespace(threshold=str(path), precision=None)
  with pytest.raises(UserError, match='empty: expected rows'):
    asking.thresholds(tagger, arguments)
  path.write_text(f'{text}{tagger.classes[1]},0.25\n')
  found = asking.thresholds(tagger, arguments)
  assert found[1] == 0.25 and np.isnan(found).sum() == len(found) - 1
