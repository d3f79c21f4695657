"""Arrays are sounds of the scale that their type says, or are refused."""

import numpy as np
import pytest

from aec_jax.audio.stream import Recording
from aec_jax.errors import UserError


@pytest.mark.parametrize(
  ('samples', 'rate', 'message'),
  [
    (np.zeros((2, 2, 2)), 16000, 'a waveform is'),
    (np.array(['a']), 16000, 'a waveform is'),
    (np.zeros(9), 0, 'sample rate'),
    (np.zeros((2, 9)), 16000, 'give its transpose, waveform.T'),
    (np.zeros((1, 9)), 16000, '9 channels of 1: give its transpose'),
    (np.array([5, -30000], np.int32), 16000, r'astype\(numpy.int16\)'),
    (np.array([5, 60000]), 16000, r'astype\(numpy.uint16\)'),
    (np.array([5, -1 << 23], np.int32), 16000, r'give waveform / 2\*\*23,'),
    (np.array([5, -1 << 23]), 16000, r'give waveform / 2\*\*23,'),
    (np.array([5, (1 << 24) - 1], np.uint32), 16000, r'/ 2\*\*23 - 1,'),
    (np.array([256, -1 << 20]), 16000, r'give waveform / 2\*\*23,'),
    (np.array([256, 1 << 20], np.uint32), 16000, r'/ 2\*\*23, which'),
    (np.array([0, 200]), 16000, r'astype\(numpy.uint8\)'),
    (np.array([0, 200], np.uint16), 16000, r'astype\(numpy.uint8\)'),
    (np.array([5, -1 << 31]), 16000, r'astype\(numpy.int32\)'),
    (np.zeros(9), '44100', "the sample rate is '44100'; it must be a number"),
    (np.zeros(9), None, 'the sample rate is None'),
  ],
)
def test_no_sound_is_refused(samples, rate, message):
  with pytest.raises(UserError, match=message):
    Recording.of_array(samples, rate)


@pytest.mark.parametrize(
  ('samples', 'note'),
  [
    (np.array([1 << 21, -1 << 20], np.int32), 'numbers are of 24 bits or less'),
    (np.array([1 << 21, -(1 << 20) - 1 << 8], np.int32), ''),
    (np.array([128, 130, 0], np.int16), 'of 8 bits and none is negative'),
    (np.array([128, 130, -1], np.int16), ''),
    (np.array([40, 60, 120], np.int16), ''),
    (np.zeros(9, np.int64), ''),
  ],
)
def test_quiet_sounds_are_heard_and_doubts_are_said(samples, note):
  recording = Recording.of_array(samples, np.array(16000))
  ((found, _),) = recording.blocks()
  half = 2.0 ** (8 * samples.itemsize - 1)
  np.testing.assert_array_equal(found[:, 0], (samples / half).astype('f'))
  assert [note in said for said in recording.notes] == [True] * bool(note)
