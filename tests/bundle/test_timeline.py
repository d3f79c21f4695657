"""Timelines, what `Tags` and `predict` say, and the rules of a last piece."""

import dataclasses
import re
from pathlib import Path

import bundle_data
import jax
import numpy as np
import pytest
import soundfile

import aec_jax
from aec_jax import predict
from aec_jax.audio import stream
from aec_jax.bundle import activity, embedded, timeline, timeline_figure
from aec_jax.errors import UserError
from aec_jax.exports import programs
from aec_jax.input import pieces
from aec_jax.run import console

RATE = 16000


def noise(seconds, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope='module')
def tagger(dcase_run):
  return aec_jax.load(dcase_run[2])  # a work folder: its bundle


# Each trains a tiny experiment of its own.
@pytest.mark.slow
@pytest.mark.parametrize('rule', pieces.LAST_PIECES)
def test_scores_bundle_and_export_agree_on_last_pieces(
  dcase_run, tmp_path, rule
):
  data_dir = Path(dcase_run[0].data_dir)
  # Clips of one to four segments, pieces of three.
  bundle_data.dcase_run(
    tmp_path, 'dcase_l6', data_dir, last_piece=rule, segments=(3,)
  )
  tagger = aec_jax.load(tmp_path / 'dcase_l6/bundle')
  assert [e.last_piece for e in tagger.ensembles] == [rule]
  with np.load(tmp_path / 'dcase_l6/predictions.npz') as file:
    ids, expected = file['ids'], file['probabilities']
  tags = tagger.predict([data_dir / 'audio_test' / name for name in ids])
  counts = {len(t.times) for t in tags}
  assert min(counts) < 3 and max(counts) > 3
  found = np.stack([t.probabilities for t in tags])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
  for seconds in (1.5, 4.2):
    wave = noise(seconds)
    program = jax.jit(programs.wav_to_tags(tagger, len(wave)))
    np.testing.assert_allclose(
      program(wave[None])[0],
      tagger.predict(wave, RATE).probabilities,
      atol=1e-4,
    )


def test_aligned_pieces_repeat_nothing_from_the_beginning():
  offsets = np.array([0, 13, 15])
  cut = pieces.cut(offsets, 6, 'align')
  assert cut.segments[2].tolist() == list(range(7, 13))
  # What follows the sound's first six segments does not hear them.
  assert (cut.segments[1:3] >= 6).all()
  assert cut.segments[3][: cut.n_segments[3]].tolist() == [13, 14]
  assert pieces.cut(offsets, 6, 'repeat').segments[2].tolist() == [
    12, 0, 1, 2, 3, 4,
  ]  # fmt: skip


def test_attention_is_measured_by_uniform_attention(tagger, monkeypatch):
  for rule in pieces.LAST_PIECES:
    ruled = [dataclasses.replace(e, last_piece=rule) for e in tagger.ensembles]
    monkeypatch.setattr(tagger, 'ensembles', ruled)
    for seconds in (1.2, 5.0):
      tags = tagger.predict(noise(seconds), RATE)
      # The mean of pieces of one segment and of two.
      whole = 1 if rule != 'repeat' and seconds < 1.9 else 0.75
      assert tags.uniform[0] == pytest.approx(whole)
      assert tags.uniform.shape == tags.times.shape


