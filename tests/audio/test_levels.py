"""Scale, channels and silence of whole recordings."""

import numpy as np
import pytest
import soundfile

from aec_jax.audio import levels, stream, waveform
from tests.decoding import writing

RATE = 16000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  monkeypatch.setattr(stream, '_BLOCK', 4096)


def heard(tmp_path, samples, subtype='FLOAT'):
  """(samples, notes without the name), the same by both readers."""
  path = tmp_path / 'a.wav'
  soundfile.write(path, samples, RATE, subtype)
  notes = []
  found, _ = waveform.read(path, notes)
  recording = stream.Recording.of_file(path)
  survey = stream.survey(recording, 60.0, True)
  streamed = np.concatenate(list(stream.examples(recording, survey)))
  whole = waveform.split_examples(waveform.prepare(found, RATE))
  np.testing.assert_array_equal(streamed, whole)
  notes = [note.removeprefix(f'{path}: ') for note in notes]
  assert list(survey.notes) == notes
  assert survey.silent == (not found.any())
  return found, notes


@pytest.mark.parametrize('level', [0.01, 0.3, 1.0])
@pytest.mark.parametrize('click', [5.0, 20.0, 3e4, 1e9])
def test_one_click_does_not_decide_the_scale(tmp_path, level, click):
  x = level * writing.sound(2, RATE)
  x[9000] = -click
  found, notes = heard(tmp_path, x)
  expected = x[:, 0].copy()
  expected[9000] = -1
  np.testing.assert_array_equal(found, expected)
  assert notes == [f'1 sample of up to {click:.3g} clipped to full scale']


def test_damage_of_a_frame_does_not_either(tmp_path):
  x = 0.1 * writing.sound(5, RATE)
  x[30000:30576] *= 900
  found, notes = heard(tmp_path, x)
  assert np.abs(found).max() == 1
  np.testing.assert_array_equal(found[:30000], x[:30000, 0])
  assert len(notes) == 1 and 'clipped' in notes[0]


def test_damage_of_a_twentieth_does_not_either(tmp_path):
  x = 0.1 * writing.sound(2, RATE)
  x[9000:10500] = 300 * np.sin(np.arange(1500.0))[:, None]
  found, notes = heard(tmp_path, x)
  np.testing.assert_array_equal(found[:9000], x[:9000, 0])
  assert len(notes) == 1 and 'clipped' in notes[0]


@pytest.mark.parametrize('silence', [0, 20])
@pytest.mark.parametrize('whole', [True, False])
def test_int16_numbers_are_divided_however_short(tmp_path, silence, whole):
  x = 20000 * writing.sound(0.5, RATE)
  x = np.rint(x) if whole else x
  x = np.concatenate([x, np.zeros((silence * RATE, 1), np.float32)])
  found, notes = heard(tmp_path, x)
  np.testing.assert_array_equal(found, x[:, 0] / 32768)
  assert notes == ['floats of int16 scale, divided by 32768']


def test_an_int16_recording_may_have_a_click_too(tmp_path):
  x = 20000.5 * writing.sound(1, RATE)
  x[77] = 1e6
  found, notes = heard(tmp_path, x)
  assert found[77] == 1 and len(notes) == 2
  assert np.abs(np.delete(found, 77)).max() < 0.5


def test_a_hot_recording_keeps_its_scale(tmp_path):
  x = 12 * writing.sound(1, RATE)
  found, notes = heard(tmp_path, x)
  np.testing.assert_array_equal(found, x[:, 0])
  assert not notes


@pytest.mark.parametrize('subtype', ['PCM_16', 'FLOAT'])
@pytest.mark.parametrize(('gain', 'loudest'), [(1, 1), (0.8, 1), (1.2, 2)])
def test_of_channels_that_cancel_the_loudest_is_heard(
  tmp_path, subtype, gain, loudest
):
  x = 0.5 * writing.sound(1.3, RATE)
  both = np.concatenate([x, -gain * x], 1)
  found, notes = heard(tmp_path, both, subtype)
  assert notes == [
    f'2 channels cancel each other: channel {loudest} alone is heard'
  ]
  np.testing.assert_allclose(found, both[:, loudest - 1], atol=1e-4)


@pytest.mark.parametrize(
  'gains', [(1, 0), (1, 1), (1, -0.4), (1, 0, 0, 0, 0, 0), (0.5, 0.2, 0.1)]
)
def test_other_channels_are_averaged(tmp_path, gains):
  x = writing.sound(1.3, RATE) * np.float32(gains)
  found, notes = heard(tmp_path, x)
  np.testing.assert_allclose(found, x.mean(1), atol=1e-7)
  assert not notes


def test_channels_of_different_noise_are_averaged(tmp_path):
  x = np.random.default_rng(0).uniform(-1, 1, (20000, 6)).astype(np.float32)
  found, notes = heard(tmp_path, x)
  np.testing.assert_allclose(found, x.mean(1), atol=1e-6)
  assert not notes


def test_silence_is_noted(tmp_path):
  _, notes = heard(tmp_path, np.zeros((3000, 2)))
  assert notes == ['silent']


@pytest.mark.parametrize('value', [0.5, -0.001])
def test_a_constant_is_silence(value):
  x = np.full((9000, 2), value, np.float32)
  recording = stream.Recording.of_array(x, RATE)
  found = stream.survey(recording, 60.0, True)
  assert found.notes == (f'silent: all samples are {value}',)
  assert found.silent
  x[-1] = 0.3
  assert not stream.survey(recording, 60.0, True).silent


def test_of_many_channels_one_is_heard_where_only_it_sounds(tmp_path):
  x = np.zeros((20000, 12), np.float32)
  x[:, 4] = 0.5 * writing.sound(1.25, RATE)[:, 0]
  found, notes = heard(tmp_path, x)
  np.testing.assert_array_equal(found, x[:, 4])
  assert notes == ['12 channels make a faint mean: channel 5 alone is heard']


def test_decisions_do_not_depend_on_the_blocks():
  rng = np.random.default_rng(0)
  x = rng.uniform(-0.1, 0.1, (50_000, 2)).astype(np.float32)
  x[:, 1] = -x[:, 0]
  x[1000:1400] *= 300
  found = []
  for size in (512, 4096, 50_176):
    parts = [(x[i : i + size], RATE) for i in range(0, len(x), size)]
    level, facts = levels.listen('x', lambda parts=parts: parts)
    found.append((level, facts.energy.tolist(), facts.peaks.tolist()))
  assert found[0] == found[1] == found[2]
