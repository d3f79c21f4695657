"""A file heard by all readers."""

import numpy as np

from aec_jax.audio import decode, stream, waveform


def heard(tmp_path, name, data):
  """(samples, rate, notes) of a file of these bytes; checks the stream."""
  path = tmp_path / name
  path.write_bytes(data)
  notes = []
  samples, rate = waveform.read(path, notes)
  notes = [note.removeprefix(f'{path}: ') for note in notes]
  recording = stream.Recording.of_file(path)
  found = stream.survey(recording, 60.0, True)
  assert list(found.notes) == notes
  streamed = np.concatenate(list(stream.examples(recording, found)))
  whole = waveform.split_examples(waveform.prepare(samples, rate))
  np.testing.assert_array_equal(streamed, whole)
  assert decode.trouble_with(str(path)) == ''
  return samples, rate, notes