def test_tags_know_where_in_the_file_was_heard(tagger):
  wave = np.concatenate([np.zeros(RATE), noise(2.2), np.zeros(RATE // 2)])
  tags = tagger.predict(wave, RATE)
  assert tags.duration == pytest.approx(3.7)
  assert tags.kept == pytest.approx((1, 3.2), abs=0.1)
  (_, first), (last, end) = timeline_figure.unheard(tags)
  assert first == tags.times[0] == tags.kept[0]
  assert last == pytest.approx(first + 2 * 0.96)
  assert end == tags.duration


def test_a_short_sound_is_drawn_once(tagger):
  wave = noise(0.3)
  tags = tagger.predict(wave, RATE)
  assert timeline_figure.unheard(tags) == []
  found = timeline.log_mel_of(tagger, stream.Recording.of_array(wave, RATE))
  assert found.values.shape == (30, 64)
  assert found.seconds == pytest.approx(0.01)


def test_the_log_mel_is_the_whole_sounds(tagger, monkeypatch):
  wave = np.concatenate([np.zeros(RATE), noise(3.5), np.zeros(RATE)])
  recording = stream.Recording.of_array(wave, RATE)
  fine = timeline.log_mel_of(tagger, recording)
  assert fine.values.shape == (550, 64)
  loud = fine.values.mean(1) > -2
  assert not loud[:95].any() and loud[105:440].all() and not loud[455:].any()
  monkeypatch.setattr(timeline, '_COLUMNS', 30)
  coarse = timeline.log_mel_of(tagger, recording)
  size = round(coarse.seconds / fine.seconds)
  whole = len(fine.values) // size
  np.testing.assert_allclose(
    coarse.values[:whole],
    fine.values[: whole * size].reshape(whole, size, 64).mean(1),
    rtol=1e-3, atol=1e-3,
  )  # fmt: skip


@pytest.mark.parametrize('wave', [noise(5), noise(0.2), np.zeros(RATE)])
@pytest.mark.parametrize('dark', [False, True])
def test_pictures_of_any_sound(tagger, wave, dark):
  tags = tagger.predict(wave, RATE)
  mel = timeline.log_mel_of(tagger, stream.Recording.of_array(wave, RATE))
  for width in (timeline.NARROW, timeline.WIDE):
    png = timeline.draw('a $x$', tags, mel, width, dark)
    assert png.startswith(b'\x89PNG')


def test_timelines_are_written_and_said_so(dcase_run, tmp_path, capfd):
  sound = tmp_path / 'a <b> $x$.wav'
  soundfile.write(sound, noise(3), RATE)
  for kind in ('png', 'html'):
    path = tmp_path / f'out.{kind}'
    # With a blank rather than "=".
    arguments = ['--bundle', str(dcase_run[2] / 'bundle'), '--timeline']
    arguments += [str(path), str(sound)]
    status = console.run_command(lambda a=arguments: predict.main(a))
    note, *lines = capfd.readouterr().err.splitlines()
    assert (status, lines) == (0, [f'wrote {path}'])
    assert note.startswith('note: ') and 'from random weights' in note
  assert (tmp_path / 'out.png').read_bytes().startswith(b'\x89PNG')
  page = (tmp_path / 'out.html').read_text()
  assert '<h1>a &lt;b&gt; $x$.wav</h1>' in page
  assert page.count('data:image/png;base64,') == 4
  assert page.count('prefers-color-scheme: dark') == 3
  assert 'src="data:audio/wav;base64,' in page
  assert not re.search(r'(src|href)="?(http|//)', page)
  left = {path.name for path in tmp_path.iterdir()}
  assert left == {sound.name, 'out.png', 'out.html'}


def test_many_sounds_are_on_one_page_and_on_no_picture(tagger, tmp_path):
  for name in ('a.wav', '<b>.wav'):
    soundfile.write(tmp_path / name, noise(1.5), RATE)
  drawing = timeline.Drawing(str(tmp_path / 'all.html'), tagger)
  for name in ('a.wav', '<b>.wav'):
    sound = str(tmp_path / name)
    drawing.add(sound, tagger.predict(sound))
  drawing.write()
  text = (tmp_path / 'all.html').read_text()
  assert text.count('<audio') == 2 and text.count('<picture>') == 2
  assert '<title>2 sounds</title>' in text and '<b>.wav' not in text
  two = list(predict.find([str(tmp_path / 'a.wav')] * 2))
  timeline.check_sounds('all.html', two)
  with pytest.raises(UserError, match='draws one sound, not 2'):
    timeline.check_sounds('all.png', two)


def test_a_page_whose_sound_is_too_large_has_no_player(
  tagger, tmp_path, monkeypatch
):
  sound = tmp_path / 'a.wav'
  soundfile.write(sound, noise(1.5), RATE)
  mel = timeline.log_mel_of(tagger, stream.Recording.of_file(sound))
  monkeypatch.setattr(timeline, '_PLAYER_BYTES', 10)
  page = timeline.page(
    [timeline.entry('a', tagger.predict(sound), mel, str(sound))]
  )
  assert '<audio' not in page and 'too large' in page


def test_a_page_shows_no_control_characters(tagger, tmp_path):
  sound = tmp_path / '\x1b[31mred\u202e.wav'
  soundfile.write(sound, noise(1.5), RATE)
  tags = tagger.predict(str(sound))
  tags = dataclasses.replace(tags, classes=('a\x1b', 'b\nc', '\u202ed'))
  mel = timeline.log_mel_of(tagger, stream.Recording.of_file(sound))
  entry = timeline.entry(sound.name, tags, mel, str(sound))
  for sounds in ([entry], [entry, entry]):
    page = timeline.page(sounds)
    assert r'>\x1b[31mred\u202e.wav</' in page
    assert r'<td>b\nc</td>' in page and r'<td>\u202ed</td>' in page
    assert all(c.isprintable() for c in page.replace('\n', ''))


def test_one_line_of_the_top_tags(tagger):
  text = repr(tagger.predict(noise(2), RATE))
  assert re.fullmatch(
    r'<Tags of 2\.00 s: (\w+ \d\.\d{3}, ){2}\w+ \d\.\d{3}>', text
  )
  silent = repr(tagger.predict(np.zeros(RATE), RATE))
  assert silent == '<Tags of 1.00 s: no tags; silent>'


def test_a_drawing_changes_from_segment_to_segment(tagger, tmp_path):
  length = max(e.length for e in tagger.ensembles)
  seconds = (2 * length + 0.5) * tagger.spec.seconds
  path = tmp_path / 'a.wav'
  wave = noise(seconds) * np.linspace(0.02, 1, round(seconds * RATE))
  soundfile.write(path, wave, RATE, 'FLOAT')
  tags = tagger.predict(path)
  recording = stream.Recording.of_file(path).held()
  heard = list(embedded.stretches(tagger, [recording]))
  drawn = timeline.by_segment(tagger, tags, heard)
  assert drawn.timeline.shape == tags.timeline.shape
  assert not np.allclose(drawn.timeline, tags.timeline, 0.05, 1e-6)
  frames = activity.follow_embedded(tagger, heard, 1, 'pieces')
  slid = np.concatenate([some.probabilities for some in frames])
  np.testing.assert_array_equal(drawn.timeline, slid)
  silent = stream.Recording.of_array(np.zeros(RATE), RATE)
  heard = list(embedded.stretches(tagger, [silent]))
  (tags,) = tagger.tag_embedded(heard)
  assert timeline.by_segment(tagger, tags, heard).silent


def test_predict_takes_paths_arrays_and_lists(tagger, tmp_path):
  wave = noise(1.5)
  path = tmp_path / 'a.wav'
  soundfile.write(path, wave, RATE, 'FLOAT')
  one = tagger.predict(wave, RATE).probabilities
  for found in (
    tagger.predict(path),
    tagger.predict(str(path)),
    *tagger.predict([path, str(path)]),
    *tagger.predict(list(np.stack([wave, wave])), RATE),
    *tagger.predict([wave, path], RATE),
  ):
    np.testing.assert_allclose(found.probabilities, one, rtol=1e-3, atol=1e-5)
  assert tagger.predict([]) == []


@pytest.mark.parametrize(
  ('sound', 'rate', 'message'),
  [
    (np.zeros((2, 9000)), RATE, 'of a batch of sounds list(batch)'),
    (np.zeros(9000), None, 'give its sample rate'),
    ('a.wav', RATE, 'a.wav: a file has its own sample rate'),
    ([0.1, 0.2], RATE, 'neither a path nor a waveform'),
    ('gone.wav', None, 'gone.wav: no such file'),
    ([np.ones(9000), np.zeros(0)], RATE, 'waveform 1: holds no samples'),
  ],
)
def test_what_predict_cannot_take_is_said(tagger, sound, rate, message):
  with pytest.raises(UserError, match=re.escape(message)):
    tagger.predict(sound, rate)
